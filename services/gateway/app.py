"""Builds the application: all routes, and the middleware around them."""

import time
from pathlib import Path

from prometheus_client import generate_latest

from clients.distributed import DistributedClient
from clients.intake import IntakeClient
from clients.lake.queries import LakeQueries
from clients.persistence import PersistenceClient
from clients.shop.recent import RecentShop
from services.gateway.api.accounts import AccountRoutes
from services.gateway.api.analytics import AnalyticsRoutes
from services.gateway.api.event_streams import EventStreams
from services.gateway.api.events import EventRoutes
from services.gateway.api.imports import ImportRoutes
from services.gateway.api.legacy import LegacyRoutes, add_legacy_paths
from services.gateway.api.orders import OrderRoutes
from services.gateway.api.pages import FILES, PageRoutes
from services.gateway.api.passwords import PasswordRoutes
from services.gateway.api.principals import PrincipalRoutes
from services.gateway.api.probes import ProbeRoutes
from services.gateway.api.profiles import ProfileRoutes
from services.gateway.api.scores import ScoreRoutes
from services.gateway.api.shop.book_finder import BookFinder
from services.gateway.api.shop.book_heads import BookHeads
from services.gateway.api.shop.books import BookRoutes
from services.gateway.api.shop.carts import CartRoutes
from services.gateway.api.shop.covers import CoverRoutes
from services.gateway.api.shop.guest_carts import GuestCarts
from services.gateway.api.shop.lists import ShopListRoutes
from services.gateway.api.shop.notices import NoticeRoutes
from services.gateway.api.shop.purchase_events import PurchaseEventRoutes
from services.gateway.api.shop.purchases import PurchaseRoutes
from services.gateway.api.shop.recommendations import PairReader, RecommendationRoutes
from services.gateway.api.shop.search import SearchRoutes
from services.gateway.api.stock import StockRoutes
from services.gateway.api.tasks import TaskRoutes
from services.gateway.api.users import UserRoutes
from services.gateway.http.asgi import App
from services.gateway.http.openapi import describe_api
from services.gateway.http.origins import HostFilter
from services.gateway.http.router import Router
from services.gateway.http.routes import collect_routes
from services.gateway.http.static_files import StaticFiles
from services.gateway.http.web_apps import WebApp
from services.gateway.identity.account_services import AccountServices
from services.gateway.identity.admission import RequestAdmission
from services.gateway.identity.authenticator import Authenticator
from services.gateway.identity.cross_origin import CrossOriginPolicy
from services.gateway.identity.players import PlayerTokens
from services.gateway.identity.tenant_limits import TenantRateLimiter
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.images.covers import CoverStore
from services.gateway.images.scaling import CoverScaler
from services.gateway.middleware.audit import RequestAudit
from services.gateway.middleware.metrics import GatewayMetrics
from services.gateway.middleware.rate_limits import RateLimiter, RequestCounter
from services.gateway.middleware.request_log import RequestLog
from services.gateway.middleware.requests import RequestMiddleware
from services.gateway.settings import GatewaySettings, split_list
from services.gateway.upstream.backend import Backend
from services.gateway.upstream.event_hub import EventHub
from shared.recommendations.pair_file import FILE as PAIRS_FILE
from shared.runtime.traces import Traces
from shared.search.port import BookIndex
from shared.stores.audit_log import AuditLog

# Decoding the largest image takes a second of processor time; the machine may be busy.
_SCALE_SECONDS = 20.0


