"""The HTTP server: uvicorn, with limits that apply before the application sees a request."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.gateway.http.asgi import App
from services.gateway.http.problems import TITLES, BadRequest, HeadersTooLarge, problem_response
from services.gateway.settings import GatewaySettings
from shared.domain.errors import ComandaError, Timeout, Unavailable
from shared.net.addresses import address_key, is_own_host, trusted_proxies
from shared.net.census import busiest_addresses

_LINGER_SECONDS = 1.0


class _Gathering:
    """A transport that sends together what is written in one turn of the loop: the head of an answer and its body.

    Two writes would be two calls of the system, and each costs as much as finding out what to answer. While
    `reading`, a request is not at its end: closing then would reset the connection and take the answer with it,
    so what still comes is dropped for a while.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._closed = False
        self.reading = False

    def write(self, data: bytes) -> None:
        """Sends `data` at the end of this turn of the event loop; drops it after `close`."""
        if self._closed:
            return
        if not self._parts:
            self._loop.call_soon(self._flush_writes)
        self._parts.append(data)

    def _flush_writes(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> None:
        """Closes the connection after everything is sent."""
        if self._closed:
            return
        self._closed = True
        self._flush_writes()
        if self.reading and not self._transport.is_closing():
            # TLS has no end of one side alone; there the length of the answer says where it ends.
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._transport.resume_reading()
            self._loop.call_later(_LINGER_SECONDS, self._transport.close)
        else:
            self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing more is read or written."""
        return self._closed or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _LimitedProtocol(HttpToolsProtocol):
    """One connection. What is refused here gets a problem document as well.

    A request has to come within `request_seconds`, header and body, from its first byte on; a connection that says
    nothing at first has as long. Of an upload it is each part that has to, while anybody takes them.
    """

    max_connections = 0
    max_connections_per_address = 0
    held: Counter[str]
    """Open connections by address."""
    is_exempt: Callable[[str | None], bool]
    """Whether a peer may have any number of connections: this machine, and proxies, whose clients are others."""
    max_header_bytes = 0
    request_seconds = 0.0

    _address: str | None = None
    _header_bytes = 0
    _in_header = False
    _unanswered = 0
    """Requests whose header has come and whose response is not complete."""
    _refusal: ComandaError | None = None
    """The answer to a refused request, due after those to the requests before it."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._gathering = _Gathering(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._gathering))
        peer = self.client[0] if self.client else None
        if len(self.connections) > self.max_connections:
            self._send_problem(Unavailable("there are too many connections", hint="the limit is MAX_CONNECTIONS"))
            return
        if not self.is_exempt(peer):
            self._address = address_key(peer)
            self.held[self._address] += 1
            if self.held[self._address] > self.max_connections_per_address:
                message = f"{self._address} has {self.max_connections_per_address} connections already"
                self._send_problem(Unavailable(message, hint="close some; the limit is MAX_CONNECTIONS_PER_ADDRESS"))
                return
        self._timer = self.loop.call_later(self.request_seconds, self._end_slow_request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._address is not None:
            self.held[self._address] -= 1
            if not self.held[self._address]:
                del self.held[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._gathering.is_closing() or self._refusal is not None:
            return
        self._header_bytes += len(data)
        super().data_received(data)
        if not self._gathering.reading:
            # Nearly every request comes in one piece.
            self._stop_timer()
        elif not self._gathering.is_closing() and (self._timer is None or self._is_upload()):
            self._stop_timer()
            self._timer = self.loop.call_later(self.request_seconds, self._end_slow_request)
        if self._in_header and self._header_bytes > self.max_header_bytes:
            self._refuse(
                HeadersTooLarge(
                    f"the headers are larger than {self.max_header_bytes} bytes", hint="the limit is MAX_HEADER_BYTES"
                )
            )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_header = self._gathering.reading = True

    def on_headers_complete(self) -> None:
        self._in_header = False
        self._unanswered += 1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._gathering.reading = False
        self._header_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        super().on_response_complete()
        if self._refusal is not None and not self._unanswered:
            self._send_problem(self._refusal)

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest(TITLES["bad_request"], hint="the port speaks HTTP/1.1"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_upload(self) -> bool:
        return self.cycle is not None and "upload" in self.scope

    def _end_slow_request(self) -> None:
        self._timer = None
        if self._gathering.reading and self._is_upload() and self.flow.read_paused:
            self._timer = self.loop.call_later(self.request_seconds, self._end_slow_request)
        elif self._gathering.reading:
            message = f"the request did not come within {self.request_seconds:g} s"
            self._refuse(Timeout(message, hint="send it in one go; the limit is REQUEST_SECONDS"))
        else:
            self.transport.close()

    def _refuse(self, error: ComandaError) -> None:
        """Answers the request that is being read with `error`, after the answers to the complete requests before it."""
        before = self._unanswered
        if self._gathering.reading and not self._in_header and before:
            # Its header was accepted, so it is one of them; if it waits behind others, it is not started.
            before -= 1
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
                self._unanswered -= 1
        if before:
            self._stop_timer()
            self._refusal = error
        else:
            self._send_problem(error)

    def _send_problem(self, error: ComandaError) -> None:
        """Sends a problem document without the application, and closes the connection."""
        self._in_header = False
        self._stop_timer()
        if self._gathering.is_closing():
            return
        self._gathering.reading = True
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            refusal = problem_response(error, "-")
            lines = [b"HTTP/1.1 %d %s" % (refusal.status, HTTPStatus(refusal.status).phrase.encode())]
            lines += [name + b": " + value for name, value in (*refusal.headers, (b"connection", b"close"))]
            self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + refusal.body)
        self.transport.close()


class HttpServer(uvicorn.Server):
    """Serves `app` within the limits of `settings`; signals are the caller's to handle."""

    def __init__(self, app: App, settings: GatewaySettings) -> None:
        is_proxy = trusted_proxies(settings.trusted_proxies)
        self._held: Counter[str] = Counter()
        limits: dict[str, Any] = {
            "max_connections": settings.max_connections,
            "max_connections_per_address": settings.max_connections_per_address,
            "held": self._held,
            "is_exempt": staticmethod(lambda peer: is_own_host(peer) or is_proxy(peer)),
            "max_header_bytes": settings.max_header_bytes,
            "request_seconds": settings.request_seconds,
        }
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Protocol", (_LimitedProtocol,), limits),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=settings.trusted_proxies or None,
                timeout_keep_alive=settings.idle_seconds,  # type: ignore[arg-type]
                timeout_graceful_shutdown=settings.shutdown_seconds,  # type: ignore[arg-type]
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
            )
        )

    def describe_state(self) -> dict[str, Any]:
        """Returns the connections and the requests in flight, for a state dump."""
        return {
            "connections": len(self.server_state.connections),
            "connections_by_address": busiest_addresses(self._held),
            "requests_in_flight": len(self.server_state.tasks),
        }

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the caller."""
        yield

    async def serve_until(self, stop: asyncio.Event, listeners: list[socket.socket]) -> None:
        """Serves `listeners` until `stop`, then finishes the requests in flight."""
        serving = asyncio.create_task(self.serve(sockets=listeners), name="http")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        self.should_exit = True
        await serving
