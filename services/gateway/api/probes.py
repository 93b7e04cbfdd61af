"""Probes for monitoring: liveness, readiness and metrics."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import structlog
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST

from clients.inventory.heartbeat import HEARTBEAT_TIMEOUT_SECONDS, heartbeat_age
from clients.lake.requests import describe_metrics as describe_lake_metrics
from clients.lake.requests import read_heartbeat as read_lake_heartbeat
from clients.persistence import PersistenceClient
from clients.shop.search_state import read_heartbeat
from services.gateway.http.principal import INSTALLATION_PUBLIC, INSTALLATION_VIEWERS
from services.gateway.http.responses import json_response
from services.gateway.http.routes import HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.middleware.metrics import merge_expositions
from services.gateway.upstream.backend import Backend
from shared import VERSION
from shared.domain.errors import ComandaError

_PATIENCE_SECONDS = 2.0
_INVENTORY = "inventory"
_SHOP = "shop"
_LAKE = "lake"
_METRICS_TYPE = CONTENT_TYPE_LATEST.partition(";")[0]


class Health(Struct, frozen=True):
    """The process is alive."""

    status: Literal["ok"]
    version: str
    uptime_s: float


class Dependency(Struct, frozen=True, omit_defaults=True):
    """A server behind the gateway: `ok`, `degraded`, `stopping` or `away`, and what its breaker lets pass."""

    status: str
    ms: float
    breaker: str | None = None
    reason: str | None = None


class Readiness(Struct, frozen=True):
    """Readiness of the gateway: `degraded` without a useful server, `unavailable` without a required one.

    `dependencies` is empty for others than viewers of the tenant `main`.
    """

    status: Literal["ok", "degraded", "unavailable"]
    dependencies: dict[str, Dependency]


class ProbeRoutes:
    """Probes, which no rate limit holds; the gateway is ready when every server that is `needed` answers."""

    def __init__(
        self,
        needed: Sequence[Backend[Any]],
        useful: Sequence[Backend[Any]],
        own_metrics: Callable[[], str],
        persistence: Backend[PersistenceClient],
        *,
        lake: bool = False,
    ) -> None:
        self._needed = needed
        self._persistence = persistence
        self._backends = tuple(backend for backend in (*needed, *useful) if backend.absent is None)
        self._own_metrics = own_metrics
        self._lake = lake
        self._started = time.monotonic()
        self._log = structlog.get_logger()

    @route(
        "GET",
        "/health",
        id="health_get_probes",
        tag="probes",
        access=INSTALLATION_PUBLIC,
        summary="Is it alive?",
        responses={200: ResponseSpec(Health, "It is")},
        limited=False,
    )
    async def _check_health(self, _: HttpRequest) -> HttpResponse:
        return json_response(Health("ok", VERSION, round(time.monotonic() - self._started, 1)))

    @route(
        "GET",
        "/ready",
        id="ready_get_probes",
        tag="probes",
        access=INSTALLATION_PUBLIC,
        summary="Can it work?",
        responses={
            200: ResponseSpec(Readiness, "It can"),
            503: ResponseSpec(Readiness, "A server that is needed is away"),
        },
        limited=False,
    )
    async def _check_readiness(self, request: HttpRequest) -> HttpResponse:
        readiness = await self._find_readiness()
        if not INSTALLATION_VIEWERS.admits(request.principal):
            readiness = Readiness(readiness.status, {})
        return json_response(readiness, status=503 if readiness.status == "unavailable" else 200)

    async def _find_readiness(self) -> Readiness:
        states = await asyncio.gather(*map(_check_dependency, self._backends))
        found = {backend.name: state for backend, state in zip(self._backends, states, strict=True)}
        if any(found[backend.name].status == "away" for backend in self._needed):
            return Readiness("unavailable", found)
        if (inventory := await self._check_inventory()) is not None:
            found[_INVENTORY] = inventory
        if (shop := await self._check_shop()) is not None:
            found[_SHOP] = shop
        if self._lake:
            found[_LAKE] = await self._check_lake()
        whole = all(state.status == "ok" for state in found.values())
        return Readiness("ok" if whole else "degraded", found)

    async def _check_inventory(self) -> Dependency | None:
        """Returns the state of the inventory service by its last heartbeat, or None if it has never sent one."""
        began = time.perf_counter()
        try:
            seconds = await _call_with_timeout(heartbeat_age(self._persistence.lookups))
        except ComandaError as error:
            return Dependency("away", ms=_ms_since(began), reason=error.message)
        if seconds is None:
            return None
        if seconds > HEARTBEAT_TIMEOUT_SECONDS:
            return Dependency("away", ms=_ms_since(began), reason=f"it was last heard {seconds:.0f} s ago")
        return Dependency("ok", ms=_ms_since(began))

    async def _check_shop(self) -> Dependency | None:
        """Returns the state of the shop's service by its last heartbeat, or None if it has never sent one."""
        began = time.perf_counter()
        try:
            heartbeat = await _call_with_timeout(read_heartbeat(self._persistence.lookups))
        except ComandaError as error:
            return Dependency("away", ms=_ms_since(began), reason=error.message)
        if heartbeat is None:
            return None
        return Dependency(heartbeat.status, ms=_ms_since(began), reason=heartbeat.reason)

    async def _check_lake(self) -> Dependency:
        """Returns the state of the lake's service by its last heartbeat."""
        began = time.perf_counter()
        try:
            heard = await _call_with_timeout(read_lake_heartbeat(self._persistence.lookups))
        except ComandaError as error:
            return Dependency("away", ms=_ms_since(began), reason=error.message)
        if heard is None:
            return Dependency("away", ms=_ms_since(began), reason="it was never heard")
        return Dependency(heard.status, ms=_ms_since(began), reason=heard.reason)

    @route(
        "GET",
        "/metrics",
        id="metrics_get_probes",
        tag="probes",
        access=INSTALLATION_VIEWERS,
        summary="What all servers count",
        responses={200: ResponseSpec(str, "In the text format of Prometheus", _METRICS_TYPE)},
        limited=False,
    )
    async def _collect_metrics(self, _: HttpRequest) -> HttpResponse:
        expositions = {"gateway": self._own_metrics()}
        for backend in self._backends:
            try:
                expositions[backend.name] = await _call_with_timeout(backend.lookups.metrics())
            except ComandaError as error:
                self._log.debug("upstream_metrics_missing", server=backend.name, reason=error.message)
        if self._lake:
            try:
                heard = await _call_with_timeout(read_lake_heartbeat(self._persistence.lookups))
                expositions |= {} if heard is None else {_LAKE: describe_lake_metrics(heard)}
            except ComandaError as error:
                self._log.debug("upstream_metrics_missing", server=_LAKE, reason=error.message)
        return HttpResponse(200, [(b"content-type", CONTENT_TYPE_LATEST.encode())], merge_expositions(expositions))


async def _check_dependency(backend: Backend[Any]) -> Dependency:
    began = time.perf_counter()
    status, reason = "away", None
    try:
        health = await _call_with_timeout(backend.lookups.health())
        status = str(health["status"])
    except ComandaError as error:
        reason = error.message
    return Dependency(status, ms=_ms_since(began), breaker=backend.state.value, reason=reason)


def _ms_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)


async def _call_with_timeout(asked: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await asked
    except TimeoutError:
        raise ComandaError(f"no answer within {_PATIENCE_SECONDS:g} s") from None
