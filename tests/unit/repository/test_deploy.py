"""Images, compose, systemd, Kubernetes, Prometheus and Grafana: they fit the code and each other."""

from __future__ import annotations

import asyncio
import configparser
import fnmatch
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from modules.queue_manager.backports import timeout
from modules.queue_manager.status import EngineStatus, QueueStatus
from modules.utils.monitoring.health_server import HealthServer, View
from modules.utils.monitoring.metrics import JobMetrics
from modules.utils.settings import server_discovery, settings
from modules.utils.settings.settings import Settings
from tests.virtual_time import VirtualClock

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
GOODBYE_SECONDS = 15
"""What stopping takes on top of the grace that running pictures have."""


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def compose() -> dict[str, Any]:
    return documents(ROOT / "compose.yaml")[0]


def instructions(path: Path) -> list[tuple[str, str]]:
    """A Dockerfile's, as (name, arguments), continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def listed(text: str) -> list[str]:
    """The JSON list that an instruction in exec form ends with."""
    found: list[str] = json.loads(text[text.index("[") :])
    return found


def default(name: str) -> Any:
    return Settings(discord_token="a.b.c", comfy_urls=("http://x",)).__getattribute__(name)


# ── images ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path", [ROOT / "Dockerfile", DEPLOY / "comfyui" / "Dockerfile"], ids=["bot", "comfyui"]
)
def test_an_image_runs_without_root_and_gets_the_signals_itself(path: Path) -> None:
    said = instructions(path)
    users = [rest for name, rest in said if name == "USER"]
    assert users
    assert users[-1].isdigit()
    assert int(users[-1]) > 0
    assert listed(next(rest for name, rest in said if name == "ENTRYPOINT"))[0] == "python"
    assert listed(next(rest for name, rest in said if name == "HEALTHCHECK"))[:2] == ["python", "-c"]


@pytest.mark.parametrize(
    "path", [ROOT / "Dockerfile", DEPLOY / "comfyui" / "Dockerfile"], ids=["bot", "comfyui"]
)
def test_what_an_image_is_made_of_is_there_and_not_ignored(path: Path) -> None:
    copies = [rest.split() for name, rest in instructions(path) if name == "COPY" and "--from" not in rest]
    assert copies
    for source in (name for parts in copies for name in parts[:-1]):
        assert (ROOT / source).exists(), source
        assert not ignored(source), source


def test_what_is_in_the_image_is_enough_to_run(tmp_path: Path) -> None:
    said = [rest.split() for name, rest in instructions(ROOT / "Dockerfile") if name == "COPY"]
    own = (
        (source, target) for source, target in (parts for parts in said if len(parts) == 2) if target != "/"
    )
    for source, target in own:
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / target)
    command = [sys.executable, "bot.py", "check", "--json", "--env-file", "none"]
    environ = {"PATH": os.environ["PATH"], "COMFY_URLS": "http://127.0.0.1:9"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=False)
    told = json.loads(done.stdout)["checks"]
    models = [check["what"] for check in told if check["area"] == "Models in flujos/"]
    assert "flux (imagine) is OK" in models
    assert done.stderr == b""


@pytest.mark.parametrize("name", [".env", ".git", "database", "tests", "docs", ".venv"])
def test_secrets_and_data_stay_outside_of_the_images(name: str) -> None:
    assert ignored(name)


def ignored(path: str) -> bool:
    """What .dockerignore says: the last line that fits the path, or a folder above it, decides."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        above = (path, *(str(parent) for parent in Path(path).parents))
        if pattern and not line.startswith("#") and any(fnmatch.fnmatch(part, pattern) for part in above):
            verdict = not line.startswith("!")
    return verdict


async def test_the_health_check_tells_a_living_bot_from_a_dead_one() -> None:
    check = listed(next(rest for name, rest in instructions(ROOT / "Dockerfile") if name == "HEALTHCHECK"))

    async def ask(port: int) -> int:
        async with timeout(20):
            process = await asyncio.create_subprocess_exec(
                sys.executable, *check[1:], env={"METRICS_PORT": str(port)}, stderr=asyncio.subprocess.DEVNULL
            )
            return await process.wait()

    async with HealthServer().serving(host="127.0.0.1", port=0) as port:
        assert await ask(port) == 0
    assert await ask(port) != 0
    assert await ask(0) == 0


# ── compose ─────────────────────────────────────────────────────────────────────────────────────


def test_compose_starts_the_bot_beside_postgresql_and_the_rest_on_request() -> None:
    services = compose()["services"]
    assert {name for name, service in services.items() if "profiles" not in service} == {"bot", "postgres"}
    assert services["comfyui"]["profiles"] == ["comfyui"]
    assert services["prometheus"]["profiles"] == services["grafana"]["profiles"] == ["monitoring"]


