"""One running inventory service: what its parts are, and its life from the start to the stop."""

import asyncio
import gc
import time
from collections.abc import Coroutine
from typing import Any

import structlog

from clients.access import Access, Target
from clients.distributed import DistributedClient
from clients.errors import ClientError
from clients.intake import IntakeClient
from clients.inventory.beat import BEAT, BEAT_SECONDS
from clients.persistence import PersistenceClient
from services.inventory.applying import Applier
from services.inventory.bucket import Bucket
from services.inventory.checking import Checker
from services.inventory.folder import Folder
from services.inventory.following import Follower
from services.inventory.import_retention import ImportRetention
from services.inventory.movement_retention import MovementRetention
from services.inventory.publishing import Publisher
from services.inventory.releasing import Releases
from services.inventory.settings import InventorySettings
from services.settings import reachable
from shared.domain.orders import iso_time
from shared.domain.tables import INVENTORY
from shared.runtime.parent import announce_ready

# How soon a heartbeat that has failed is sent again.
_BEAT_AGAIN_SECONDS = 0.5


class Inventory:
    """One service, which listens nowhere: it works on records, events and files. `serve` is its whole life."""

    def __init__(self, settings: InventorySettings, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._clients: list[PersistenceClient] = []
        self._log = structlog.get_logger()

    async def serve(self, stop: asyncio.Event) -> None:
        """Works until `stop`. Servers that are away are waited for."""
        loop = asyncio.get_running_loop()
        parts = [loop.create_task(part, name=name) for name, part in self._parts().items()]
        stopped = loop.create_task(stop.wait(), name="stop")
        ends: list[asyncio.Task[Any]] = [*parts, stopped]
        self._log.info("working", uploads=str(self._settings.uploads))
        announce_ready(str(self._settings.uploads))
        gc.freeze()
        # None of these ends by itself: the first to end by a fault ends the whole.
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self._log.info("stopping")
        for task in ends:
            task.cancel()
        await asyncio.wait(ends, timeout=self._settings.shutdown_seconds)
        for client in self._clients:
            client.close()
        self._log.info("stopped")
        for part in parts:
            if part.done() and not part.cancelled() and (fault := part.exception()) is not None:
                raise fault

    def _parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        settings, levels = self._settings, self._settings.levels
        aws = {"region": settings.aws_region, "endpoint": settings.aws_endpoint_url}
        parts: dict[str, Coroutine[Any, Any, None]] = {}
        applier = Applier(self._client())
        parts["apply"] = applier.run()
        publisher = None
        if settings.low_stock_topic_arn:
            publisher = Publisher(self._client(), settings.low_stock_topic_arn, **aws)
            parts["publish"] = publisher.run()
        checker = Checker(self._client(), levels)
        parts["check"] = checker.run()
        follower = Follower(
            self._client(),
            levels,
            imports=applier.wake,
            alerts=publisher.wake if publisher is not None else lambda: None,
            lost=checker.wake,
            published=publisher is not None,
        )
        parts["follow"] = follower.run()
        files = self._client()
        parts["folder"] = Folder(
            files, settings.uploads, max_bytes=settings.max_upload_bytes, keep_days=settings.keep_uploads_days
        ).run()
        if settings.uploads_queue_url:
            bucket = Bucket(files, settings.uploads_queue_url, max_bytes=settings.max_upload_bytes, **aws)
            parts["bucket"] = bucket.run()
        if settings.keep_movements_days:
            keep_days = settings.keep_movements_days
            parts["retention"] = MovementRetention(self._client(), keep_days=keep_days).run()
        if settings.keep_imports_days:
            imports = ImportRetention(self._client(), keep_days=settings.keep_imports_days)
            parts["import retention"] = imports.run()
        parts["release"] = self._releases().run()
        parts["beat"] = self._beat(self._client())
        return parts

    def _releases(self) -> Releases:
        settings = self._settings
        intake = Target(reachable(settings.server_host), settings.server_port, self._access._replace(token=None))
        events = Target(reachable(settings.distributed_host), settings.distributed_port, self._access)
        return Releases(
            self._client(),
            IntakeClient(*intake),
            DistributedClient(*events) if settings.store == "sqlite" else None,
        )

    def _client(self) -> PersistenceClient:
        """A connection of a part's own: on one of them, what looks something up makes later requests wait."""
        settings = self._settings
        client = PersistenceClient(reachable(settings.tcp_persist_host), settings.tcp_persist_port, self._access)
        self._clients.append(client)
        return client

    async def _beat(self, client: PersistenceClient) -> None:
        """Shows others that this service lives."""
        while True:
            try:
                await client.put_item(INVENTORY.name, {**BEAT, "at": iso_time(time.time_ns() // 1000)})
                pause = BEAT_SECONDS
            except ClientError as error:
                self._log.debug("nobody sees that this service lives", reason=error.message)
                # At a start of the whole suite the persistence server may be ready a moment later.
                pause = _BEAT_AGAIN_SECONDS
            await asyncio.sleep(pause)
