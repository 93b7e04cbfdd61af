"""For machines that look after this one: is it alive, can it work, what does it count."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import structlog
from litestar import MediaType, Request, Response, get, route
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST

from services.gateway.answers import answer
from services.gateway.backend import Backend
from services.gateway.metrics import together
from services.gateway.rates import UNLIMITED
from shared import VERSION
from shared.domain.errors import ComandaError

_PATIENCE_SECONDS = 2.0


class Health(Struct, frozen=True):
    """The process is alive."""

    status: Literal["ok"]
    version: str
    uptime_s: float


class Dependency(Struct, frozen=True, omit_defaults=True):
    """A server behind the gateway: `ok`, `degraded`, `stopping` or `away`, and what its breaker lets pass."""

    status: str
    breaker: str
    ms: float
    reason: str | None = None


class Readiness(Struct, frozen=True):
    """Whether the gateway can work: `degraded` is without the distributed service, which orders do not need."""

    status: Literal["ok", "degraded", "unavailable"]
    dependencies: dict[str, Dependency]


class Welcome(Struct, frozen=True):
    """What is here."""

    message: str


def probe_routes(
    needed: Sequence[Backend[Any]], useful: Sequence[Backend[Any]], own_metrics: Callable[[], str]
) -> Sequence[BaseRouteHandler]:
    """Probes; the gateway is ready when every server that is `needed` is."""
    started = time.monotonic()
    log = structlog.get_logger()

    @route(
        "/",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        tags=["probes"],
        summary="What is here",
        opt={UNLIMITED: True},
        responses={303: ResponseSpec(None, generate_examples=False, description="A browser is sent to /docs")},
    )
    async def root(request: Request[Any, Any, Any]) -> Response[Welcome]:
        if "text/html" in request.headers.get("accept", ""):
            return Response(None, status_code=303, headers={"Location": "/docs"})  # type: ignore[arg-type]
        return answer(Welcome(f"Comanda {VERSION}: orders, scores and tasks. How to use it is at /docs"))

    @route(
        "/health",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        tags=["probes"],
        summary="Is it alive?",
        opt={UNLIMITED: True},
    )
    async def health() -> Response[Health]:
        return answer(Health("ok", VERSION, round(time.monotonic() - started, 1)))

    @get(
        "/ready",
        tags=["probes"],
        summary="Can it work?",
        opt={UNLIMITED: True},
        responses={
            503: ResponseSpec(Readiness, generate_examples=False, description="A server that is needed is away")
        },
    )
    async def ready() -> Response[Readiness]:
        backends = (*needed, *useful)
        states = await asyncio.gather(*map(_state, backends))
        found = {backend.name: state for backend, state in zip(backends, states, strict=True)}
        away = {name for name, state in found.items() if state.status == "away"}
        if away & {backend.name for backend in needed}:
            return answer(Readiness("unavailable", found), status=503)
        whole = all(state.status == "ok" for state in found.values())
        return answer(Readiness("ok" if whole else "degraded", found))

    @get(
        "/metrics", tags=["probes"], summary="What all servers count", opt={UNLIMITED: True}, media_type=MediaType.TEXT
    )
    async def metrics() -> Response[str]:
        expositions = {"gateway": own_metrics()}
        for backend in (*needed, *useful):
            try:
                expositions[backend.name] = await _in_time(backend.ask(lambda client: client.metrics()))
            except ComandaError as error:
                log.debug("no metrics of a server", server=backend.name, reason=error.message)
        return Response(together(expositions), headers={"Content-Type": CONTENT_TYPE_LATEST})  # type: ignore[arg-type]

    return [root, health, ready, metrics]


async def _state(backend: Backend[Any]) -> Dependency:
    began = time.perf_counter()
    status, reason = "away", None
    try:
        told = await _in_time(backend.ask(lambda client: client.health()))
        status = str(told["status"])
    except ComandaError as error:
        reason = error.message
    return Dependency(status, backend.state.value, round((time.perf_counter() - began) * 1000, 2), reason)


async def _in_time(answer: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await answer
    except TimeoutError:
        raise ComandaError(f"no answer within {_PATIENCE_SECONDS:g} s") from None
