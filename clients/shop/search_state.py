"""The state of the search of books in records: the heartbeat of the shop's service, and requests to build an index."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import uuid4

from clients.errors import Refused
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient
from shared.domain.records import Condition, Put, Update
from shared.domain.tables import SHOP_STATE
from shared.runtime.clock import iso_now

HEARTBEAT_SECONDS: Final = 5.0
"""The interval of heartbeats."""
HEARTBEAT_TIMEOUT_SECONDS: Final = 3 * HEARTBEAT_SECONDS
"""Age of the last heartbeat from which the service counts as unavailable."""

_HEARTBEAT: Final = {"name": "search_beat"}
_REQUESTS: Final = {"name": "search_requests"}
_POSITION: Final = {"name": "search_position"}
_SHOWN_TENANTS: Final = 20
_TENANT: Final = "tenant:"


class ShopHeartbeat(NamedTuple):
    """The last heartbeat of the shop's service."""

    seconds: float
    """Its age."""
    building: list[str]
    """Tenants whose search index was being built, the first of them."""
    behind: list[str]
    """Tenants whose search index could not store changes, the first of them."""

    @property
    def status(self) -> str:
        """`ok`, `degraded` while an index is being built or cannot store changes, or `away`."""
        if self.seconds > HEARTBEAT_TIMEOUT_SECONDS:
            return "away"
        return "degraded" if self.building or self.behind else "ok"

    @property
    def reason(self) -> str | None:
        """Says what the status is about; None if it is `ok`."""
        if self.seconds > HEARTBEAT_TIMEOUT_SECONDS:
            return f"it was last heard {self.seconds:.0f} s ago"
        if self.behind:
            return f"the search index cannot store changes: {', '.join(self.behind)}"
        return f"the search index is being built: {', '.join(self.building)}" if self.building else None


class SearchProgress(NamedTuple):
    """The state of the search indexes that survives a restart."""

    position: str
    """The position in the feed of all tenants up to which all indexes have the changes."""
    versions: int
    """No document of an index has a higher version."""


async def send_heartbeat(records: PersistenceClient, building: list[str], behind: list[str]) -> None:
    """Stores a heartbeat. Raises ClientError."""
    shown = {"building": building[:_SHOWN_TENANTS], "behind": behind[:_SHOWN_TENANTS]}
    await records.put_item(SHOP_STATE.name, {**_HEARTBEAT, "at": iso_now(), **shown})


async def read_heartbeat(records: PersistenceClient) -> ShopHeartbeat | None:
    """Returns the last heartbeat; None if there has never been one. Raises ClientError."""
    stored = await records.get_item(SHOP_STATE.name, _HEARTBEAT)
    if stored.item is None:
        return None
    seconds = (datetime.now(UTC) - datetime.fromisoformat(stored.item["at"])).total_seconds()
    return ShopHeartbeat(seconds, list(stored.item.get("building", ())), list(stored.item.get("behind", ())))


async def request_index(records: PersistenceClient, tenant: str) -> str:
    """Asks for a new search index of a tenant. Returns the number of the request. Raises ClientError."""
    number = uuid4().hex
    await records.transact([Update(SHOP_STATE.name, _REQUESTS, set={_TENANT + tenant: number})])
    return number


async def list_requested_indexes(records: PersistenceClient) -> Mapping[str, str]:
    """Returns the requests that are not done, by tenant. Raises ClientError."""
    stored = await records.get_item(SHOP_STATE.name, _REQUESTS)
    return {
        name.removeprefix(_TENANT): str(number)
        for name, number in (stored.item or {}).items()
        if name.startswith(_TENANT)
    }


async def finish_request(records: PersistenceClient, tenant: str, number: str) -> None:
    """Records that a request is done, unless there is a later one. Raises ClientError."""
    member = _TENANT + tenant
    done = Update(SHOP_STATE.name, _REQUESTS, set={}, remove=[member], when=Condition(equal={member: number}))
    try:
        await records.transact([done])
    except Refused as refusal:
        if not is_conflict(refusal):
            raise


async def load_progress(records: PersistenceClient) -> SearchProgress | None:
    """Returns the stored progress, None before the first. Raises ClientError."""
    stored: dict[str, Any] | None = (await records.get_item(SHOP_STATE.name, _POSITION)).item
    return None if stored is None else SearchProgress(str(stored["position"]), int(stored.get("versions", 0)))


async def store_progress(records: PersistenceClient, progress: SearchProgress) -> None:
    """Stores the progress. Raises ClientError."""
    item = {**_POSITION, "position": progress.position, "versions": progress.versions}
    await records.transact([Put(SHOP_STATE.name, item)])
