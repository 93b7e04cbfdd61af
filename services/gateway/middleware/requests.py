"""The middleware of every HTTP request: request id, deadline, limits, security headers, metrics and log."""

import asyncio
import random
import re
import time

from clients.request_context import RequestContext, set_request_context
from services.gateway.http.asgi import App, Message, Receive, Scope, Send
from services.gateway.http.origins import HostFilter
from services.gateway.http.problems import problem_response
from services.gateway.middleware.audit import RequestAudit
from services.gateway.middleware.metrics import GatewayMetrics
from services.gateway.middleware.request_log import RequestLog
from shared.domain.errors import ComandaError, Unavailable
from shared.runtime.logs import log_internal_error
from shared.runtime.traceparent import CallerSpan, parse_traceparent
from shared.runtime.traces import Traces

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_BODY = {b"content-length", b"transfer-encoding"}
_STREAM = b"text/event-stream"
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_REVALIDATE = (b"cache-control", b"no-cache")
_NO_STORE = (b"cache-control", b"no-store")
_SECURITY_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")


class RequestMiddleware:
    """The middleware around the application `app`; `hosts` checks the names by which clients may call it.

    A request has `request_seconds`, and at most `max_requests` are at work at a time; a stream of events counts
    until it has begun.
    """

    def __init__(
        self,
        app: App,
        metrics: GatewayMetrics,
        traces: Traces | None,
        hosts: HostFilter,
        log: RequestLog,
        audit: RequestAudit,
        *,
        request_seconds: float,
        max_requests: int,
        encrypted: bool,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._traces = traces
        self._hosts = hosts
        self._request_seconds = request_seconds
        self._max_requests = max_requests
        self.headers = [*_SECURITY_HEADERS, _STRICT_TRANSPORT] if encrypted else _SECURITY_HEADERS
        self.at_work = 0
        self._clock = asyncio.get_running_loop().time
        self._log = log
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        exchange = _Exchange(self, scope["headers"], receive, send)
        scope["request_id"] = exchange.request_id
        scope["response_headers"] = exchange.added
        try:
            await self._hosts.check(scope["headers"], scope["http_version"])
            if self.at_work > self._max_requests:
                raise Unavailable(
                    f"{self._max_requests} requests are at work already", hint="try again later; nothing was done"
                )
            set_request_context(RequestContext(exchange.request_id, self._clock() + self._request_seconds, self._clock))
            await self._app(scope, exchange.receive, exchange.send)
        except ComandaError as error:
            await exchange.send_problem(error)
        except asyncio.CancelledError:
            # The server is stopping, and the time for that is over. What has been answered in part ends short.
            if not exchange.status:
                await exchange.send_problem(Unavailable("the server is stopping", hint="send this again in a moment"))
        except Exception:
            await exchange.send_problem(
                log_internal_error("request_failed", path=scope["path"], trace=exchange.request_id)
            )
        finally:
            exchange.done()
            seconds = time.perf_counter() - began
            route = scope.get("route", "none")
            self._audit.record_request(scope, exchange.status, exchange.request_id, exchange.location)
            self._metrics.record_request(scope["method"], route, exchange.status, seconds)
            if self._traces is not None:
                attributes = {"http.request.method": scope["method"], "http.response.status_code": exchange.status}
                name = f"{scope['method']} {route}"
                self._traces.record_request(
                    name, exchange.request_id, seconds=seconds, caller=exchange.caller, **attributes
                )
            if self._log.should_log(exchange.status, seconds, streamed=exchange.streamed):
                self._log.write(
                    method=scope["method"],
                    path=scope["path"],
                    status=exchange.status,
                    ms=round(seconds * 1000, 2),
                    client=(scope.get("client") or ("unknown",))[0],
                    trace=exchange.request_id,
                )


class _Exchange:
    """One request and its response."""

    __slots__ = (
        "_at_work",
        "_edge",
        "_reading",
        "_receive",
        "_send",
        "added",
        "caller",
        "location",
        "request_id",
        "status",
        "streamed",
    )

    def __init__(
        self, edge: RequestMiddleware, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send
    ) -> None:
        self._edge = edge
        self._receive = receive
        self._send = send
        self._reading = any(name in _BODY and value != b"0" for name, value in headers)
        self._at_work = True
        edge.at_work += 1
        self.request_id, self.caller = _identify_request(headers)
        self.status = 0
        """The status of the answer; 0 until there is one."""
        self.added: list[tuple[bytes, bytes]] = []
        """Headers that limits and origins add to the response."""
        self.location: bytes | None = None
        """The address of what the request has created."""
        self.streamed = False
        """Whether the answer is a stream of events."""

    def done(self) -> None:
        """Ends counting it as a request at work."""
        if self._at_work:
            self._at_work = False
            self._edge.at_work -= 1

    async def receive(self) -> Message:
        """The next part of the body."""
        message = await self._receive()
        self._reading = message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Sends a part of the response, and adds the headers that every response has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message["headers"])
            names = dict(headers)
            self.location = names.get(b"location")
            headers += self._edge.headers
            headers += self.added
            headers.append((b"x-request-id", self.request_id.encode()))
            if b"content-security-policy" not in names:
                headers.append(_POLICY)
            if b"cache-control" not in names:
                headers.append(_REVALIDATE if b"etag" in names else _NO_STORE)
            if self._reading and self.status >= 400:
                # What is left of the body would be taken for the next request.
                headers.append((b"connection", b"close"))
            message["headers"] = headers
            if names.get(b"content-type") == _STREAM:
                self.streamed = True
                self.done()
        await self._send(message)

    async def send_problem(self, error: ComandaError) -> None:
        """Sends a problem document; a response that has begun is cut off instead."""
        if self.status:
            raise error
        refusal = problem_response(error, self.request_id)
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": refusal.headers})
        await self._send({"type": "http.response.body", "body": refusal.body})


def _identify_request(headers: list[tuple[bytes, bytes]]) -> tuple[str, CallerSpan | None]:
    """Returns the request's name, and the span of the caller if there is one.

    The name is the caller's own, the id of the caller's trace, or a new id that is valid for a trace.
    """
    name: str | None = None
    caller: CallerSpan | None = None
    for header, value in headers:
        if header == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            name = name or value.decode()
        elif header == b"traceparent":
            caller = parse_traceparent(value)
    if name is None:
        name = f"{random.getrandbits(128):032x}" if caller is None else caller.trace
    return name, caller
