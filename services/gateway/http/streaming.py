"""Streamed responses, sent piece by piece until the end or until the client disconnects."""

import asyncio
from collections.abc import AsyncIterator

from services.gateway.http.asgi import Receive, Send


async def send_stream(pieces: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Sends `pieces` as the body of a response whose head was sent, at the pace of the client."""
    sending = asyncio.ensure_future(_send_pieces(pieces, send))
    disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait((sending, disconnect), return_when=asyncio.FIRST_COMPLETED)
    finally:
        sending.cancel()
        disconnect.cancel()
        await asyncio.wait((sending, disconnect))
    if not sending.cancelled() and (fault := sending.exception()) is not None:
        raise fault


async def _send_pieces(pieces: AsyncIterator[bytes], send: Send) -> None:
    try:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]


async def _wait_for_disconnect(receive: Receive) -> None:
    """Returns when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
