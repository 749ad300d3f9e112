"""What preflight finds on a server, in words, each with how to fix it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modules.ai import node_pack as pack
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import Lack
from modules.ai.workflows.suggestions import did_you_mean
from modules.utils.inspection import Finding

OLDEST_COMFYUI = (0, 18)

COARSE_ATTENTION = ("--use-sage-attention", "--use-ck-attention")
"""Flags for attention in 8 bits. Prompts of unequal length share a run behind masks. Sage attention of older
ComfyUIs leaves masks out (measured); that of newer ones computes what has a mask by another kernel than the
lone picture, which has none; and both kinds scale their 8 bits by the tokens they are given, a neighbour's
filling among them. So on such a server no sampler run is shared. Not among them: Flash attention and
xformers, which compute what the default does; ``--fast``, whose fp16 sums, cuBLAS and autotuning round
otherwise as any batch does, and whose fp8 products scale by a constant."""

_GGUF = ("GGUF", "GGUFAdvanced")
_COPY = "copy comfy_custom_nodes/fullet into its ComfyUI/custom_nodes and restart it"


def about_version(server: str, version: str, memory_gb: float | None) -> list[Finding]:
    """What the server is."""
    what = f"{server} is ComfyUI {version}" + (f" with {memory_gb:.1f} GB" if memory_gb else "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) < 2 or numbers >= OLDEST_COMFYUI:
        return [Finding(level="ok", what=what)]
    newer = ".".join(map(str, OLDEST_COMFYUI))
    return [Finding(level="hint", what=f"{what}, which is old", mend=f"update it to {newer} or newer")]


def about_way(server: str, *, encrypted: bool, key: bool, private: bool) -> Finding:
    """How the server is reached, and whether its key can be read on the way."""
    if key and not encrypted and not private:
        what = f"the key for {server} is sent without TLS"
        return Finding(level="hint", what=what, mend="use https:// in COMFY_URLS")
    way = f"{'HTTPS' if encrypted else 'HTTP'}, {'with its key' if key else 'without a key'}"
    return Finding(level="ok", what=f"{server} answers over {way}")


def about_gguf(server: str, classes: Iterable[str]) -> list[Finding]:
    """That the nodes for quantised files are there; what is missing is told as a lack of its models."""
    names = sorted(name for name in classes if name.endswith(_GGUF))
    return [Finding(level="ok", what=f"{server} has the GGUF nodes {', '.join(names)}")] if names else []


def about_pack(server: str, version: str | None, *, usable: bool) -> Finding:
    """Whether the node pack is there, and which."""
    if version is None:
        what = f"{server} makes pictures one by one, without the node pack"
        return Finding(level="hint", what=what, mend=_COPY)
    if version == pack.PACK_VERSION:
        return Finding(level="ok", what=f"{server} has the node pack {version}")
    what = f"{server} has the node pack {version}, this bot is made for {pack.PACK_VERSION}"
    if not usable:
        what += ", so pictures are made one by one"
    return Finding(level="hint", what=what, mend=_COPY)


def about_lack(server: str, lack: Lack, models: Mapping[str, str], *, fatal: bool, fetch: str) -> Finding:
    """A node or a file that the server has not. ``models``: those that need it, and their workflow files;
    ``fetch``: the command that fetches it, if known."""
    cannot = f"cannot {'run' if fatal else 'fuse'} {', '.join(models)}"
    files = " and ".join(f"flujos/{file}" for file in models.values())
    if lack.folder:
        what = f"{files} uses the picture {lack.value}, which is not in the {lack.folder} folder of {server}"
        mend = f"put it there, or choose another one in {files}"
    elif not lack.input:
        what, mend = f"{server} {cannot}, it lacks the node {lack.class_type}", _origin(lack.class_type)
    else:
        what = f"{server} {cannot}, it lacks {lack.value} (input {lack.input} of {lack.class_type})"
        mend = f"put the file there, or write its name in {files}{did_you_mean(lack.value, lack.options)}"
        if fetch:
            near = did_you_mean(lack.value, lack.options).removeprefix("; ")
            mend = f"{near} Else fetch it" if near else "fetch it"
            mend += ", in the folder that has ComfyUI in it, by"
        elif not lack.is_file:
            mend = f"choose another value in {files}{did_you_mean(lack.value, lack.options)}"
    return Finding(level="fault" if fatal else "hint", what=what, mend=mend, detail=fetch)


def _origin(class_type: str) -> str:
    if class_type in pack.CLASSES:
        return _COPY
    if class_type.endswith(_GGUF):
        return "install ComfyUI-GGUF there and restart it"
    return "install the extension that brings it, or update ComfyUI, and restart it"


def about_cache(server: str, argv: JSON, weights: Iterable[str]) -> list[Finding]:
    """Whether the server loads everything anew when people change between models."""
    if not isinstance(argv, list) or len(set(weights)) < 2:
        return []
    flags = {flag.partition("=")[0] for flag in argv if isinstance(flag, str)}
    if flags & {"--cache-lru", "--cache-ram"}:
        return []
    what = f"{server} loads its models again whenever people switch between them"
    return [Finding(level="hint", what=what, mend="start ComfyUI with --cache-lru 100")]


def coarse_attention(argv: JSON) -> str | None:
    """The flag of the server's command line that makes its attention too coarse to share a run."""
    given = [flag for flag in argv if isinstance(flag, str)] if isinstance(argv, list) else []
    for name in COARSE_ATTENTION:  # argparse takes abbreviations, too
        if any(len(flag) > len("--use-") and name.startswith(flag) for flag in given):
            return name
    return None


def about_attention(server: str, flag: str) -> Finding:
    """The server attends too coarsely for pictures of several people in one sampler run."""
    what = f"{server} was started with {flag}, so its models make pictures one by one"
    return Finding(level="hint", what=what, mend=f"start ComfyUI without {flag}")


def about_memory(server: str, name: str, needed_gb: float, memory_gb: float) -> Finding:
    """The card says that not even one picture fits."""
    what = f"{server} has {memory_gb:.1f} GB, and the card of {name} asks for {needed_gb:.1f} GB"
    return Finding(level="hint", what=what, mend="expect it to be slow, or correct the card")


def about_model(server: str, name: str, limit: int, why_alone: str | None, *, untried: bool) -> Finding:
    """A model that the server can run; ``untried``: how many pictures fit is not known yet."""
    if why_alone is not None:
        return Finding(level="ok", what=f"{server} can run {name}, one by one ({why_alone})")
    what = f"{server} can run {name}, {limit} at once"
    if untried:
        what = (
            f"{server} can run {name}, one at a time to begin with, up to {limit} once they are known to fit"
        )
    return Finding(level="ok", what=what)
