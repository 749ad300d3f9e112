"""One address of Comfy API v2: its routes as methods with typed arguments and results, and our own errors."""

from __future__ import annotations

import asyncio
import io
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import quote, urljoin, urlsplit

import httpx
from comfy_low import ApiError, AsyncComfyLow, RawEvent, SSEDecoder, error_from_envelope
from pydantic import ValidationError

from modules.ai.comfy.errors import (
    ServerLacks,
    ServerSilent,
    Unreachable,
    Untrusted,
    refusal,
    short,
    struck_out,
)
from modules.ai.comfy_v2.transport import http_client
from modules.ai.workflows.graph import JSON
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import (
    EngineFull,
    EngineUnauthorized,
    EngineUnavailable,
    GenerationError,
    NoOutput,
    WorkflowRejected,
)
from modules.utils.private_hosts import is_private

LABEL = "fullet"
"""The label that holds the bot's own name for a job."""

NO_JOB = "00000000-0000-4000-8000-000000000000"
"""An id that no job has: asking for it shows whether the server answers, without a run."""

ANSWER, UPLOAD, PICTURE = 30.0, 90.0, 120.0
"""Time limits of a request, in seconds: of any, of an upload, and of fetching a picture."""

WITHOUT_CREDITS = 300.0
"""Seconds until an address without credits gets a run again."""

USUAL_WAIT, LONGEST_WAIT = 10.0, 600.0
"""Seconds to wait after "too many requests": if the answer does not say, and at most."""

_QUIET = httpx.Timeout(10.0, read=45.0)
"""Time limits of a stream of events, which sends a sign of life about every 15 seconds."""

