"""What a server can run, and what its operator is told, by a real answer of each kind."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from modules.ai.comfy import findings
from modules.ai.comfy.preflight import ServerReport, inspect
from modules.ai.node_pack import PACK_VERSION
from modules.ai.workflows.cards import read_card, read_fields
from modules.ai.workflows.graph import read_graph, write_graph
from modules.ai.workflows.templates import WorkflowTemplate
from modules.demo.comfy_server import ServerProfile
from modules.queue_manager.errors import EngineUnavailable
from modules.utils.inspection import Finding, Section, sound
from tests.integration.comfy_rig import ask, comfy_rig, heard, is_of, pictures
from tests.workflow_graphs import SHIPPED, node, template

GIB = 2**30
GOOD = ServerProfile(cache_lru=100)


async def report_of(
    profile: ServerProfile, *, max_batch: int | None = None, templates: Any = SHIPPED
) -> ServerReport:
    """What is found on a server of this kind."""
    async with comfy_rig(profile=profile, templates=templates) as rig:
        return await inspect(rig.client(), templates, max_batch=max_batch)


def told(report: ServerReport) -> str:
    """All notes as one text."""
    return "\n".join(report.notes)


async def test_a_good_server_runs_everything_and_has_nothing_to_fix() -> None:
    report = await report_of(GOOD)
    assert report.limits == {"flux": 4, "flux_edit": 4, "upscale": 4, "z-image": 4}
    assert report.fused == set(SHIPPED)
    assert report.notes == ()
    assert any("is ComfyUI 0.33.0 with 24.0 GB" in str(finding) for finding in report.findings)
    assert all(finding.level != "fault" for finding in report.findings)


@pytest.mark.parametrize(
    ("gib", "max_batch", "flux"), [(8, None, 2), (24, None, 4), (6, None, 1), (8, 6, 6), (24, 1, 1)]
)
async def test_memory_or_the_operator_sets_the_batch(gib: int, max_batch: int | None, flux: int) -> None:
    profile = ServerProfile(vram_total=int(gib * GIB * 0.99), cache_lru=100)
    assert (await report_of(profile, max_batch=max_batch)).limits["flux"] == flux


async def test_a_card_that_does_not_say_what_fits_begins_with_care_unless_the_operator_says() -> None:
    card = replace(SHIPPED["flux"].card, memory=None)
    templates = {"flux": replace(SHIPPED["flux"], card=card), "z-image": SHIPPED["z-image"]}
    report = await report_of(GOOD, templates=templates)
    assert (report.limits["flux"], report.cautious) == (4, {"flux"})
    assert any("one at a time to begin with, up to 4" in str(finding) for finding in report.findings)
    assert not (await report_of(GOOD, templates=templates, max_batch=3)).cautious


async def test_an_operators_new_limit_holds_for_the_next_run() -> None:
    async with comfy_rig(profile=GOOD) as rig:
        limits = [3]
        engine = rig.engine(max_batch=lambda: limits[-1])
        assert (await engine.probe()).batch_limits["flux"] == 3
        limits.append(2)
        assert (await engine.probe()).batch_limits["flux"] == 2


async def test_another_card_graph_pack_or_server_is_another_version() -> None:
    card = replace(SHIPPED["flux"].card, steps=5)
    changed = {"flux": replace(SHIPPED["flux"], card=card), "z-image": SHIPPED["z-image"]}
    here, same, other_card, other_pack, other_server = [
        (await report_of(profile, templates=templates)).versions
        for profile, templates in (
            (GOOD, SHIPPED),
            (GOOD, SHIPPED),
            (GOOD, changed),
            (replace(GOOD, pack_version="1.9.0"), SHIPPED),
            (replace(GOOD, version="0.34.0"), SHIPPED),
        )
    ]
    assert here == same
    assert here["z-image"] == other_card["z-image"]
    assert len({v["flux"] for v in (here, other_card, other_pack, other_server)}) == 4


async def test_a_server_without_the_pack_works_one_by_one_and_says_what_to_copy_where() -> None:
    report = await report_of(ServerProfile(pack_version=None, cache_lru=100))
    assert set(report.limits.values()) == {1}
    assert report.fused == frozenset()
    (note,) = report.notes
    assert (
        "lacks the node pack, so it makes pictures one by one and cannot make variations: "
        "copy comfy_custom_nodes/fullet into its ComfyUI/custom_nodes" in note
    )


MAJOR = PACK_VERSION.partition(".")[0]


@pytest.mark.parametrize("version", [PACK_VERSION, f"{PACK_VERSION}.1", f"{MAJOR}.99.2"])
async def test_a_pack_that_is_newer_by_its_last_numbers_is_used(version: str) -> None:
    report = await report_of(ServerProfile(pack_version=version, cache_lru=100))
    assert report.limits["flux"] == 4
    assert report.notes == ()


@pytest.mark.parametrize("version", ["1.1.0", MAJOR, "99.0.0", "unknown"])
async def test_an_older_pack_and_one_of_another_kind_is_told_with_the_line_that_replaces_it(
    version: str,
) -> None:
    report = await report_of(ServerProfile(pack_version=version, cache_lru=100))
    assert set(report.limits.values()) == {1}
    (note,) = report.notes
    assert note.partition(" ")[2] == (
        f"has the node pack {version}, and this bot needs {PACK_VERSION}, so pictures are made one by one: "
        "run cp -r comfy_custom_nodes/fullet ComfyUI/custom_nodes/ and restart that ComfyUI"
    )


def test_the_line_for_another_machine_names_it() -> None:
    for server, host in (("gpu.example.org/comfy", "gpu.example.org"), ("[fd00::2]:8188", "[fd00::2]")):
        told = findings.about_pack(server, "1.0.0", usable=False)
        assert f"run scp -r comfy_custom_nodes/fullet {host}:ComfyUI/custom_nodes/ and restart" in told.fix


async def test_an_incomplete_pack_fuses_what_it_can() -> None:
    profile = ServerProfile(missing_nodes=frozenset({"SigmasLikeKSampler"}), cache_lru=100)
    report = await report_of(profile)
    assert report.limits == {"flux": 4, "flux_edit": 4, "upscale": 4, "z-image": 1}
    assert (
        "can make pictures with z-image only one by one, because it lacks the node SigmasLikeKSampler: "
        "copy comfy_custom_nodes/fullet" in told(report)
    )


async def test_a_missing_file_is_told_once_for_all_models_that_need_it() -> None:
    profile = ServerProfile(missing_models=frozenset({"flux2-vae.safetensors"}), cache_lru=100)
    report = await report_of(profile)
    assert set(report.limits) == {"z-image", "upscale"}
    (note,) = report.notes
    assert (
        "cannot run flux, flux_edit, because it lacks flux2-vae.safetensors (input vae_name of VAELoader)"
        in note
    )
    assert "download it by running this in the folder that contains ComfyUI" in note
    bare = {name: replace(SHIPPED[name], downloads=()) for name in ("flux", "flux_edit")}
    (note,) = (await report_of(profile, templates=bare)).notes
    assert "put the file there, or name another one in flujos/flux.json and flujos/flux_edit.json" in note


async def test_a_near_miss_is_suggested() -> None:
    profile = ServerProfile(
        missing_models=frozenset(
            {
                "flux-2-klein-4b-Q5_K_M.gguf",
                "RealESRGAN_x2plus.pth",
                "RealESRGAN_x4plus.pth",
            }
        ),
        extra_models={
            "unet_gguf": ("klein/flux-2-klein-4b-q5_k_m.gguf",),
            "upscale_models": ("RealESRGAN_x2.pth",),
        },
        cache_lru=100,
    )
    report = await report_of(profile)
    assert "did you mean klein/flux-2-klein-4b-q5_k_m.gguf?" in told(report)
    assert "did you mean RealESRGAN_x2.pth?" in told(report)
    assert set(report.limits) == {"z-image"}


async def test_missing_nodes_name_the_extension_that_brings_them() -> None:
    report = await report_of(ServerProfile(gguf=False, cache_lru=100))
    assert set(report.limits) == {"upscale"}
    assert (
        "lacks the node UnetLoaderGGUF: install https://github.com/city96/ComfyUI-GGUF there and restart it"
        in told(report)
    )
    assert len(report.notes) == 2


async def test_a_missing_cache_flag_is_told_with_the_flag() -> None:
    assert "start ComfyUI with --cache-lru 100" in told(await report_of(ServerProfile()))
    one = {"flux": SHIPPED["flux"], "flux_edit": SHIPPED["flux_edit"]}
    assert (await report_of(ServerProfile(), templates=one)).notes == ()


@pytest.mark.parametrize("flag", ["--use-sage-attention", "--use-sage", "--use-ck-attention"])
async def test_a_server_whose_attention_is_too_coarse_shares_no_sampler_run(flag: str) -> None:
    report = await report_of(ServerProfile(flags=(flag,), cache_lru=100))
    assert report.limits == {"flux": 1, "flux_edit": 1, "upscale": 4, "z-image": 1}
    assert report.fused == {"upscale"}
    (note,) = report.notes
    whole = "--use-ck-attention" if "ck" in flag else "--use-sage-attention"
    assert f"was started with {whole}, so its models make pictures one by one" in note
    assert note.endswith(f": start ComfyUI without {whole}")


@pytest.mark.parametrize(
    "flags", [("--fast",), ("--fast", "fp16_accumulation"), ("--use-flash-attention",), ("--use-pytorch",)]
)
async def test_a_server_that_is_fast_otherwise_goes_on_sharing_runs(flags: tuple[str, ...]) -> None:
    report = await report_of(ServerProfile(flags=flags, cache_lru=100))
    assert report.fused == set(SHIPPED)
    assert report.notes == ()


async def test_a_memory_that_holds_not_even_one_picture_is_told() -> None:
    report = await report_of(ServerProfile(vram_total=4 * GIB, cache_lru=100))
    assert "has 4.0 GB, and the model card of flux asks for 6.0 GB: expect it to be slow" in told(report)
    assert report.limits["flux"] == 1


async def test_an_old_comfyui_is_told() -> None:
    report = await report_of(ServerProfile(version="0.3.60", cache_lru=100))
    assert "which is old: update it to 0.18 or newer" in told(report)


async def test_a_template_that_cannot_be_fused_runs_one_by_one_beside_the_others() -> None:
    graph = {**SHIPPED["z-image"].graph}
    graph["8"] = graph["8"].having(sampler_name="dpm_adaptive")
    odd = WorkflowTemplate(name="odd", card=SHIPPED["z-image"].card, graph=graph)
    report = await report_of(GOOD, templates={"odd": odd, "z-image": SHIPPED["z-image"]})
    assert report.limits == {"odd": 1, "z-image": 4}
    assert any("one by one (node 8" in finding.what for finding in report.findings)
    assert report.notes == ()


async def test_a_wrong_choice_in_a_graph_is_told() -> None:
    graph = {
        "1": node("LoadImage", image="x.png"),
        "2": node("ImageScale", image=["1", 0], upscale_method="lancsoz", width=64, height=64, crop="center"),
        "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    card = 'label = "x"\nkind = "upscale"\n[roles]\nsources = "1.image"\noutput = "3.images"\n'
    report = await report_of(GOOD, templates={"mine": template(graph, card, "mine")})
    assert "choose another value in flujos/mine.json; did you mean lanczos?" in told(report)


async def test_a_card_bounds_what_the_operator_asks_for() -> None:
    card = 'label = "x"\nkind = "upscale"\nmax_batch = 3\n[roles]\nsources = "1.image"\noutput = "4.images"\n'
    mine = WorkflowTemplate(name="mine", card=read_card(read_fields(card)), graph=SHIPPED["upscale"].graph)
    report = await report_of(GOOD, templates={"mine": mine}, max_batch=8)
    assert report.limits == {"mine": 3}


async def test_a_server_that_is_not_there_is_told_by_address() -> None:
    async with comfy_rig() as rig:
        await rig.server.stop()
        with pytest.raises(EngineUnavailable, match=rf"127\.0\.0\.1:{rig.server.port} cannot be reached"):
            await inspect(rig.client(), SHIPPED, max_batch=None)


def test_a_finding_reads_as_a_sentence() -> None:
    assert str(Finding(level="hint", what="it is slow", fix="buy another")) == "it is slow: buy another"
    assert not sound([Section(title="it", findings=(Finding(level="fault", what="it is broken"),))])


# ── pictures and spellings ──────────────────────────────────────────────────────────────────────


def with_picture(name: str) -> WorkflowTemplate:
    """FLUX.2 with a reference that is part of the template."""
    graph = write_graph(SHIPPED["flux"].graph)
    graph["50"] = node("LoadImage", image=name)
    graph["51"] = node("VAEEncode", pixels=["50", 0], vae=["3", 0])
    graph["52"] = node("ReferenceLatent", conditioning=["4", 0], latent=["51", 0])
    graph["10"]["inputs"]["positive"] = ["52", 0]
    return WorkflowTemplate(name="mine", card=SHIPPED["flux"].card, graph=read_graph(graph))


@pytest.mark.parametrize("folder", ["", "pasted", "clipspace/deep"])
async def test_a_picture_of_the_templates_own_is_looked_for_wherever_it_lies(folder: str) -> None:
    name = f"{folder}/image.png" if folder else "image.png"
    mine = {"mine": with_picture(name)}
    async with comfy_rig(profile=GOOD, templates=mine) as rig:
        absent = await inspect(rig.client(), mine, max_batch=2)
        assert (absent.limits, absent.fused) == ({}, frozenset())
        (note,) = absent.notes
        assert f"flujos/mine.json uses the picture {name}, which is not in the input folder of" in note
        assert note.endswith(": put it there, or choose another one in flujos/mine.json")

        out = io.BytesIO()
        Image.new("RGB", (64, 64), "teal").save(out, "PNG")
        assert await rig.client().upload(out.getvalue(), "image.png", folder) == name
        there = await inspect(rig.client(), mine, max_batch=2)
        assert (there.limits, there.fused, there.notes) == ({"mine": 2}, {"mine"}, ())
        asked = [ask("one", model="mine"), ask("two", 2, model="mine")]
        run = await rig.engine(max_batch=lambda: 2).submit(rig.batch(*asked))
        await heard(run)
        assert all(map(is_of, await pictures(run), asked))


async def test_a_picture_in_the_output_folder_is_looked_for_there() -> None:
    mine = {"mine": with_picture("kept/x.png [output]")}
    async with comfy_rig(profile=GOOD, templates=mine) as rig:
        (note,) = (await inspect(rig.client(), mine, max_batch=1)).notes
        assert "uses the picture kept/x.png [output], which is not in the output folder of" in note
        rig.server.bench.files.write("output", "kept", "x.png", b"a picture")
        assert (await inspect(rig.client(), mine, max_batch=1)).notes == ()


@pytest.mark.parametrize(("ours", "theirs"), [("sub/own.safetensors", "sub\\own.safetensors"),
                                              ("sub\\own.safetensors", "sub/own.safetensors")])  # fmt: skip
async def test_a_file_is_asked_for_as_the_server_spells_it(ours: str, theirs: str) -> None:
    graph = write_graph(SHIPPED["flux"].graph)
    graph["3"]["inputs"]["vae_name"] = ours
    mine = {"mine": WorkflowTemplate(name="mine", card=SHIPPED["flux"].card, graph=read_graph(graph))}
    profile = ServerProfile(cache_lru=100, extra_models={"vae": (theirs,)})
    async with comfy_rig(profile=profile, templates=mine) as rig:
        engine = rig.engine(max_batch=lambda: 2)
        assert (await engine.probe()).notes == ()
        run = await engine.submit(rig.batch(ask("one", model="mine")))
        await heard(run)
        assert len(await pictures(run)) == 1
