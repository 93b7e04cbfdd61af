"""The shop's service: builds its parts, runs them, and stops them."""

import asyncio
import gc
from pathlib import Path

import structlog

from clients.access import Access
from clients.distributed import DistributedClient
from clients.errors import ClientError
from clients.intake import IntakeClient
from clients.persistence import PersistenceClient
from clients.shop.search_state import HEARTBEAT_SECONDS, send_heartbeat
from services.settings import reachable_host
from services.shop.fulfilling_follower import PurchaseFollower
from services.shop.index_follower import IndexFollower
from services.shop.index_keeper import IndexKeeper
from services.shop.pair_follower import PairFollower
from services.shop.payments import open_payments
from services.shop.settings import ShopSettings
from services.shop.user_notifier import UserNotifier
from shared.recommendations.pair_file import FILE as PAIRS_FILE
from shared.runtime.parent import announce_ready
from shared.runtime.parts import ServiceParts
from shared.search.port import BookIndex

# Delay after a failed heartbeat, in seconds.
_RETRY_SECONDS = 0.5


class ShopService:
    """The shop's service. It has no port: it works on records, orders and the search index."""

    def __init__(self, settings: ShopSettings, access: Access, index: BookIndex) -> None:
        self._settings = settings
        self._access = access
        self._index = index
        self._clients: list[PersistenceClient] = []
        self._log = structlog.get_logger()

    async def serve(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set. Waits for servers that are unavailable."""
        parts = ServiceParts()
        keeper = IndexKeeper(self._index, self._connect_client(), at_once=self._settings.max_index_writers)
        follower = IndexFollower(self._connect_client(), self._connect_client(), keeper)
        parts.start(follower.follow(), "follow")
        parts.start(follower.store_positions(), "positions")
        parts.start(follower.check_indexes(), "check")
        parts.start(follower.serve_requests(), "requests")
        purchases = self._create_purchase_follower()
        parts.start(purchases.run(), "purchases")
        path = Path(self._settings.data_dir) / PAIRS_FILE
        parts.start(PairFollower(self._connect_client(), path).run(), "pairs")
        parts.start(UserNotifier(self._connect_client()).follow(), "notices")
        parts.start(self._send_heartbeats(self._connect_client(), keeper), "beat")
        self._log.info("working", search=self._settings.search)
        announce_ready(self._settings.search)
        gc.freeze()
        await parts.wait(stop)
        self._log.info("stopping")
        await asyncio.wait(parts.cancel(), timeout=self._settings.shutdown_seconds)
        await keeper.close()
        await self._index.close()
        for client in self._clients:
            client.close()
        self._log.info("stopped")
        parts.raise_failure()

    def _create_purchase_follower(self) -> PurchaseFollower:
        settings = self._settings
        access = self._access._replace(token=settings.intake_read_token)
        intake = IntakeClient(reachable_host(settings.server_host), settings.server_port, access)
        distributed = None
        if settings.store == "sqlite":
            host = reachable_host(settings.distributed_host)
            distributed = DistributedClient(host, settings.distributed_port, self._access)
        return PurchaseFollower(
            self._connect_client(),
            intake,
            distributed,
            open_payments(settings.payments),
            pending_seconds=settings.pending_minutes * 60,
        )

    def _connect_client(self) -> PersistenceClient:
        """Returns a connection for one part. A lookup delays later requests on the same connection."""
        settings = self._settings
        client = PersistenceClient(reachable_host(settings.tcp_persist_host), settings.tcp_persist_port, self._access)
        self._clients.append(client)
        return client

    async def _send_heartbeats(self, client: PersistenceClient, keeper: IndexKeeper) -> None:
        """Stores the state of the service, by which others see that it is alive; changes of the state at once."""
        loop = asyncio.get_running_loop()
        sent: tuple[list[str], list[str]] | None = None
        due = loop.time()
        while True:
            state = (keeper.building, keeper.behind)
            if state != sent or loop.time() >= due:
                try:
                    await send_heartbeat(client, *state)
                    sent, due = state, loop.time() + HEARTBEAT_SECONDS
                except ClientError as error:
                    # When the whole suite starts, the persistence server may be ready a moment later.
                    self._log.debug("heartbeat_failed", reason=error.message)
            await asyncio.sleep(_RETRY_SECONDS)
