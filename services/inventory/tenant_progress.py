"""Progress in the changes of tenants other than `main`.

The position in the feed belongs to `main`, and a transaction has one tenant: what is derived from a tenant's changes
cannot be committed together with the position. So each tenant has a record of the changes that were processed since the
stored position, committed with what was derived from them. After a crash in between, the feed is read again from the
stored position, and these changes are passed over.

Changes are identified by their item and version, since positions of the feed have no order on every store, and only
the changes of one item do:

    stored position 10, changes of the tenant a: 11 (x v1), 12 (y v4)     record of a: {from: 10, x: v1, y: v4}
    crash, then read again from 10, now with 13 (x v2)                    11 and 12 are passed over, 13 is processed
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from clients.persistence import PersistenceClient, StoredChange, StoredItem
from shared.domain.names import SEPARATOR, fold_names
from shared.domain.records import Condition, Put
from shared.domain.tables import INVENTORY

_KEY = {"name": "progress"}
_MAX_KNOWN = 10_000

_Ranks = Mapping[str, int]
"""The rank of the last processed change by item."""
_decode = msgspec.json.Decoder(dict[str, int]).decode


def _item_key(change: StoredChange) -> str:
    """Returns a digest of the item's names, which bounds the record: they may be long."""
    item = _last_item(change)
    names = f"{fold_names(item['store'])}{SEPARATOR}{fold_names(item['item'])}"
    return blake2b(names.encode(), digest_size=12).hexdigest()


def _last_item(change: StoredChange) -> dict[str, Any]:
    last = change.new or change.old
    assert last is not None
    assert last.item is not None
    return last.item


def _rank(change: StoredChange) -> int:
    """Returns the place of a change among those of its item; a removal has the version of the change before it."""
    if change.new is not None:
        return 2 * change.new.version
    assert change.old is not None
    return 2 * change.old.version + 1


class TenantProgress(NamedTuple):
    """The processed changes of a tenant since a stored position of the feed."""

    since: str
    ranks: _Ranks
    version: int

    def is_new(self, change: StoredChange) -> bool:
        """Whether a change was not processed before."""
        return not self.ranks or _rank(change) > self.ranks.get(_item_key(change), -1)

    def build_update(self, since: str, changes: Iterable[StoredChange]) -> tuple[Put, _Ranks]:
        """Returns the action that adds processed changes, on the condition that the record is unchanged.

        Also returns the ranks that it stores. Those from before an earlier position are dropped: the feed is not read
        from there again.
        """
        ranks = dict(self.ranks) if self.since == since else {}
        for change in changes:
            key = _item_key(change)
            ranks[key] = max(_rank(change), ranks.get(key, -1))
        item = {**_KEY, "from": since, "seen": msgspec.json.encode(ranks).decode()}
        return Put(INVENTORY.name, item, Condition(version=self.version)), ranks


def _read_progress(stored: StoredItem) -> TenantProgress:
    if stored.item is None:
        return TenantProgress("", {}, 0)
    return TenantProgress(stored.item["from"], _decode(stored.item["seen"]), stored.version)


class ProgressRecords:
    """The progress of tenants, read when it is needed and remembered while no other service writes it."""

    def __init__(self) -> None:
        self._known: dict[str, TenantProgress] = {}

    async def load_progress(self, records: PersistenceClient, tenant: str) -> TenantProgress:
        """Returns the progress of a tenant, of which `records` is the view. Raises ClientError."""
        if (known := self._known.get(tenant)) is None:
            known = _read_progress(await records.get_item(INVENTORY.name, _KEY))
            self.remember(tenant, known)
        return known

    def remember(self, tenant: str, progress: TenantProgress) -> None:
        """Keeps a tenant's progress as it was written."""
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[tenant] = progress

    def forget(self) -> None:
        """Has every progress read again: another service may have written it."""
        self._known.clear()