_NAME = re.compile(r"(?!http)[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
"""What a job's id may look like."""

Labels = Literal["map", "text", "none"]
"""What a server keeps as a job's metadata: labels, one text (comfy-api-proxy), or nothing (Comfy Cloud)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteJob:
    """The state of a job, as the server tells it; only the id is checked."""

    id: str
    status: JSON
    outputs: JSON = None
    error: JSON = None
    progress: JSON = None


class OutcomeUnknown(EngineUnavailable):
    """The server may have accepted the job without saying so."""


class KeyUsed(EngineUnavailable):
    """A job was accepted before under this idempotency key."""


class NotFound(EngineUnavailable):
    """The server does not have it."""


class ComfyV2Client:
    """Talks to the API at ``url`` with a key of its own. ``may_post``: see `http_client`.

    Every method raises `EngineUnavailable` (or a subclass) if the server cannot be used; if that is only for
    now, `EngineFull`.
    """

    def __init__(self, *, url: str, api_key: str | None = None, may_post: Callable[[], None]) -> None:
        parts = urlsplit(url)
        self.name = url.partition("://")[2]
        self.encrypted, self.has_key = parts.scheme == "https", bool(api_key)
        self.private = is_private(parts.hostname or "")
        self._key = api_key or ""
        self._http = http_client(may_post)
        # The client also has a second address, to which it would send the key. Nothing here uses that one, so
        # it is set to the same address.
        self._low = AsyncComfyLow(url, api_key, client=self._http, client_info="FuLLet", router_base_url=url)
        self._base = url

    async def check(self) -> None:
        """Raise an error unless the server answers and takes the key. Starts no run."""
        with self._translated():
            answer = await self._answer("GET", f"/jobs/{NO_JOB}")
            told = isinstance(_object(answer).get("error"), dict)
            if answer.status_code in (200, 404) and not told:
                raise EngineUnavailable(f"{self.name} does not answer as Comfy API v2 does")
            if answer.status_code != 404:
                self._expect(answer, ())

    async def labels(self) -> Labels:
        """What the server keeps as metadata, by its list of jobs."""
        with self._translated():
            answer = await self._answer("GET", f"/jobs?metadata[{LABEL}]={NO_JOB}&limit=1")
            if answer.status_code != 200 and answer.status_code not in (403, 404, 405, 501):
                self._expect(answer, ())
        listed = _object(answer)
        if not isinstance(listed.get("jobs"), list):
            return "none"
        return "text" if "truncated" in listed else "map"

    async def submit(
        self,
        graph: Mapping[str, JSON],
        *,
        key: str,
        labels: Labels,
        titles: Mapping[str, str],
        written: Sequence[str],
    ) -> RemoteJob:
        """Start a run. ``key`` is its idempotency key, and its name among ``labels``.

        Raises `OutcomeUnknown` if the run may have started, `KeyUsed` if one was accepted under this key
        before; after any other error no run has started. Nothing of ``written`` is repeated.
        """
        body: dict[str, JSON] = {"workflow": graph}
        if labels != "none":
            body["metadata"] = {LABEL: key} if labels == "map" else key
        plain_no = False
        try:
            with self._translated(titles, written):
                answer = await self._answer("POST", "/jobs", json=body, headers={"Idempotency-Key": key})
                plain_no = 300 <= answer.status_code < 500 and answer.status_code not in (408, 409)
                return self._state(self._expect(answer, (200, 201, 202)))
        except EngineUnavailable as error:
            if plain_no or isinstance(error, Unreachable):
                raise
            raise OutcomeUnknown(error.reason) from error

    async def job(self, job_id: str) -> RemoteJob:
        """The state of a job. Raises `NotFound`."""
        with self._translated():
            answer = await self._answer("GET", f"/jobs/{quote(job_id, safe='')}")
            return self._state(self._expect(answer, (200,)))

    async def find(self, key: str, labels: Labels) -> str | None:
        """The id of the job with this name among its ``labels``; None if the server shows none."""
        if labels == "none":
            return None
        labelled = f"&metadata[{LABEL}]={quote(key, safe='')}" if labels == "map" else ""
        with self._translated():
            listed = self._expect(await self._answer("GET", f"/jobs?limit=100{labelled}"), (200,)).get("jobs")
        for item in listed if isinstance(listed, list) else ():
            told = item.get("metadata") if isinstance(item, dict) else None
            name = told.get(LABEL) if isinstance(told, dict) else told
            if name == key and isinstance(item.get("id"), str):
                return str(item["id"])
        return None

    async def cancel(self, job_id: str) -> RemoteJob:
        """Ask the server to cancel the job, which may have ended already."""
        with self._translated():
            answer = await self._answer("POST", f"/jobs/{quote(job_id, safe='')}/cancel")
            return self._state(self._expect(answer, (200, 202)))

    async def upload(self, data: bytes, filename: str, kind: str) -> dict[str, JSON]:
        """Upload a picture; returns the input value by which a graph loads it."""
        with self._translated():
            async with timeout(UPLOAD):
                asset = await self._low.post_assets(io.BytesIO(data), kind, filename)
        return {"__type": "core/ASSET", "info": {"id": asset.id}}

    async def picture(self, asset_id: str) -> bytes:
        """The bytes of an output. Raises `NoOutput` if they are gone."""
        with self._translated():
            async with timeout(PICTURE):
                path = f"/assets/{quote(asset_id, safe='')}/content"
                async with self._low.open("GET", path) as answer:
                    if answer.has_redirect_location:
                        return await self._stored(answer.headers["Location"])
                    if answer.status_code == 404:
                        raise NoOutput("the picture is not there any more")
                    if answer.status_code != 200:
                        await answer.aread()
                        self._expect(answer, ())
                    return await answer.aread()

    async def _stored(self, location: str) -> bytes:
        """Fetch a file from the platform's storage, without the key: the signed address is enough."""
        url = urljoin(self._base, location)
        parts = urlsplit(url)
        if (self.encrypted and parts.scheme != "https") or (
            is_private(parts.hostname or "") and not self.private
        ):
            raise EngineUnavailable(
                f"{self.name} keeps its pictures at a private address, or without TLS: the bot uses neither"
            )
        answer = await self._http.get(url)
        if answer.status_code != 200:
            raise EngineUnavailable(f"{self.name}: its storage answered {answer.status_code}")
        return answer.content

    async def events(self, job_id: str) -> AsyncGenerator[RawEvent, None]:
        """The job's events from now on, until the connection ends."""
        with self._translated():
            path, headers = f"/jobs/{quote(job_id, safe='')}/events", {"Accept": "text/event-stream"}
            async with self._low.open("GET", path, headers=headers, timeout=_QUIET) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    self._expect(answer, ())
                decoder = SSEDecoder()
                async for line in answer.aiter_lines():
                    for event in decoder.push(line):
                        yield event

    async def aclose(self) -> None:
        await self._http.aclose()

    # ── answers ─────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, method: str, path: str, **more: Any) -> httpx.Response:
        async with timeout(ANSWER):
            return await self._low.raw_request(method, path, **more)

    def _expect(self, answer: httpx.Response, statuses: tuple[int, ...]) -> dict[str, Any]:
        """The answer's object. Raises `ApiError` for any status that is not in ``statuses``."""
        body = _object(answer)
        if answer.status_code in statuses:
            return body
        raise error_from_envelope(answer.status_code, body, retry_after=_retry_after(answer))

    def _state(self, body: Mapping[str, JSON]) -> RemoteJob:
        name = body.get("id")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise EngineUnavailable(f"{self.name} answered with a run that has no id")
        told = {part: body.get(part) for part in ("status", "outputs", "error", "progress")}
        return RemoteJob(id=name, **told)

    @contextmanager
    def _translated(
        self, titles: Mapping[str, str] | None = None, written: Sequence[str] = ()
    ) -> Iterator[None]:
        try:
            yield
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise ServerSilent(f"{self.name} did not answer in time") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._no_connection(error) from error
        except httpx.TimeoutException as error:
            raise ServerSilent(f"{self.name} did not answer in time") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise EngineUnavailable(f"{self.name}: the connection broke ({type(error).__name__})") from error
        except (ValidationError, httpx.InvalidURL) as error:
            raise EngineUnavailable(f"{self.name} gave an answer that does not fit Comfy API v2") from error
        except ApiError as error:
            raise self._meant(error, titles or {}, written) from error

    def _no_connection(self, error: BaseException) -> EngineUnavailable:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return Untrusted(
                    f"{self.name}: its certificate is not trusted ({short(cause.verify_message)})"
                )
            if isinstance(cause, ssl.SSLError):
                return Untrusted(f"{self.name} does not speak TLS at this address")
            cause = cause.__cause__ or cause.__context__
        return Unreachable(f"{self.name} cannot be reached")

    def _meant(  # noqa: PLR0911 - each answer means something else
        self, error: ApiError, titles: Mapping[str, str], written: Sequence[str]
    ) -> GenerationError:
        """Our own error for an error of the API."""
        status, code = error.http_status, error.code
        said = struck_out(short(error.message), (*written, self._key))
        if status in (401, 403):
            return EngineUnauthorized(
                f"{self.name} needs the right key in COMFY_API_KEYS (it answered {status})"
            )
        if status == 402:
            return EngineFull(
                f"no credits are left at {self.name}; it gets no more pictures until you add some",
                seconds=WITHOUT_CREDITS,
            )
        if status == 429:
            seconds = min(error.retry_after or USUAL_WAIT, LONGEST_WAIT)
            what = "is not ready yet" if code == "deployment_not_ready" else "accepts no more runs right now"
            return EngineFull(f"{self.name} {what}; the bot asks again in {seconds:g} s", seconds=seconds)
        if code == "idempotency_key_reuse":
            return KeyUsed(f"{self.name} already has this run")
        if code == "invalid_workflow" and status == 422:
            return self._refused(error, titles, written)
        if code == "deployment_stopped":
            return EngineUnavailable(f"the deployment at {self.name} is stopped; start it there")
        if status == 404:
            return NotFound(f"{self.name} does not have what was asked for (it answered 404)")
        if status == 413:
            return WorkflowRejected("the server does not accept an upload of this size")
        if 300 <= status < 400:
            return EngineUnavailable(
                f"{self.name} redirects to another address; put the right one in COMFY_URLS"
            )
        return EngineUnavailable(f"{self.name} answered {status} ({said})")

    def _refused(self, error: ApiError, titles: Mapping[str, str], written: Sequence[str]) -> GenerationError:
        """The error for a graph that was refused: the server lacks something, unless ComfyUI's own words say
        that an input is wrong."""
        faults = (error.details or {}).get("node_errors")
        told = refusal({"error": {"message": error.message}, "node_errors": faults}, titles, written)
        own_words = isinstance(faults, dict) and any(
            isinstance(node, dict) and node.get("errors") for node in faults.values()
        )
        if own_words and not isinstance(told, ServerLacks):
            return told
        return ServerLacks(told.reason)


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after(answer: httpx.Response) -> int | None:
    """Seconds to wait (at least one), from a header that holds a number or a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return max(1, int(text[:9]))
    try:
        then, now = parsedate_to_datetime(text), parsedate_to_datetime(answer.headers.get("Date", ""))
        return max(1, int((then - now).total_seconds()))
    except (TypeError, ValueError):
        return None
