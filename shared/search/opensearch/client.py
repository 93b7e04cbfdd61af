"""Calls of a search server over HTTP, and the translation of its failures."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import aiohttp
import msgspec

from shared.domain.errors import Unavailable

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_CONNECTIONS = 32
_INDEXING_FACTOR = 12
"""Nobody waits for an answer about hundreds of books, and a build begins again after one that did not come."""
_SHOWN_ERROR = 300


class Reply(NamedTuple):
    """The status of an answer, and its document."""

    status: int
    document: Any


class SearchServerFailure(Exception):
    """The server refuses a request that is not the fault of a user."""


class SearchServerClient:
    """Sends requests to a server that speaks the API of Elasticsearch 8 or OpenSearch 2 and later.

    `url` may contain a user name and a password; no error shows it. A search is answered within `seconds`, and what
    indexes books within twelve times as long.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url.rstrip("/")
        self._search_timeout = aiohttp.ClientTimeout(total=seconds)
        self._indexing_timeout = aiohttp.ClientTimeout(total=_INDEXING_FACTOR * seconds)
        self._session: aiohttp.ClientSession | None = None

    async def send_request(
        self, method: str, path: str, body: Any = None, *, missing: bool = False, indexes: bool = False
    ) -> Reply:
        """Returns the answer to a request. With `missing` the status may be 404; one that `indexes` has more time.

        Raises Unavailable if the server does not answer or is overloaded, SearchServerFailure if it refuses.
        """
        content = None if body is None else _encode(body)
        timeout = self._indexing_timeout if indexes else self._search_timeout
        reply = await self._exchange(method, path, content, "application/json", timeout)
        if reply.status >= 400 and not (missing and reply.status == 404):
            raise SearchServerFailure(f"{method} {path}: {_describe_error(reply)}")
        return reply

    async def send_lines(self, path: str, lines: Iterable[Any]) -> Reply:
        """Returns the answer to a request that indexes documents, a line for each. Raises as `send_request`."""
        content = b"".join(_encode(line) + b"\n" for line in lines)
        reply = await self._exchange("POST", path, content, "application/x-ndjson", self._indexing_timeout)
        if reply.status >= 400:
            raise SearchServerFailure(f"POST {path}: {_describe_error(reply)}")
        return reply

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(
        self, method: str, path: str, content: bytes | None, kind: str, limit: aiohttp.ClientTimeout
    ) -> Reply:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
            self._session = aiohttp.ClientSession(connector=connector)
        try:
            async with self._session.request(
                method,
                f"{self._url}{path}",
                data=content,
                headers={"Content-Type": kind},
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                reply = Reply(answer.status, _decode_document(await answer.read()))
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise _unavailable(type(error).__name__) from error
        if reply.status in {429, 502, 503, 504}:
            raise _unavailable(f"status {reply.status}")
        return reply


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(f"the search server does not answer: {reason}", hint="try again in a moment")


def _decode_document(content: bytes) -> Any:
    """Returns the document of an answer; a proxy in between may answer anything else."""
    try:
        return _decode(content)
    except msgspec.DecodeError:
        return {"error": content[:_SHOWN_ERROR].decode(errors="replace")}


def _describe_error(reply: Reply) -> str:
    error = reply.document.get("error") if isinstance(reply.document, dict) else None
    reason = error.get("reason") if isinstance(error, dict) else error
    return f"status {reply.status}: {str(reason)[:_SHOWN_ERROR]}"
