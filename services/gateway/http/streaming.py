"""Answers without an end: sent piece by piece, until there is no more or nobody reads."""

import asyncio
from collections.abc import AsyncIterator

from services.gateway.http.asgi import Receive, Send


async def send_stream(pieces: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Sends `pieces` as the body of an answer that has begun; a reader who cannot keep up is waited for."""
    telling = asyncio.ensure_future(_tell(pieces, send))
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((telling, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        telling.cancel()
        leaving.cancel()
        await asyncio.wait((telling, leaving))
    if not telling.cancelled() and (fault := telling.exception()) is not None:
        raise fault


async def _tell(pieces: AsyncIterator[bytes], send: Send) -> None:
    try:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]


async def _left(receive: Receive) -> None:
    """Returns when the reader is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
