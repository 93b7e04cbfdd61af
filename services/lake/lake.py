"""The lake's service: builds its parts, runs them, and stops them."""

import asyncio
import gc

import structlog

from clients.access import Access
from clients.persistence import PersistenceClient
from services.lake.bucket import open_storage
from services.lake.progress import LakeProgress
from services.lake.settings import LakeSettings
from services.lake.worker import LakeWorker
from services.settings import reachable_host
from shared.domain.errors import StartupError, StoreError
from shared.runtime.parent import announce_ready
from shared.runtime.parts import ServiceParts
from shared.stores.ports.feeds import OrderFeed


class LakeService:
    """The lake's service. It has no port: it reads records and orders, and writes files."""

    def __init__(self, settings: LakeSettings, access: Access, orders: OrderFeed | None) -> None:
        self._settings = settings
        self._access = access
        self._orders = orders
        self._log = structlog.get_logger()

    async def serve(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set. Waits for servers and a storage that are unavailable. Raises StartupError."""
        settings = self._settings
        location, retention = settings.locate(), settings.list_retention()
        try:
            progress = LakeProgress(settings.progress_file)
        except StoreError as error:
            raise StartupError(
                f"{settings.progress_file} cannot be opened: {error.message}",
                hint="check DATA_DIR; without the file everything is exported again",
            ) from error
        client = PersistenceClient(reachable_host(settings.tcp_persist_host), settings.tcp_persist_port, self._access)
        parts = ServiceParts()
        async with open_storage(location, region=settings.aws_region, endpoint=settings.aws_endpoint_url) as storage:
            worker = LakeWorker(
                client, self._orders, storage, progress, state_seconds=settings.lake_seconds, retention=retention
            )
            parts.start(worker.run(), "lake")
            self._log.info("working", lake=location.root)
            announce_ready(location.root)
            gc.freeze()
            await parts.wait(stop)
            self._log.info("stopping")
            await asyncio.wait(parts.cancel(), timeout=settings.shutdown_seconds)
        client.close()
        progress.close()
        self._log.info("stopped")
        parts.raise_failure()
