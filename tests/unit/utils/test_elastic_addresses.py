"""Addresses of Comfy API v2 in the settings, and their keys."""

from __future__ import annotations

import pytest

from modules.queue_manager.errors import BadSettings
from modules.utils.settings import settings
from modules.utils.settings.elastic import ElasticAddress, is_elastic, read_elastic, shortest_start
from modules.utils.settings.settings import Settings

NEEDED = {
    "DISCORD_TOKEN": "MTE4NzQwMjM.GhJk2L.s3cr3t-part-of-the-token",
    "COMFY_URLS": "http://127.0.0.1:8188",
}


def read(**values: str) -> Settings:
    return settings.read({}, {**NEEDED, **values})


def fault(**values: str) -> str:
    with pytest.raises(BadSettings) as caught:
        read(**values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("comfy+https://cloud.comfy.org", ElasticAddress(url="https://cloud.comfy.org", after=60.0)),
        ("comfy+http://127.0.0.1:8189", ElasticAddress(url="http://127.0.0.1:8189")),
        (
            "comfy+https://cloud.comfy.org?jobs=8&after=0",
            ElasticAddress(url="https://cloud.comfy.org", jobs=8, after=0.0),
        ),
        (
            "comfy+https://NAME.run.comfy.app:443/api/v2/?models=flux+z-image&after=90",
            ElasticAddress(url="https://name.run.comfy.app", after=90.0, models=("flux", "z-image")),
        ),
        ("comfy+https://[::1]:8443/a", ElasticAddress(url="https://[::1]:8443/a", after=60.0)),
    ],
)
def test_an_address_says_on_which_terms_it_is_used(text: str, address: ElasticAddress) -> None:
    given = read(COMFY_URLS=f"http://gpu1:8188, {text}").comfy_urls
    assert [is_elastic(url) for url in given] == [False, True]
    assert read_elastic(given[1]) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("comfy+ftp://a", "not with comfy+https:// or comfy+http://"),
        ("comfy+https://a?jobs=0", "jobs= of an address is not a whole number from 1 to 64"),
        ("comfy+https://a?jobs=many", "jobs= of an address is not a whole number from 1 to 64"),
        ("comfy+https://a?after=-1", "after= of an address is not a whole number of seconds"),
        ("comfy+https://a?key=s3cr3t-key", "a key goes into COMFY_API_KEYS"),
        ("comfy+https://a?jobs=2#x", "an address contains #"),
        ("comfy+https://user:s3cr3t-key@a", "a user name or password"),
        ("comfy+https://a?jobs=2, comfy+https://a?jobs=3", "appears twice"),
    ],
)
def test_a_faulty_one_is_told_without_what_may_be_secret(text: str, said: str) -> None:
    told = fault(COMFY_URLS=text)
    assert said in told
    assert "s3cr3t" not in told


def test_a_name_says_how_long_its_first_server_takes_to_start() -> None:
    names = (
        "dns+http://comfyui:8188?start=90, dns+http://other:8188?start=30, dns+http://third:1, http://own:1"
    )
    assert shortest_start(read(COMFY_URLS=names).comfy_urls) == 30.0
    assert shortest_start(read(COMFY_URLS="dns+http://third:1, http://own:1").comfy_urls) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "dns+http://a:1?start=0",
            "is not a whole number of seconds from 1 to 3600",
        ),
        (
            "dns+http://a:1?start=soon",
            "is not a whole number of seconds from 1 to 3600",
        ),
        (
            "dns+http://a:1?start=",
            "is not a whole number of seconds from 1 to 3600",
        ),
        ("dns+http://a:1?jobs=8", "an option other than start="),
        ("dns+http://a:1#x", "contains ? or #"),
        ("http://a:1?start=90", "contains ? or #"),
    ],
)
def test_a_faulty_start_is_told(text: str, said: str) -> None:
    assert said in fault(COMFY_URLS=text)


def test_each_key_belongs_to_one_address() -> None:
    found = read(COMFY_API_KEYS="https://cloud.comfy.org/=comfyui-1=2, comfy+http://127.0.0.1:8189=t0ken-abc")
    assert dict(found.comfy_api_keys) == {
        "https://cloud.comfy.org": "comfyui-1=2",
        "http://127.0.0.1:8189": "t0ken-abc",
    }
    assert {"comfyui-1=2", "t0ken-abc"} <= set(found.secrets())
    assert "comfyui-1" not in repr(found)


@pytest.mark.parametrize(
    "text",
    ["s3cr3t-key", "https://a", "https://a?jobs=8=s3cr3t-key", "a=s3cr3t-key", "https://a=s3cr3t\u00e9"],
)
def test_a_faulty_pair_is_told_without_the_key(text: str) -> None:
    told = fault(COMFY_API_KEYS=text)
    assert told.startswith("COMFY_API_KEYS: ")
    assert "s3cr3t" not in told