def test_compose_gives_the_bot_settings_that_it_takes() -> None:
    bot = compose()["services"]["bot"]
    given = {name: filled(value) for name, value in bot["environment"].items()}
    assert not set(given) - set(settings.NAMES)
    assert "COMFY_URLS" not in given, "it would win over .env, and edits would not be seen"
    written = {"DISCORD_TOKEN": "a.b.c", "COMFY_URLS": "dns+http://comfyui:8188"}
    taken = settings.read(given, written)
    assert (taken.metrics_port, taken.metrics_host) == (9100, "0.0.0.0")
    folders = [volume.split(":") for volume in bot["volumes"]]
    assert ["./", "/config", "ro"] in folders
    assert bot["command"] == ["--env-file", "/config/.env"]


def filled(text: str) -> str:
    return re.sub(r"\$\{\w+:\?[^}]*\}", "Secret1", text)


def test_compose_lets_running_pictures_finish() -> None:
    grace = compose()["services"]["bot"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= default("shutdown_grace_seconds") + GOODBYE_SECONDS


def test_compose_shows_nothing_to_the_outside_and_may_do_little() -> None:
    whole = compose()
    services = whole["services"]
    for name, service in services.items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    assert services["bot"]["read_only"] is True
    assert services["bot"]["cap_drop"] == ["ALL"]
    assert whole["networks"]["bot"] == {"internal": True}
    assert services["postgres"]["networks"] == services["comfyui"]["networks"] == ["bot"]


def test_compose_mounts_what_is_there_and_names_versions() -> None:
    whole = compose()
    for name, service in whole["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":/")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            elif not source.startswith("${"):
                assert source in whole["volumes"]
        assert "build" in service or re.search(r":v?\d", service["image"]), name


# ── systemd and Procfile ────────────────────────────────────────────────────────────────────────


def test_the_systemd_unit_starts_the_bot_and_lets_it_write_its_database_alone() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd" / "fullet.service", encoding="utf-8")
    service = unit["Service"]
    python, script = shlex.split(service["ExecStart"])
    assert python.endswith("/.venv/bin/python")
    assert (ROOT / script).exists()
    assert service["User"] != "root"
    assert service["ReadWritePaths"] == f"{service['WorkingDirectory']}/database"
    assert service["ProtectSystem"] == "strict"
    assert int(service["TimeoutStopSec"]) >= default("shutdown_grace_seconds") + GOODBYE_SECONDS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_understands_the_unit_and_finds_it_confined(tmp_path: Path) -> None:
    said = (DEPLOY / "systemd" / "fullet.service").read_text(encoding="utf-8")
    unit = tmp_path / "fullet.service"
    unit.write_text(said.replace("/opt/fullet/.venv/bin/python", sys.executable), encoding="utf-8")

    def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["systemd-analyze", *arguments, str(unit)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    verified = analyze("verify", "--man=no", "--recursive-errors=no")
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    judged = analyze("security", "--offline=true", "--threshold=20")  # of 100, the most exposed
    assert judged.returncode == 0 or "unrecognized option" in judged.stderr, judged.stdout  # before 250


def test_the_procfile_starts_the_bot() -> None:
    kind, _, command = (ROOT / "Procfile").read_text(encoding="utf-8").strip().partition(":")
    assert kind == "worker", "a web process would be asked for a port"
    assert shlex.split(command) == ["python", "bot.py"]


# ── Kubernetes ──────────────────────────────────────────────────────────────────────────────────


KUBERNETES = DEPLOY / "kubernetes"


def manifests(*parts: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects in the files of these folders: ``base``, and the components ``postgres`` and ``keda``."""
    found: list[dict[str, Any]] = []
    for folder in (KUBERNETES / part for part in parts or ("base",)):
        kustomization = documents(folder / "kustomization.yaml")[0]
        found += [document for name in kustomization["resources"] for document in documents(folder / name)]
        assert {path.name for path in folder.iterdir()} == {*kustomization["resources"], "kustomization.yaml"}
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


def test_kubernetes_runs_one_bot_that_may_do_little_and_reads_edits() -> None:
    deployment = manifests()["Deployment", "fullet"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert "subPath" not in mounts["settings"]
    assert container["args"] == ["--env-file", f"{mounts['settings']['mountPath']}/.env"]
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert pod["terminationGracePeriodSeconds"] >= default("shutdown_grace_seconds") + GOODBYE_SECONDS
    given = {variable["name"]: variable["value"] for variable in container["env"]}
    assert not set(given) - set(settings.NAMES)
    assert int(given["METRICS_PORT"]) == container["ports"][0]["containerPort"]


def put_together(folder: Path, *components: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What ``kubectl apply -k`` would send with these components."""
    copy = shutil.copytree(KUBERNETES, folder / "kubernetes")
    (chosen,) = documents(copy / "kustomization.yaml")
    chosen["components"] = list(components)
    (copy / "kustomization.yaml").write_text(yaml.safe_dump(chosen), encoding="utf-8")
    command = ["kubectl", "kustomize", str(copy)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(made)}


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")


@needs_kubectl
@pytest.mark.parametrize("parts", [(), ("postgres",), ("keda",), ("postgres", "keda")])
def test_kubectl_puts_the_manifests_together(parts: tuple[str, ...], tmp_path: Path) -> None:
    found = put_together(tmp_path, *parts)
    assert found.keys() == manifests("base", *parts).keys()
    assert {each["metadata"]["namespace"] for each in found.values()} == {"fullet"}
    (bot,) = found["Deployment", "fullet"]["spec"]["template"]["spec"]["containers"]
    assert bot["image"] == "registry.example.org/fullet:latest"
    given = {variable["name"]: variable.get("value") for variable in bot["env"]}
    names = [variable["name"] for variable in bot["env"]]
    if "postgres" in parts:
        assert names.index("POSTGRES_PASSWORD") < names.index("DATABASE_URL"), "or it is not filled in"
        url = str(given["DATABASE_URL"]).replace("$(POSTGRES_PASSWORD)", "Secret1")
        taken = settings.read({}, {"DISCORD_TOKEN": "a.b.c", "COMFY_URLS": "http://x", "DATABASE_URL": url})
        assert taken.database_url == url
        ports = found["Service", "postgres"]["spec"]["ports"]
        assert f"@postgres:{ports[0]['port']}/" in url
    else:
        assert "DATABASE_URL" not in given, "it would win over .env"
    scaled = found["Deployment", "comfyui"]["spec"]
    assert ("replicas" in scaled) == ("keda" not in parts), "an apply would undo what KEDA did"


@needs_kubectl
def test_models_can_be_in_the_image_instead_of_a_volume(tmp_path: Path) -> None:
    found = put_together(tmp_path, "postgres", "keda", "baked")
    assert manifests("base", "postgres", "keda").keys() - found.keys() == {
        ("PersistentVolumeClaim", "comfyui-models")
    }
    pod = found["Deployment", "comfyui"]["spec"]["template"]["spec"]
    assert "volumes" not in pod
    assert "volumeMounts" not in pod["containers"][0]


def test_a_comfyui_that_leaves_lets_its_runs_end() -> None:
    pod = manifests()["Deployment", "comfyui"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    assert compose()["services"]["comfyui"]["pre_stop"] == [{"command": command}]
    said = instructions(DEPLOY / "comfyui" / "Dockerfile")
    (folder,) = [rest for name, rest in said if name == "WORKDIR"]
    assert command == ["python", "drain.py"]
    assert ("COPY", f"deploy/comfyui/drain.py {folder}/") in said
    assert ("STOPSIGNAL", "SIGINT") in said, "ComfyUI as a container's first process ignores SIGTERM"
    waits = runpy.run_path(str(DEPLOY / "comfyui" / "drain.py"))
    assert waits["WITHIN"] + 30 < pod["terminationGracePeriodSeconds"]
    dns, fetching = 30, 10
    assert waits["QUIET"] >= dns + server_discovery.EVERY_SECONDS + fetching


def test_comfyui_is_pinned_by_hash() -> None:
    said = instructions(DEPLOY / "comfyui" / "Dockerfile")
    sources = [rest.split()[0] for name, rest in said if name == "ADD"]
    assert len(sources) == 2
    assert all(re.fullmatch(r"https://github\.com/\S+\.git#[0-9a-f]{40}", source) for source in sources)
    assert re.fullmatch(
        r"python:\d+\.\d+\.\d+-\S+ AS comfyui", next(rest for name, rest in said if name == "FROM")
    )
    (install,) = [rest for name, rest in said if name == "RUN" and "pip install" in rest]
    assert "--no-deps --require-hashes" in install
    text = (DEPLOY / "comfyui" / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.match(r"[\w.-]+==\S+( +--hash=sha256:[0-9a-f]{64})+ *$", line) for line in lines)
    pinned = dict(line.split()[0].split("==") for line in lines)
    assert pinned.keys() >= {"torch", "comfyui-frontend-package", "gguf"}


def test_the_models_come_from_the_claim() -> None:
    found = manifests()
    pod = found["Deployment", "comfyui"]["spec"]["template"]["spec"]
    (volume,) = pod["volumes"]
    assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in found
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)


def test_postgresql_keeps_its_data_and_lets_the_bot_alone_in() -> None:
    found = manifests("base", "postgres")
    (database,) = [each for (kind, _), each in found.items() if kind == "StatefulSet"]
    spec = database["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    (claim,) = spec["volumeClaimTemplates"]
    (mount,) = container["volumeMounts"]
    assert mount["name"] == claim["metadata"]["name"]
    folder = next(each["value"] for each in container["env"] if each["name"] == "PGDATA")
    assert folder.startswith(mount["mountPath"] + "/")
    assert container["image"] == compose()["services"]["postgres"]["image"]
    assert pod["securityContext"]["runAsNonRoot"]
    policy = found["NetworkPolicy", "postgres"]["spec"]
    assert policy["podSelector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    (source,) = policy["ingress"][0]["from"]
    bot = found["Deployment", "fullet"]["spec"]["template"]["metadata"]["labels"]
    assert source["podSelector"]["matchLabels"] == bot


def test_the_scaled_object_is_one_that_keda_takes() -> None:
    models = pytest.importorskip("cloudcoil.models.keda.v1alpha1", reason="no models of KEDA's objects here")
    (scaled,) = documents(KUBERNETES / "keda" / "scaledobject.yaml")
    read = models.ScaledObject.model_validate(scaled)
    again = read.model_dump(by_alias=True, exclude_unset=True, mode="json")
    assert again["spec"] == scaled["spec"], "a field that KEDA does not know"
    target = scaled["spec"]["scaleTargetRef"]["name"]
    assert ("Deployment", target) in manifests()


def test_kubernetes_names_each_comfyui_and_lets_the_bot_alone_in() -> None:
    found = manifests()
    service, deployment = found["Service", "comfyui"]["spec"], found["Deployment", "comfyui"]["spec"]
    assert service["clusterIP"] == "None", "one address for all replicas would make them one worker"
    labels = deployment["template"]["metadata"]["labels"]
    assert service["selector"] == deployment["selector"]["matchLabels"] == labels
    rule = found["NetworkPolicy", "comfyui"]["spec"]
    assert rule["podSelector"]["matchLabels"] == labels
    (source,) = rule["ingress"][0]["from"]
    bot = found["Deployment", "fullet"]["spec"]["template"]["metadata"]["labels"]
    assert source["podSelector"]["matchLabels"] == bot


async def test_kubernetes_asks_what_the_bot_answers() -> None:
    import aiohttp

    (container,) = manifests()["Deployment", "fullet"]["spec"]["template"]["spec"]["containers"]
    paths = {container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
    assert len(paths) == 2
    health_server = HealthServer()
    async with (
        health_server.serving(host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession() as session,
    ):
        with health_server.showing(View(unready=lambda: None)):
            for path in paths:
                async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                    assert response.status == 200, path


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


def figures() -> dict[str, set[str]]:
    """The labels of each series that the bot can serve."""
    queue = QueueStatus(waiting=1, taken=0, running=1, arriving=0, users=1, paused=False, closed_because=None)
    engine = EngineStatus(
        name="gpu", state="idle", since=0.0, model=None, running=(), pictures=1, busy_seconds=1.0, models=()
    )
    metrics = JobMetrics(
        clock=VirtualClock(),
        queue=lambda: queue,
        engines=lambda: (engine,),
        place=lambda _: None,
        requests=lambda: {"200": 1},
    )
    labels = {"outcome": "jobs", "error": "failures retries", "model": "pictures", "engine": "pictures"}
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        if family.name.endswith("_created"):
            continue
        named = {label for sample in family.samples for label in sample.labels}
        named |= {
            label for label, names in labels.items() if family.name.removeprefix("fullet_") in names.split()
        }
        found |= {family.name + suffix: named for suffix in suffixes}
    return found


async def test_the_dashboard_asks_for_what_the_bot_serves() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "fullet.json").read_text(encoding="utf-8"))
    known, asked = figures(), set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            names = re.findall(r"\b(?:fullet|process)_\w+", target["expr"])
            assert names, target
            asked.update(names)
            assert not set(names) - set(known), target
            labels = re.findall(r"by \((\w+)\)", target["expr"])
            labels += re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert all(set(labels) <= known[name] | {"le"} for name in names), target
    served = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known if name.startswith("fullet_")}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert served <= shown, "a figure that nobody sees"


async def test_the_figures_that_the_documentation_names_are_served() -> None:
    told = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bfullet_\w+", told))
    assert len(named) > 4
    assert named <= {re.sub(r"_(bucket|sum|count)$", "", name) for name in figures()}


def test_panels_do_not_cover_each_other() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "fullet.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_prometheus_asks_the_bot_of_the_compose_file_and_grafana_asks_prometheus() -> None:
    services = compose()["services"]
    (job,) = documents(DEPLOY / "prometheus" / "prometheus.yml")[0]["scrape_configs"]
    host, _, port = job["static_configs"][0]["targets"][0].partition(":")
    assert services[host]["environment"]["METRICS_PORT"] == port
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = documents(provisioning / "datasources" / "prometheus.yml")[0]["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    (provider,) = documents(provisioning / "dashboards" / "fullet.yml")[0]["providers"]
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounted
