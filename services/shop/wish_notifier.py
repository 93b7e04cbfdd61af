"""Follows the change feed of all tenants, and announces cheaper books and new copies to users who wish for them."""

import asyncio

import structlog

from clients.errors import ClientError, Refused
from clients.persistence import PersistenceClient
from clients.shop.notices import announce_offer, load_position, store_position
from shared.domain.notices import Offer, find_offer
from shared.domain.tables import BOOKS, STOCK
from shared.domain.tenants import is_tenant_name

_POLL_SECONDS = 0.25
_PAGE_CHANGES = 1000
_RETRY_SECONDS = 0.5
_WARN_AFTER_FAILURES = 5
# An unchanged position is stored from time to time, so that it does not expire from the feed.
_REFRESH_SECONDS = 30.0


class WishNotifier:
    """Reads the feed until cancelled. After a kill it reads some changes again, which make the same notices."""

    def __init__(self, client: PersistenceClient) -> None:
        self._client = client
        self._position: str | None = None
        self._stored_at = -_REFRESH_SECONDS
        self._loaded = False
        self._failures = 0
        self._log = structlog.get_logger()

    async def follow(self) -> None:
        """Processes pages of the feed as they come."""
        while True:
            try:
                busy = await self.process_page()
                self._failures = 0
            except ClientError as error:
                self._failures += 1
                # Servers that start at the same time are not reported as unavailable.
                if self._failures == _WARN_AFTER_FAILURES:
                    self._log.warning("server_unavailable", waiting="notices", reason=error.message)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            await asyncio.sleep(0 if busy else _POLL_SECONDS)

    async def process_page(self) -> bool:
        """Announces the offers in a page of changes. Returns whether there may be more. Raises ClientError."""
        if not self._loaded:
            self._position = await load_position(self._client)
            self._loaded = True
        try:
            page = await self._client.changes(self._position, tenant=None, limit=_PAGE_CHANGES)
        except Refused as refusal:
            if refusal.error not in ("gone", "invalid_params") or self._position is None:
                raise
            self._log.warning("wish_changes_missed", reason=refusal.message)
            self._position = None
            return True
        offers: dict[tuple[str, Offer], None] = {}
        added: set[tuple[str, str]] = set()
        for change in page.changes:
            if change.table not in (BOOKS.name, STOCK.name) or not is_tenant_name(change.tenant):
                continue
            old = None if change.old is None else change.old.item
            new = None if change.new is None else change.new.item
            offer = find_offer(change.table, change.at, old, new)
            if change.table == BOOKS.name and old is None and new is not None:
                added.add((change.tenant, str(new["book"])))
            # The first copies of a new book are no return. Catalogues are loaded in thousands.
            if offer is not None and (old is not None or (change.tenant, offer.book) not in added):
                offers[change.tenant, offer] = None
        for tenant, offer in offers:
            await announce_offer(self._client.of(tenant), offer)
        now = asyncio.get_running_loop().time()
        if offers or now > self._stored_at + _REFRESH_SECONDS:
            await store_position(self._client, page.position)
            self._stored_at = now
        self._position = page.position
        return len(page.changes) > 0
