"""The sentences of what preflight finds on a server, each with how to fix it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from modules.ai import node_pack as pack
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import Lack
from modules.ai.workflows.suggestions import did_you_mean
from modules.queue_manager.jobs import FusionCheck
from modules.utils.inspection import Finding
from modules.utils.settings.values import is_loopback

OLDEST_COMFYUI = (0, 18)

COARSE_ATTENTION = ("--use-sage-attention", "--use-ck-attention")
"""Flags for attention in 8 bits; on such a server no sampler run is shared. Prompts of unequal length share a
run behind masks. In older versions of ComfyUI, Sage attention ignores masks (measured). In newer ones, it
uses a different kernel if there is a mask, and a picture alone has none. Both scale their 8 bits by all the
tokens they get, a neighbour's padding included. Harmless: Flash attention and xformers, which compute what
the default does, and ``--fast``, whose fp16 sums, cuBLAS and autotuning only round differently, as any batch
does, and whose fp8 products scale by a constant."""

_GGUF = ("GGUF", "GGUFAdvanced")
_COPY = "copy comfy_custom_nodes/fullet into its ComfyUI/custom_nodes and restart it"


def about_version(server: str, version: str, memory_gb: float | None) -> list[Finding]:
    what = f"{server} is ComfyUI {version}" + (f" with {memory_gb:.1f} GB" if memory_gb else "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) < 2 or numbers >= OLDEST_COMFYUI:
        return [Finding(level="ok", what=what, routine=True)]
    newer = ".".join(map(str, OLDEST_COMFYUI))
    return [Finding(level="hint", what=f"{what}, which is old", fix=f"update it to {newer} or newer")]


def about_way(server: str, *, encrypted: bool, key: bool, private: bool) -> Finding:
    """How the server is reached, and whether others can read its key on the way."""
    if key and not encrypted and not private:
        what = f"the key for {server} is sent without TLS"
        return Finding(level="hint", what=what, fix="use https:// in COMFY_URLS")
    way = f"{'HTTPS' if encrypted else 'HTTP'}, {'with its key' if key else 'without a key'}"
    return Finding(level="ok", what=f"{server} answers over {way}", routine=True)


def about_gguf(server: str, classes: Iterable[str]) -> list[Finding]:
    """The nodes for quantised files, if the server has them; missing ones are found by `about_lack`."""
    names = sorted(name for name in classes if name.endswith(_GGUF))
    what = f"{server} has the GGUF nodes {', '.join(names)}"
    return [Finding(level="ok", what=what, routine=True)] if names else []


def about_pack(server: str, version: str | None, *, usable: bool) -> Finding:
    """Whether the node pack is there, and its version; ``usable``: it understands this bot's graphs."""
    if version is None:
        what = f"{server} lacks the node pack, so it makes pictures one by one and cannot make variations"
        return Finding(level="hint", what=what, fix=_COPY)
    what = f"{server} has the node pack {version}"
    if usable:
        return Finding(level="ok", what=what, routine=True)
    what += f", and this bot needs {pack.PACK_VERSION}, so pictures are made one by one"
    return Finding(level="hint", what=what, fix=f"run {_copy_line(server)} and restart that ComfyUI")


def _copy_line(server: str) -> str:
    """The command that puts this bot's node pack in the place of another one."""
    host = urlsplit(f"//{server}").hostname or server
    shown = f"[{host}]" if ":" in host else host
    program, there = ("cp", "") if is_loopback(host) else ("scp", f"{shown}:")
    return f"{program} -r comfy_custom_nodes/fullet {there}ComfyUI/custom_nodes/"


