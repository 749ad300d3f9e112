"""Asks a vulnerability service about what the bot brings into its process: python -m tests.audit

Ends with 1 if one of these packages has a known vulnerability. Where no such service can be reached, it says
so in one line and ends with 0: without a network the other checks must still run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
SECONDS = 45.0
"""The most seconds that it may take."""
ANSWER_SECONDS = "5"


class NoService(Exception):
    """Nothing can be said; the text says why."""


def brought(lines: Iterable[str]) -> dict[str, str]:
    """The installed version of each requirement in ``lines``, and of what these require in turn."""
    asked = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    while asked:
        one = asked.pop()
        for extra in ("", *one.extras):
            if (one.marker and not one.marker.evaluate()) or (one.name, extra) in seen:
                continue
            seen.add((one.name, extra))
            package = metadata.distribution(one.name)
            found[canonicalize_name(one.name)] = package.version
            further = map(Requirement, package.requires or ())
            asked += [r for r in further if r.marker is None or r.marker.evaluate({"extra": extra})]
    return found


def ask(packages: dict[str, str], *, service: Sequence[str] = (), seconds: float = SECONDS) -> str:
    """What pip-audit says about them, as JSON. Raises `NoService`."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "requirements.txt"
        pinned.write_text("".join(f"{name}=={version}\n" for name, version in sorted(packages.items())))
        command = [
            sys.executable, "-m", "pip_audit", "-r", str(pinned), "--no-deps", "--disable-pip",
            "--format", "json", "--progress-spinner", "off", "--timeout", ANSWER_SECONDS, *service,
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise NoService(f"no answer within {seconds:.0f} s") from None
    if not done.stdout.startswith("{"):
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NoService(reason[:200])
    return done.stdout


def faults(told: str) -> Iterator[str]:
    """A line for each known fault. Raises `NoService` if nothing was known of any package."""
    packages = json.loads(told)["dependencies"]
    if all("skip_reason" in package for package in packages):
        raise NoService("it does not know any of the packages")
    for package in packages:
        for fault in package.get("vulns", ()):
            fixed = ", ".join(fault["fix_versions"]) or "no version yet"
            yield f"{package['name']} {package['version']}: {fault['id']}, fixed in {fixed}"


def main(*, service: Sequence[str] = (), seconds: float = SECONDS) -> int:
    packages = brought(REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    try:
        found = list(faults(ask(packages, service=service, seconds=seconds)))
    except NoService as error:
        print(f"Skipped: no vulnerability service can be asked ({error})")
        return 0
    print("\n".join(found) or f"No known fault in {len(packages)} packages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
