"""Turns foreign errors into ours: broken connections, ComfyUI's refusals, errors of its nodes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import aiohttp

from modules.ai import node_pack as pack
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.suggestions import did_you_mean
from modules.queue_manager.errors import (
    EngineForgot,
    EngineSick,
    EngineUnavailable,
    ExecutionFailed,
    FusionRefused,
    GenerationError,
    OutOfMemory,
    WorkflowRejected,
)

_LONGEST = 300
_SECRET_INPUTS = frozenset({"text", "prompt", "prompts", "clip_l", "t5xxl", "value", "string"})
"""Inputs that hold what people wrote; their values are never repeated."""

_RUN = 12
"""This many characters in a row of what somebody wrote are never repeated."""
_SHORTEST = 4
"""A shorter text may be repeated: it says nothing about its writer."""


class ServerSilent(EngineUnavailable):
    """No answer in time: the server may be busy, and may have done what it was asked."""


class Unreachable(EngineUnavailable):
    """No connection to the address can be made (any more): the server got no request, or has gone since."""


class Untrusted(Unreachable):
    """The server does not speak TLS, or this machine does not trust its certificate."""


class ServerLacks(EngineUnavailable, message_key="error-server-lacks"):
    """The server does not have a node or a model file that a graph needs; another one may."""


def connecting_failed(error: OSError) -> str:
    """Why, in words."""
    if isinstance(error, ConnectionRefusedError):  # asyncio words it as "Connect call failed ('::1', 1)"
        return "nothing listens there"
    return error.strerror or type(error).__name__


@contextmanager
def foreign_errors(server: str) -> Iterator[None]:
    """Turns the errors of aiohttp and sockets, and timeouts, into `EngineUnavailable` with the server's
    name."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise Unreachable(f"{server} cannot be reached (no connection in time)") from error
    except (TimeoutError, asyncio.TimeoutError) as error:
        raise ServerSilent(f"{server} did not answer in time") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise Unreachable(f"{server}: no such host") from error
    except aiohttp.ClientConnectorCertificateError as error:
        why = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        raise Untrusted(f"{server}: its certificate is not trusted ({short(why)})") from error
    except aiohttp.ClientSSLError as error:
        raise Untrusted(f"{server} does not speak TLS at this address") from error
    except aiohttp.ClientConnectorError as error:
        why = connecting_failed(error.os_error)
        raise Unreachable(f"{server} cannot be reached ({why})") from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineUnavailable(f"{server}: the connection broke ({type(error).__name__})") from error


def refusal(body: JSON, titles: Mapping[str, str], written: Sequence[str] = ()) -> GenerationError:
    """ComfyUI's refusal of a graph as an error: which node, which input, what is allowed.

    If only nodes or model files are missing, the server is to blame. ``titles`` maps node ids to the names
    that people know; nothing of ``written`` is repeated.
    """
    faults = list(_faults(body, titles))
    told = "; ".join(sentence for sentence, _ in faults)
    reason = struck_out(short(told or "the server refused the graph without giving a reason"), written)
    if faults and all(lacking for _, lacking in faults):
        return ServerLacks(reason)
    return WorkflowRejected(reason)


