"""The audit of the dependencies tells known faults, and is content where nobody can be asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from modules.app import developer
from tests import audit


def fault(package: str, name: str, fixed: str) -> dict[str, Any]:
    """As the OSV schema has it (https://ossf.github.io/osv-schema/)."""
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    return {
        "id": name,
        "summary": "made up",
        "affected": [{"package": {"name": package, "ecosystem": "PyPI"}, "ranges": ranges}],
    }


@contextmanager
def osv(known: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[list[str], list[str]]]:
    """A vulnerability service on this machine: pip-audit's flags for it, and the packages asked for."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(query["package"]["name"])
            found = known.get(asked[-1], [])
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield ["-s", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/v1/query"], asked
        finally:
            server.shutdown()
            thread.join()


def test_known_faults_are_told_with_the_version_that_fixes_them(capsys: pytest.CaptureFixture[str]) -> None:
    versions = audit.brought(["aiohttp==3"])
    with osv({"yarl": [fault("yarl", "GHSA-1", "99.0")], "pillow": [fault("pillow", "CVE-2", "98.1")]}) as (
        service,
        asked,
    ):
        assert audit.main(service=service) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines)[0].startswith("pillow ")
    assert f"yarl {versions['yarl']}: GHSA-1, fixed in 99.0" in lines
    assert len(lines) == 2
    assert {"discord-py", "aiohttp", "multidict", "sqlalchemy", "greenlet"} <= set(asked)
    assert "pytest" not in asked


def test_without_a_known_fault_it_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with osv({}) as (service, asked):
        assert audit.main(service=service) == 0
    assert capsys.readouterr().out == f"No known fault in {len(asked)} packages\n"


def test_where_nobody_can_be_asked_it_is_one_line_and_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections and never answers
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1/query"
        assert audit.main(service=["-s", "osv", "--osv-url", url], seconds=2) == 0
    told = capsys.readouterr().out
    assert told == "Skipped: no vulnerability service can be asked (no answer within 2 s)\n"
    assert audit.main(service=["-s", "osv", "--osv-url", url]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Skipped: no vulnerability service can be asked (")


def test_a_service_that_knows_no_package_has_not_looked() -> None:
    unknown = {"name": "aiohttp", "skip_reason": "Dependency not found on PyPI"}
    with pytest.raises(audit.NoService):
        list(audit.faults(json.dumps({"dependencies": [unknown]})))
    looked = {"name": "yarl", "version": "1", "vulns": []}
    assert list(audit.faults(json.dumps({"dependencies": [unknown, looked]}))) == []


def test_the_checks_include_the_audit() -> None:
    assert developer.CHECKS["audit"] == ["-m", "tests.audit"]
