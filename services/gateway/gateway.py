"""The gateway: builds its parts, serves, and stops them."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from clients.access import Access
from clients.base_client import BaseClient
from clients.distributed import DistributedClient
from clients.intake import IntakeClient
from clients.lake.location import resolve_location
from clients.lake.queries import LakeQueries, QueryLimits
from clients.persistence import PersistenceClient
from services.gateway.app import build_app
from services.gateway.http.server import HttpServer
from services.gateway.identity.account_services import AccountServices
from services.gateway.identity.first_administrator import announce_first_administrator
from services.gateway.identity.requirements import check_requirements
from services.gateway.identity.stored_keys import resolve_keys
from services.gateway.identity.tenants import TenantDirectory, read_tenants
from services.gateway.images.bucket import open_cover_store
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.backend import Backend
from services.gateway.upstream.event_hub import EventHub
from services.settings import reachable_host
from shared.domain.errors import NotOffered, no_distributed_service
from shared.net.listeners import is_open_to_others, open_listeners
from shared.net.tls import server_tls
from shared.runtime.parent import announce_ready, shown_address
from shared.runtime.traces import open_traces
from shared.search.port import BookIndex
from shared.stores.audit_log import FOLDER, AuditLog

C = TypeVar("C", bound=BaseClient)

# Seconds that a request waits for a server that is restarting.
_PATIENCE_SECONDS = 1.0


class Gateway:
    """One gateway."""

    def __init__(self, settings: GatewaySettings, books: BookIndex | None = None) -> None:
        """Searches in `books`, by default in the index that the settings name."""
        self._settings = settings
        self._books = books
        self._server: HttpServer | None = None
        self._backends: list[Backend[Any]] = []
        self._log = structlog.get_logger()

    def describe_state(self) -> dict[str, Any]:
        """Returns the fields of a state dump: connections, requests, and the servers behind the gateway."""
        if self._server is None:
            return {}
        backends = {backend.name: backend.describe_state() for backend in self._backends}
        return {**self._server.describe_state(), "backends": backends}

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until `stop`. Raises StartupError."""
        settings = self._settings
        settings = await resolve_keys(settings)
        check_requirements(settings)
        encrypted = server_tls(settings.tls_cert, settings.tls_key) is not None
        access = settings.build_access()
        intake = self._connect_backend(
            "intake",
            IntakeClient,
            settings.server_host,
            settings.server_port,
            access._replace(token=settings.intake_read_token),
        )
        persistence = self._connect_backend(
            "persistence", PersistenceClient, settings.tcp_persist_host, settings.tcp_persist_port, access
        )
        follow = partial(
            DistributedClient,
            reachable_host(settings.distributed_host),
            settings.distributed_port,
            access,
            timeout=settings.request_seconds,
        )
        # It reads the files of this machine.
        absent = no_distributed_service if settings.store == "dynamodb" else None
        distributed = self._connect_backend(
            "distributed", DistributedClient, settings.distributed_host, settings.distributed_port, access, absent
        )
        hub = EventHub(follow, absent=absent)
        # Over a separate connection: it says nothing about the server to the circuit breakers.
        tenant_client = PersistenceClient(
            reachable_host(settings.tcp_persist_host),
            settings.tcp_persist_port,
            access,
            timeout=settings.request_seconds,
            patience=_PATIENCE_SECONDS,
        )
        tenants = TenantDirectory(
            partial(read_tenants, tenant_client), asyncio.get_running_loop().time, settings.list_origins()
        )
        traces = open_traces("gateway", settings.otel_exporter_otlp_endpoint)
        audit_log = AuditLog(Path(settings.data_dir) / FOLDER, "gateway", max_bytes=settings.audit_log_mib * 2**20)
        accounts = AccountServices(settings, persistence)
        stack = AsyncExitStack()
        covers = await stack.enter_async_context(open_cover_store(settings))
        books = settings.open_book_index() if self._books is None else self._books
        stack.push_async_callback(books.close)
        app = build_app(
            settings,
            intake,
            persistence,
            distributed,
            hub,
            tenants=tenants,
            accounts=accounts,
            covers=covers,
            books=books,
            queries=_open_queries(settings, stack),
            traces=traces,
            audit_log=audit_log,
            encrypted=encrypted,
        )
        host, port, setting = settings.listening
        listeners = open_listeners(host, port, "MAIN_SERVER_PORT")
        port = listeners[0].getsockname()[1]
        self._log.info("listening", host=host, port=port)
        # Where the network keeps others out, as that of containers does, this would be an alarm at every healthy start.
        if settings.stage == "dev" and not settings.open_internal_ports and is_open_to_others(listeners):
            self._log.warning(
                "dev_stage_is_open_to_others", setting=setting, hint="STAGE=dev takes a user_id at its word: STAGE=prod"
            )
        announce_ready(f"{'https' if encrypted else 'http'}://{shown_address(host, port)}/")
        gc.freeze()
        server = self._server = HttpServer(app, settings)
        self._backends = [intake, persistence, distributed]
        closing = asyncio.create_task(_close_streams_at(stop, hub), name="close streams")
        auditing = asyncio.create_task(audit_log.run(), name="audit log")
        inviting = asyncio.create_task(
            announce_first_administrator(tenant_client, settings.link_base), name="first administrator"
        )
        await server.serve_until(stop, listeners)
        self._log.info("stopping")
        closing.cancel()
        inviting.cancel()
        tenants.close()
        accounts.close()
        await stack.aclose()
        tenant_client.close()
        auditing.cancel()
        await audit_log.close()
        for backend in (intake, persistence, distributed):
            backend.close()
        if traces is not None:
            traces.close()
        self._log.info("stopped")

    def _connect_backend(
        self,
        name: str,
        kind: type[C],
        host: str,
        port: int,
        access: Access,
        absent: Callable[[], NotOffered] | None = None,
    ) -> Backend[C]:
        settings = self._settings
        clients = [
            kind(reachable_host(host), port, access, timeout=settings.request_seconds, patience=_PATIENCE_SECONDS)  # type: ignore[call-arg]
            for _ in range(settings.backend_connections)
        ]
        return Backend(name, clients, max_waiting=settings.max_requests, absent=absent)


def _open_queries(settings: GatewaySettings, stack: AsyncExitStack) -> LakeQueries | None:
    if settings.lake == "off":
        return None
    location = resolve_location(
        settings.lake_url, settings.data_dir, region=settings.aws_region, endpoint=settings.aws_endpoint_url
    )
    limits = QueryLimits(settings.sql_seconds, settings.sql_memory_mib, settings.max_sql_rows, settings.max_sql_bytes)
    queries = LakeQueries(location, limits, at_once=settings.max_sql_queries, spares=settings.max_sql_queries)
    stack.push_async_callback(queries.close)
    return queries


async def _close_streams_at(stop: asyncio.Event, hub: EventHub) -> None:
    await stop.wait()
    hub.close()
