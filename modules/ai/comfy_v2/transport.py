"""The HTTP client under the official one: limited answers, no redirects, nothing from the environment."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable

import httpx

MOST_BYTES = 96 * 2**20
"""The size limit of one answer: the largest picture, or the events of one connection."""


class AnswerTooLong(httpx.HTTPError):
    """The answer is longer than `MOST_BYTES`, or is compressed and could become longer."""


class _Counted(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > MOST_BYTES:
                raise AnswerTooLong("the answer is too long")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Limited(httpx.AsyncHTTPTransport):
    def __init__(self, may_post: Callable[[], None]) -> None:
        # As elsewhere in the bot: the system's certificates, or those that SSL_CERT_FILE names.
        super().__init__(verify=ssl.create_default_context(), trust_env=False)
        self._may_post = may_post

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self._may_post()
        response = await super().handle_async_request(request)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.aclose()
            raise AnswerTooLong("the answer is compressed, although the bot asked for an uncompressed one")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Counted(response.stream)
        return response


def http_client(may_post: Callable[[], None]) -> httpx.AsyncClient:
    """``may_post`` is called right before each request that changes something, and raises if it must not be
    sent."""
    return httpx.AsyncClient(
        transport=_Limited(may_post),
        headers={"Accept-Encoding": "identity"},
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(30.0, connect=10.0),
    )