def _faults(body: JSON, titles: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    body = body if isinstance(body, dict) else {}
    error, nodes = body.get("error"), body.get("node_errors")
    error = error if isinstance(error, dict) else {"message": error}
    if error.get("type") == "missing_node_type":
        yield str(error.get("message")), True
    for node_id, told in list(nodes.items())[:20] if isinstance(nodes, dict) else ():
        node = told if isinstance(told, dict) else {}
        where = titles.get(node_id) or f"node {node_id} ({node.get('class_type')})"
        faults = node.get("errors")
        for fault in faults[:5] if isinstance(faults, list) else ():
            if isinstance(fault, dict):
                yield f"{where}, {_told(fault)}", fault.get("type") == "value_not_in_list"
    if not nodes and error.get("type") != "missing_node_type":
        texts = [str(error[name]) for name in ("message", "details") if error.get(name)]
        yield ": ".join(dict.fromkeys(texts)), False


def _told(fault: Mapping[str, JSON]) -> str:
    extra = fault.get("extra_info")
    extra = extra if isinstance(extra, dict) else {}
    name = str(extra.get("input_name") or "?")
    value = "what was written" if name in _SECRET_INPUTS else repr(extra.get("received_value"))
    kind, limits = fault.get("type"), _limits(extra.get("input_config"))
    if kind == "value_not_in_list":
        options = _options(extra.get("input_config"), str(fault.get("details")))
        return (
            f"input {name}: {value} is not on the server{did_you_mean(extra.get('received_value'), options)}"
        )
    if kind == "value_smaller_than_min":
        return f"input {name}: {value} is too small; the minimum is {limits.get('min')}"
    if kind == "value_bigger_than_max":
        return f"input {name}: {value} is too large; the maximum is {limits.get('max')}"
    if kind == "required_input_missing":
        return f"input {name} is missing"
    if name in _SECRET_INPUTS:
        return f"input {name}: {fault.get('message')}"
    return f"input {name}: {fault.get('message')} ({fault.get('details')})"


def _limits(config: JSON) -> Mapping[str, JSON]:
    return config[1] if isinstance(config, list) and len(config) > 1 and isinstance(config[1], dict) else {}


def _options(config: JSON, details: str) -> list[str]:
    """The choices, from either form of an input's configuration, else from the text."""
    listed = config[0] if isinstance(config, list) and config else None
    if not isinstance(listed, list):
        listed = _limits(config).get("options")
    if not isinstance(listed, list):
        listed = re.findall(r"'([^']{1,200})'", details.partition(" not in ")[2])
    return [option for option in listed if isinstance(option, str)]


_MEMORY = re.compile(
    r"out of memory|not enough (gpu video )?memory|can't allocate memory|allocation on device"
    r"|(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED|UR_RESULT_ERROR_OUT_OF_(DEVICE|HOST)_MEMORY|OUT_OF_(DEVICE|HOST)_MEMORY"
    r"|unable to allocate .{1,40} for an array",
    re.IGNORECASE,
)
"""A failed allocation, in the words of CUDA, ROCm, DirectML, cuBLAS, cuDNN, Level Zero and NumPy."""

_MEMORY_ERROR = re.compile(r"(OutOf|Array)MemoryError\Z|\AMemoryError\Z")

_SERVER = re.compile(
    r"\bos error (1455|112|28)\b|\[Errno 28\]|\[WinError (1455|112)\]|no space left on device"
    r"|not enough space on the disk|paging file is too small",
    re.IGNORECASE,
)
"""Trouble with the machine, whatever runs on it: a full disk, a paging file that is too small."""

_REFUSAL = re.compile(rf"({'|'.join(pack.CLASSES)}): input ")
"""Start of the node pack's sentence when it refuses what would not be exact."""


def failure(data: JSON, titles: Mapping[str, str], written: Sequence[str] = ()) -> GenerationError:
    """The data of an ``execution_error`` as an error; nothing of ``written`` is repeated."""
    data = data if isinstance(data, dict) else {}
    kind, message = str(data.get("exception_type") or ""), str(data.get("exception_message") or "")
    node_id = str(data.get("node_id"))
    where = titles.get(node_id) or f"node {node_id} ({data.get('node_type')})"
    told = short(f"{where}: {kind.rpartition('.')[2] or 'error'}: {message.strip()}")
    reason = struck_out(told, written)
    if kind.rpartition(".")[2] == "Refused" and _REFUSAL.match(message):
        return FusionRefused(struck_out(short(message.strip()), written))
    if _SERVER.search(message):
        return EngineSick(reason)
    if _MEMORY_ERROR.search(kind) or _MEMORY.search(message):
        return OutOfMemory(reason)
    return ExecutionFailed(reason)


def interruption() -> GenerationError:
    """The run was stopped at the server, by us or by somebody there."""
    return EngineForgot("the run was interrupted at the server")


def struck_out(text: str, written: Sequence[str]) -> str:
    """``text`` with "…" for what it repeats of ``written``, whatever its case and its escapes."""
    forms = [(token, [_read(one, token)[0].strip() for one in written]) for token in (_AS_IS, _ESCAPED)]
    while hidden := {place for token, lines in forms for place in _repeated(text, token, lines)}:
        text = "".join(
            char if at not in hidden else "" if at - 1 in hidden else "…" for at, char in enumerate(text)
        )
    return text


def _repeated(text: str, token: re.Pattern[str], lines: Iterable[str]) -> Iterator[int]:
    """The places in ``text`` that repeat one of the lines."""
    own, spans = _read(text, token)
    for line in lines:
        length = min(_RUN, len(line))
        for start in range(len(own) - length + 1 if length >= _SHORTEST else 0):
            if own[start : start + length] in line:
                yield from range(spans[start][0], spans[start + length - 1][1])


_AS_IS = re.compile("(?P<char>.)", re.DOTALL)
_ESCAPED = re.compile(
    r"\\+(?:u(?P<u>[0-9a-fA-F]{4})|U(?P<U>000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})|x(?P<x>[0-9a-fA-F]{2})"
    r"|(?P<space>[nrtvf])|(?P<other>.)?)|(?P<char>.)",
    re.DOTALL,
)
"""A character as programming languages write it in a string, escaped any number of times."""


def _read(text: str, token: re.Pattern[str]) -> tuple[str, list[tuple[int, int]]]:
    """The characters that ``text`` stands for, and the place of each: in lower case, white space as one
    space, and those beyond 16 bits as two, as JSON escapes them."""
    line: list[str] = []
    spans: list[tuple[int, int]] = []
    for match in token.finditer(text):
        kind, found = match.lastgroup, match[match.lastgroup or 0]
        if kind in ("u", "U", "x"):
            found = chr(int(found, 16))
        elif kind is None:  # backslashes at the end
            continue
        for unit in _units(" " if kind == "space" or found.isspace() else found):
            if unit == " " and line[-1:] == [" "]:
                spans[-1] = spans[-1][0], match.end()
            else:
                line.append(unit)
                spans.append(match.span())
    return "".join(line), spans


def _units(char: str) -> Iterator[str]:
    low = char.lower()
    code = ord(low if len(low) == 1 else char)
    if code > 0xFFFF:
        yield chr(0xD7C0 + (code >> 10))
        code = 0xDC00 + (code & 0x3FF)
    yield chr(code)


def short(text: str) -> str:
    """A foreign text as one line of at most `_LONGEST` characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
