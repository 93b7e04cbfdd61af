"""The inventory service: builds its parts, runs them, and stops them."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

import structlog

from clients.access import Access, Target
from clients.distributed import DistributedClient
from clients.errors import ClientError
from clients.intake import IntakeClient
from clients.inventory.heartbeat import HEARTBEAT_KEY, HEARTBEAT_SECONDS
from clients.persistence import PersistenceClient
from services.inventory.alert_publisher import AlertPublisher
from services.inventory.bucket import BucketImporter
from services.inventory.folder import FolderImporter
from services.inventory.import_applier import ImportApplier
from services.inventory.import_retention import ImportRetention
from services.inventory.movement_retention import MovementRetention
from services.inventory.releaser import ReservationReleaser
from services.inventory.settings import InventorySettings
from services.inventory.stock_checker import StockChecker
from services.inventory.stock_follower import StockFollower
from services.inventory.tenant_folders import TenantFolders
from services.settings import reachable_host
from shared.domain.tables import INVENTORY
from shared.runtime.clock import iso_now
from shared.runtime.parent import announce_ready
from shared.runtime.parts import ServiceParts

# Delay after a failed heartbeat, in seconds.
_RETRY_SECONDS = 0.5


class InventoryService:
    """The inventory service. It has no port: it works on records, events and files."""

    def __init__(self, settings: InventorySettings, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._clients: list[PersistenceClient] = []
        self._log = structlog.get_logger()

    async def serve(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set. Waits for servers that are unavailable."""
        parts = ServiceParts()
        for name, part in self._create_parts().items():
            parts.start(part, name)
        self._log.info("working", uploads=str(self._settings.uploads_folder))
        announce_ready(str(self._settings.uploads_folder))
        gc.freeze()
        await parts.wait(stop)
        self._log.info("stopping")
        await asyncio.wait(parts.cancel(), timeout=self._settings.shutdown_seconds)
        for client in self._clients:
            client.close()
        self._log.info("stopped")
        parts.raise_failure()

    def _create_parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        settings, levels = self._settings, self._settings.stock_levels
        region, endpoint = settings.aws_region, settings.aws_endpoint_url
        parts: dict[str, Coroutine[Any, Any, None]] = {}
        applier = ImportApplier(self._connect_client())
        parts["apply"] = applier.run()
        publisher = None
        if settings.low_stock_topic_arn:
            topic_arn = settings.low_stock_topic_arn
            publisher = AlertPublisher(self._connect_client(), topic_arn, region=region, endpoint=endpoint)
            parts["publish"] = publisher.run()
        checker = StockChecker(self._connect_client(), levels)
        parts["check"] = checker.run()
        follower = StockFollower(
            self._connect_client(),
            levels,
            on_import=applier.wake,
            on_alert=publisher.wake if publisher is not None else lambda _: None,
            on_loss=checker.wake,
            publish_alerts=publisher is not None,
        )
        parts["follow"] = follower.run()
        files = self._connect_client()
        parts["folder"] = FolderImporter(
            files, settings.uploads_folder, max_bytes=settings.max_upload_bytes, keep_days=settings.keep_uploads_days
        ).run()
        parts["tenant folders"] = TenantFolders(
            files, settings.uploads_folder, max_bytes=settings.max_upload_bytes, keep_days=settings.keep_uploads_days
        ).run()
        if settings.uploads_queue_url:
            bucket = BucketImporter(
                files,
                settings.uploads_queue_url,
                region=region,
                endpoint=endpoint,
                max_bytes=settings.max_upload_bytes,
            )
            parts["bucket"] = bucket.run()
        if settings.keep_movements_days:
            keep_days = settings.keep_movements_days
            parts["retention"] = MovementRetention(self._connect_client(), keep_days=keep_days).run()
        if settings.keep_imports_days:
            imports = ImportRetention(self._connect_client(), keep_days=settings.keep_imports_days)
            parts["import retention"] = imports.run()
        parts["release"] = self._create_releaser().run()
        parts["beat"] = self._send_heartbeats(self._connect_client())
        return parts

    def _create_releaser(self) -> ReservationReleaser:
        settings = self._settings
        access = self._access._replace(token=settings.intake_read_token)
        intake = Target(reachable_host(settings.server_host), settings.server_port, access)
        events = Target(reachable_host(settings.distributed_host), settings.distributed_port, self._access)
        return ReservationReleaser(
            self._connect_client(),
            IntakeClient(*intake),
            DistributedClient(*events) if settings.store == "sqlite" else None,
        )

    def _connect_client(self) -> PersistenceClient:
        """Returns a connection for one part. A lookup delays later requests on the same connection."""
        settings = self._settings
        client = PersistenceClient(reachable_host(settings.tcp_persist_host), settings.tcp_persist_port, self._access)
        self._clients.append(client)
        return client

    async def _send_heartbeats(self, client: PersistenceClient) -> None:
        """Stores the time of the last heartbeat, by which others see that the service is alive."""
        while True:
            try:
                await client.put_item(INVENTORY.name, {**HEARTBEAT_KEY, "at": iso_now()})
                pause = HEARTBEAT_SECONDS
            except ClientError as error:
                self._log.debug("heartbeat_failed", reason=error.message)
                # When the whole suite starts, the persistence server may be ready a moment later.
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)
