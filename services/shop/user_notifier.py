"""Follows the change feed of all tenants, and tells users about their purchases and the books of their wishlists."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog

from clients.errors import ClientError, Refused
from clients.persistence import PersistenceClient, StoredChange
from clients.shop.notices import announce_offer, announce_purchases, load_position, store_position
from shared.domain.notices import Notice, Offer, find_offer, make_purchase_notice
from shared.domain.tables import BOOKS, PURCHASES, STOCK
from shared.domain.tenants import is_tenant_name

_TABLES = (BOOKS.name, STOCK.name, PURCHASES.name)
_POLL_SECONDS = 0.25
_PAGE_CHANGES = 1000
_RETRY_SECONDS = 0.5
_WARN_AFTER_FAILURES = 5
# An unchanged position is stored from time to time, so that it does not expire from the feed.
_REFRESH_SECONDS = 30.0


class UserNotifier:
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
        """Announces what a page of changes means to users. Returns whether there may be more. Raises ClientError."""
        if not self._loaded:
            self._position = await load_position(self._client)
            self._loaded = True
        try:
            page = await self._client.changes(self._position, tenant=None, limit=_PAGE_CHANGES)
        except Refused as refusal:
            if refusal.error not in ("gone", "invalid_params") or self._position is None:
                raise
            self._log.warning("notice_changes_missed", reason=refusal.message)
            self._position = None
            return True
        news = _find_news(page.changes)
        for tenant, offer in news.offers:
            await announce_offer(self._client.of(tenant), offer)
        for tenant, notices in news.ended.items():
            await announce_purchases(self._client.of(tenant), notices)
        now = asyncio.get_running_loop().time()
        if news.offers or news.ended or now > self._stored_at + _REFRESH_SECONDS:
            await store_position(self._client, page.position)
            self._stored_at = now
        self._position = page.position
        return len(page.changes) > 0


class _News(NamedTuple):
    """Offers with their tenants, and notices of ended purchases by tenant."""

    offers: Sequence[tuple[str, Offer]]
    ended: Mapping[str, Sequence[Notice]]


def _find_news(changes: Sequence[StoredChange]) -> _News:
    offers: dict[tuple[str, Offer], None] = {}
    ended: dict[str, list[Notice]] = {}
    added: set[tuple[str, str]] = set()
    for change in changes:
        if change.table not in _TABLES or not is_tenant_name(change.tenant):
            continue
        old = None if change.old is None else change.old.item
        new = None if change.new is None else change.new.item
        if change.table == PURCHASES.name:
            if (notice := make_purchase_notice(change.at, old, new)) is not None:
                ended.setdefault(change.tenant, []).append(notice)
            continue
        offer = find_offer(change.table, change.at, old, new)
        if change.table == BOOKS.name and old is None and new is not None:
            added.add((change.tenant, str(new["book"])))
        # The first copies of a new book are no return. Catalogues are loaded in thousands.
        if offer is not None and (old is not None or (change.tenant, offer.book) not in added):
            offers[change.tenant, offer] = None
    return _News(list(offers), ended)
