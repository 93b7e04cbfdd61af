"""The application: routes, how errors are answered, and what every request goes through."""

import sys
from typing import Any, cast

import msgspec
import structlog
from litestar import Litestar, Request, Response
from litestar.config.cors import CORSConfig
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.router import Router
from prometheus_client import generate_latest

from clients.distributed import DistributedClient
from clients.intake import IntakeClient
from clients.persistence import PersistenceClient
from services.gateway.backend import Backend
from services.gateway.body import StrictRequest
from services.gateway.edge import App, Edge
from services.gateway.events import event_routes
from services.gateway.hub import Hub
from services.gateway.identity import Identity
from services.gateway.metrics import GatewayMetrics
from services.gateway.orders import order_routes
from services.gateway.pages import page_routes
from services.gateway.probes import probe_routes
from services.gateway.problems import code_of, refuse
from services.gateway.rates import Rates
from services.gateway.scores import score_routes
from services.gateway.settings import GatewaySettings
from services.gateway.tasks import task_routes
from shared import VERSION
from shared.domain.errors import ComandaError, InvalidParams, NotFound
from shared.wire.strict import explain

_DESCRIPTION = """Orders, scores and tasks over HTTP. Every error is `application/problem+json`: `error` is its code,
`detail` says what is wrong, `field` where, `hint` how to mend it. An order that was answered is on disk."""


class _HttpError(ComandaError):
    """What the HTTP side itself refuses, under the code that its status has."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code_of(status)  # type: ignore[misc]


def build_app(
    settings: GatewaySettings,
    intake: Backend[IntakeClient],
    persistence: Backend[PersistenceClient],
    distributed: Backend[DistributedClient],
    hub: Hub,
    *,
    encrypted: bool,
) -> App:
    """The whole application. Raises StartupError."""
    metrics = GatewayMetrics()
    metrics.streams.set_function(lambda: hub.listeners)
    identity = Identity(settings.jwt_secret, development=settings.stage == "dev")
    rates = Rates(settings.rate_limit, settings.redis_url)

    async def limit(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        await rates.guard(connection, handler)

    handlers: list[BaseRouteHandler | Router] = [
        *order_routes(intake, max_orders=settings.max_array_orders),
        *score_routes(persistence, distributed, identity),
        *task_routes(persistence),
        *event_routes(hub, identity, max_streams=settings.max_event_streams),
        *probe_routes([intake, persistence], [distributed], lambda: generate_latest(metrics.registry).decode()),
        *page_routes(lambda: description),
    ]
    app = Litestar(
        handlers,
        request_class=StrictRequest,
        request_max_body_size=settings.max_body_bytes,
        exception_handlers={HTTPException: _answer, ComandaError: _answer, Exception: _answer},
        guards=[limit],
        cors_config=_cors(settings.cors_origins),
        openapi_config=OpenAPIConfig(
            "Comanda",
            VERSION,
            description=_DESCRIPTION,
            path="/openapi",
            components=Components(
                security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
            ),
        ),
        logging_config=None,
    )
    description = msgspec.json.encode(app.openapi_schema.to_schema())
    return Edge(
        cast(App, app),
        metrics,
        request_seconds=settings.request_seconds,
        max_requests=settings.max_requests,
        encrypted=encrypted,
    )


def _cors(origins: str) -> CORSConfig | None:
    allowed = [origin.strip() for origin in origins.split(",") if origin.strip()]
    if not allowed:
        return None
    return CORSConfig(
        allow_origins=allowed,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID"],
        expose_headers=["ETag", "Location", "Retry-After", "X-Request-ID"],
    )


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    refusal = refuse(_translated(error), request.scope["request_id"])  # type: ignore[typeddict-item]
    headers = {name.decode(): value.decode() for name, value in refusal.headers if name != b"content-length"}
    if isinstance(error, HTTPException) and error.headers:
        headers |= error.headers
    return Response(refusal.body, status_code=refusal.status, headers=headers)


def _translated(error: Exception) -> ComandaError:
    match error:
        case ComandaError():
            return error
        case ValidationException(extra=[{"message": message, **place}, *_]):
            return explain(f"{message} - at `$.{place.get('key', '')}`", None)
        case ValidationException():
            return InvalidParams(error.detail)
        case HTTPException(status_code=404):
            return NotFound("nothing is at this address", hint="/docs shows what there is")
        case HTTPException(status_code=405):
            return _HttpError(405, "this address has other methods; the header Allow names them")
        case HTTPException(status_code=413):
            return _HttpError(413, "the body is too large; the limit is the setting MAX_BODY_BYTES")
        case HTTPException():
            return _HttpError(error.status_code, error.detail)
    structlog.get_logger().error("a request failed", exc_info=sys.exc_info())
    return ComandaError("the server failed; its log says why")
