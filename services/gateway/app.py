"""The application: everything that can be asked, and what every request goes through."""

import time
from typing import cast

from prometheus_client import generate_latest
from starlette.middleware.cors import CORSMiddleware

from clients.distributed import DistributedClient
from clients.intake import IntakeClient
from clients.persistence import PersistenceClient
from services.gateway.api.events import EventRoutes
from services.gateway.api.imports import ImportRoutes
from services.gateway.api.legacy import LegacyRoutes, legacy_paths
from services.gateway.api.orders import OrderRoutes
from services.gateway.api.pages import FILES, PageRoutes
from services.gateway.api.probes import ProbeRoutes
from services.gateway.api.scores import ScoreRoutes
from services.gateway.api.stock import StockRoutes
from services.gateway.api.tasks import TaskRoutes
from services.gateway.http.asgi import App
from services.gateway.http.openapi import describe
from services.gateway.http.origins import Hosts
from services.gateway.http.router import Router
from services.gateway.http.static_files import Files
from services.gateway.middleware.authentication import Identity
from services.gateway.middleware.metrics import GatewayMetrics
from services.gateway.middleware.rate_limits import Rates
from services.gateway.middleware.request_log import RequestLog
from services.gateway.middleware.requests import Edge
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.backend import Backend
from services.gateway.upstream.event_hub import Hub
from shared.runtime.traces import Traces

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID"]
_SHOWN_HEADERS = ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]


def build_app(
    settings: GatewaySettings,
    intake: Backend[IntakeClient],
    persistence: Backend[PersistenceClient],
    distributed: Backend[DistributedClient],
    hub: Hub,
    traces: Traces | None,
    *,
    encrypted: bool,
) -> App:
    """The whole application. Raises StartupError."""
    metrics = GatewayMetrics()
    metrics.streams.set_function(lambda: hub.listeners)
    identity = Identity(settings.jwt_secret, development=settings.stage == "dev")
    native = [
        *OrderRoutes(intake, by_address=settings.request_id_scope == "address").operations(),
        *EventRoutes(
            hub,
            identity,
            max_streams=settings.max_event_streams,
            max_per_address=settings.max_event_streams_per_address,
        ).operations(),
        *ScoreRoutes(persistence, distributed, identity).operations(),
        *TaskRoutes(persistence).operations(),
        *StockRoutes(persistence, low=settings.low_stock, request_seconds=settings.request_seconds).operations(),
        *ImportRoutes(
            persistence,
            max_bytes=settings.max_upload_bytes,
            max_uploads=settings.max_uploads,
            upload_seconds=settings.upload_seconds,
            request_seconds=settings.request_seconds,
        ).operations(),
        *ProbeRoutes(
            [intake, persistence], [distributed], lambda: generate_latest(metrics.registry).decode(), persistence
        ).operations(),
        *PageRoutes(lambda: description).operations(),
    ]
    operations = legacy_paths(native, LegacyRoutes(persistence).operations(), at_root=settings.legacy_routes)
    description = describe(operations)
    rates = Rates(settings.rate_limit, settings.redis_url)
    router = Router(
        operations,
        rates.admit,
        Files("/static/", FILES),
        max_body_bytes=settings.max_body_bytes,
        max_orders=settings.max_array_orders,
        origins=_origins(settings.cors_origins),
    )
    edge = Edge(
        _with_cors(router, _origins(settings.cors_origins)),
        metrics,
        traces,
        Hosts(_origins(settings.allowed_hosts)),
        RequestLog(settings.log_requests, slow_seconds=settings.slow_request_seconds, clock=time.monotonic),
        request_seconds=settings.request_seconds,
        max_requests=settings.max_requests,
        encrypted=encrypted,
    )
    metrics.at_work.set_function(lambda: edge.at_work)
    return edge


def _origins(named: str) -> list[str]:
    """Origins, or hosts, that are named with commas between them."""
    return [origin.strip() for origin in named.split(",") if origin.strip()]


def _with_cors(app: App, allowed: list[str]) -> App:
    """The application, open to pages of these origins."""
    if not allowed:
        return app
    return cast(
        App,
        CORSMiddleware(
            app,
            allow_origins=allowed,
            allow_methods=_METHODS,
            allow_headers=_HEADERS,
            expose_headers=_SHOWN_HEADERS,
        ),
    )