def about_lack(server: str, lack: Lack, models: Mapping[str, str], *, fatal: bool, fetch: str) -> Finding:
    """A node or a file that the server does not have. ``models``: who needs it, and their workflow files;
    ``fetch``: the command that fetches it, if known."""
    names = ", ".join(models)
    cannot = f"cannot run {names}" if fatal else f"can make pictures with {names} only one by one"
    files = " and ".join(f"flujos/{file}" for file in models.values())
    if lack.folder:
        use = "uses" if len(models) == 1 else "use"
        what = f"{files} {use} the picture {lack.value}, which is not in the {lack.folder} folder of {server}"
        fix = f"put it there, or choose another one in {files}"
    elif not lack.input:
        what = f"{server} {cannot}, because it lacks the node {lack.class_type}"
        fix = _origin(lack.class_type)
    else:
        what = f"{server} {cannot}, because it lacks {lack.value} (input {lack.input} of {lack.class_type})"
        near = did_you_mean(lack.value, lack.options)
        if fetch:
            fix = f"{near.removeprefix('; ')} Otherwise download it" if near else "download it"
            fix += " by running this in the folder that contains ComfyUI"
        elif lack.is_file:
            fix = f"put the file there, or name another one in {files}{near}"
        else:
            fix = f"choose another value in {files}{near}"
    return Finding(level="fault" if fatal else "hint", what=what, fix=fix, detail=fetch)


def _origin(class_type: str) -> str:
    if class_type in pack.CLASSES:
        return _COPY
    if class_type.endswith(_GGUF):
        return "install https://github.com/city96/ComfyUI-GGUF there and restart it"
    return "install the extension that brings it, or update ComfyUI, and restart it"


def about_cache(server: str, argv: JSON, weights: Iterable[str]) -> list[Finding]:
    """Whether the server loads a model again each time people switch to it."""
    if not isinstance(argv, list) or len(set(weights)) < 2:
        return []
    flags = {flag.partition("=")[0] for flag in argv if isinstance(flag, str)}
    if flags & {"--cache-lru", "--cache-ram"}:
        return []
    what = f"{server} loads its models again whenever people switch between them"
    return [Finding(level="hint", what=what, fix="start ComfyUI with --cache-lru 100")]


def coarse_attention(argv: JSON) -> str | None:
    """The flag of the server that makes its attention too coarse to share a run, None without one."""
    given = [flag for flag in argv if isinstance(flag, str)] if isinstance(argv, list) else []
    for name in COARSE_ATTENTION:  # argparse accepts abbreviations
        if any(len(flag) > len("--use-") and name.startswith(flag) for flag in given):
            return name
    return None


def about_attention(server: str, flag: str) -> Finding:
    what = f"{server} was started with {flag}, so its models make pictures one by one"
    return Finding(level="hint", what=what, fix=f"start ComfyUI without {flag}")


def about_memory(server: str, name: str, needed_gb: float, memory_gb: float) -> Finding:
    """The card says that not even one picture fits."""
    what = f"{server} has {memory_gb:.1f} GB, and the model card of {name} asks for {needed_gb:.1f} GB"
    return Finding(level="hint", what=what, fix="expect it to be slow, or correct [memory] in the model card")


def about_model(server: str, name: str, limit: int, why_alone: str | None, *, untried: bool) -> Finding:
    """A model that the server can run; ``untried``: how many pictures fit is not known yet."""
    if why_alone is not None:
        what = f"{server} can run {name}; its pictures are made one by one ({why_alone})"
        return Finding(level="ok", what=what, routine=True)
    what = f"{server} can run {name}, {limit} at once"
    if untried:
        what = (
            f"{server} can run {name}, one at a time to begin with, up to {limit} once they are known to fit"
        )
    return Finding(level="ok", what=what, routine=True)


def about_all(server: str, version: str, memory_gb: float | None, models: Iterable[str]) -> Finding:
    """The server and the models that it can run, in one line."""
    memory = f", {memory_gb:.1f} GB" if memory_gb else ""
    return Finding(level="ok", what=f"{server} (ComfyUI {version}{memory}) can run {', '.join(models)}")


def about_check(server: str, name: str, check: FusionCheck) -> Finding:
    """What ``check --fusion`` found about a model."""
    if check.why_alone is not None:
        what = f"{server} makes pictures with {name} one by one: {check.why_alone}"
        return Finding(level="hint", what=what, fix=f"run bot.py check --fusion {name} again after a change")
    gain = f", {check.gain:.1f}× as fast with {check.rows} at once" if check.rows else ""
    what = f"{server} fuses {name} exactly, checked on {day(check.checked_at)}{gain}"
    return Finding(level="ok", what=what, routine=True)


def day(unix: float) -> str:
    """The date of a moment, by this machine's calendar."""
    return datetime.fromtimestamp(unix).astimezone().strftime("%Y-%m-%d")
