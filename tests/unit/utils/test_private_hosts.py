"""A key that would be sent unencrypted outside a private network is reported, with the fix."""

from __future__ import annotations

import aiohttp
import pytest

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.findings import about_way
from modules.utils.private_hosts import is_private


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True), ("::1", True), ("10.1.2.3", True), ("192.168.0.9", True), ("comfyui", True),
        ("gpu.local", True), ("gpu.lan", True), ("svc.internal", True), ("/var/run/postgresql", True),
        ("GPU.LAN", True), ("nas.home.arpa", True), ("100.101.102.103", True), ("fd7a:115c::1", True),
        ("8.8.8.8", False), ("100.128.0.1", False), ("2606:4700::1111", False),
        ("gpu.example.com", False), ("local.example.com", False),
    ],
)  # fmt: skip
def test_private_ground_is_told_from_the_rest(host: str, private: bool) -> None:
    assert is_private(host) is private


@pytest.mark.parametrize(
    ("url", "key", "told"),
    [
        ("http://gpu.example.com:8188", "k", True),
        ("https://gpu.example.com", "k", False),
        ("http://gpu.example.com:8188", None, False),
        ("http://192.168.0.9:8188", "k", False),
        ("http://8.8.8.8:8188", "name:word", True),
    ],
)
async def test_a_key_in_the_open_is_told(url: str, key: str | None, told: bool) -> None:
    async with aiohttp.ClientSession() as session:
        http = ComfyClient(session=session, url=url, api_key=key).http
    finding = about_way(http.name, encrypted=http.encrypted, key=http.has_key, private=http.private)
    assert (finding.level == "hint") is told
    assert not told or str(finding).endswith("is sent without TLS: use https:// in COMFY_URLS")