def build_app(  # noqa: PLR0913 -- it puts all parts together
    settings: GatewaySettings,
    intake: Backend[IntakeClient],
    persistence: Backend[PersistenceClient],
    distributed: Backend[DistributedClient],
    hub: EventHub,
    *,
    tenants: TenantDirectory,
    accounts: AccountServices,
    covers: CoverStore,
    books: BookIndex,
    queries: LakeQueries | None,
    traces: Traces | None,
    audit_log: AuditLog,
    encrypted: bool,
) -> App:
    """Returns the application. Raises StartupError."""
    metrics = GatewayMetrics()
    metrics.streams.set_function(lambda: hub.listeners)
    authenticator = Authenticator(
        PlayerTokens(settings.jwt_secret),
        accounts.credentials,
        tenants,
        stage=settings.stage,
        encrypted=accounts.encrypted,
        is_network_closed=settings.open_internal_ports,
    )
    guest_carts = GuestCarts(persistence, encrypted=accounts.encrypted)
    streams = EventStreams(
        hub,
        authenticator,
        max_streams=settings.max_event_streams,
        max_per_address=settings.max_event_streams_per_address,
    )
    recent = RecentShop(settings.recent_shop_entries)
    finder = BookFinder(books, persistence, tenants)
    native = [
        *collect_routes(OrderRoutes(intake, by_address=settings.request_id_scope == "address")),
        *collect_routes(EventRoutes(streams)),
        *collect_routes(ScoreRoutes(persistence, distributed)),
        *collect_routes(AccountRoutes(accounts, authenticator, guest_carts)),
        *collect_routes(PasswordRoutes(accounts, authenticator)),
        *collect_routes(ProfileRoutes(accounts)),
        *collect_routes(UserRoutes(accounts)),
        *collect_routes(TaskRoutes(persistence)),
        *collect_routes(StockRoutes(persistence, low=settings.low_stock, request_seconds=settings.request_seconds)),
        *collect_routes(
            ImportRoutes(
                persistence,
                max_bytes=settings.max_upload_bytes,
                max_uploads=settings.max_uploads,
                upload_seconds=settings.upload_seconds,
                request_seconds=settings.request_seconds,
            )
        ),
        *collect_routes(BookRoutes(persistence, tenants, covers, finder)),
        *collect_routes(SearchRoutes(finder)),
        *collect_routes(
            RecommendationRoutes(persistence, tenants, books, PairReader(Path(settings.data_dir) / PAIRS_FILE))
        ),
        *collect_routes(ShopListRoutes(persistence, tenants)),
        *collect_routes(NoticeRoutes(persistence, tenants)),
        *collect_routes(
            CartRoutes(persistence, tenants, guest_carts, recent, adds_to_recent=settings.store == "sqlite")
        ),
        *collect_routes(PurchaseRoutes(persistence, tenants, recent)),
        *collect_routes(PurchaseEventRoutes(persistence, streams)),
        *collect_routes(AnalyticsRoutes(persistence, queries)),
        *collect_routes(
            CoverRoutes(
                persistence,
                tenants,
                covers,
                CoverScaler(at_once=settings.max_covers_at_once, seconds=_SCALE_SECONDS),
                max_bytes=settings.max_cover_bytes,
                max_uploads=settings.max_uploads,
                upload_seconds=settings.upload_seconds,
                request_seconds=settings.request_seconds,
            )
        ),
        *collect_routes(
            ProbeRoutes(
                [intake, persistence],
                [distributed],
                lambda: generate_latest(metrics.registry).decode(),
                persistence,
                lake=settings.lake == "on",
            )
        ),
        *collect_routes(PrincipalRoutes(development=settings.stage == "dev", encrypted=accounts.encrypted)),
        *collect_routes(PageRoutes(lambda: description, persistence, authenticator)),
    ]
    routes = add_legacy_paths(native, collect_routes(LegacyRoutes(persistence)), at_root=settings.legacy_routes)
    description = describe_api(routes, open_to_all=settings.stage == "dev")
    counter = RequestCounter(settings.redis_url)
    cross_origin = CrossOriginPolicy(tenants)
    admission = RequestAdmission(
        authenticator, cross_origin, TenantRateLimiter(settings.tenant_limits, counter, tenants)
    )
    files = StaticFiles("/static/", FILES)
    heads = BookHeads(authenticator, persistence, tenants)
    router = Router(
        routes,
        RateLimiter(settings.rate_limit, counter).check_rate,
        admission.admit,
        [files, WebApp(FILES / "admin", files), WebApp(FILES / "shop", files, heads.find_head)],
        max_body_bytes=settings.max_body_bytes,
        max_orders=settings.max_array_orders,
    )
    middleware = RequestMiddleware(
        cross_origin.wrap(router),
        metrics,
        traces,
        HostFilter(split_list(settings.allowed_hosts), tenants.is_host),
        RequestLog(settings.log_requests, slow_seconds=settings.slow_request_seconds, clock=time.monotonic),
        RequestAudit(audit_log),
        request_seconds=settings.request_seconds,
        max_requests=settings.max_requests,
        encrypted=encrypted,
    )
    metrics.at_work.set_function(lambda: middleware.at_work)
    return middleware
