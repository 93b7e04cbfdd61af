"""The state of the lake's service in records: its heartbeat, and the work that users ask it for."""

from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

import msgspec
from msgspec import Struct

from clients.persistence import PersistenceClient
from shared.domain.records import Update
from shared.domain.tables import SHOP_STATE
from shared.domain.tenants import TenantName, check_tenant_name
from shared.runtime.clock import iso_now

HEARTBEAT_TIMEOUT_SECONDS: Final = 15.0
"""Age of the last heartbeat from which the service counts as unavailable."""

LakeWork = Literal["rebuild", "rewrite", "forget"]

_HEARTBEAT: Final = {"name": "lake_beat"}
_REQUESTS: Final = {"name": "lake_requests"}
_REQUEST: Final = "request:"


class LakeHeartbeat(Struct, frozen=True):
    """The state that the service reports."""

    behind_s: float
    """Seconds since it had exported everything."""
    exported: int
    """Rows since its start."""
    waiting_days: int
    """Days whose files lack events."""
    trouble: str | None = None
    """The error that holds it up."""


class HeardHeartbeat(NamedTuple):
    """The last heartbeat, and its age in seconds."""

    heartbeat: LakeHeartbeat
    age: float

    @property
    def status(self) -> str:
        """`ok`, `degraded` while it cannot write, or `away`."""
        if self.age > HEARTBEAT_TIMEOUT_SECONDS:
            return "away"
        return "ok" if self.heartbeat.trouble is None else "degraded"

    @property
    def reason(self) -> str | None:
        """Says what the status is about; None if it is `ok`."""
        if self.status == "away":
            return f"it was last heard {self.age:.0f} s ago"
        return self.heartbeat.trouble

    @property
    def behind_s(self) -> float:
        """Seconds since it had exported everything, as long as it was heard."""
        return self.heartbeat.behind_s + (self.age if self.status == "away" else 0.0)


class LakeRequest(Struct, frozen=True):
    """Work that a user has asked for."""

    number: str
    kind: LakeWork
    tenant: TenantName
    user: str = ""


async def send_heartbeat(records: PersistenceClient, heartbeat: LakeHeartbeat) -> None:
    """Stores a heartbeat. Raises ClientError."""
    members: dict[str, Any] = {**msgspec.to_builtins(heartbeat), "behind_s": round(heartbeat.behind_s)}
    await records.put_item(SHOP_STATE.name, {**_HEARTBEAT, "at": iso_now(), **members})


async def read_heartbeat(records: PersistenceClient) -> HeardHeartbeat | None:
    """Returns the last heartbeat; None if there has never been one. Raises ClientError."""
    stored = await records.get_item(SHOP_STATE.name, _HEARTBEAT)
    if stored.item is None:
        return None
    age = (datetime.now(UTC) - datetime.fromisoformat(stored.item["at"])).total_seconds()
    return HeardHeartbeat(msgspec.convert(stored.item, LakeHeartbeat, strict=False), age)


def describe_metrics(heard: HeardHeartbeat) -> str:
    """Returns the metrics of the service, in the text format of Prometheus."""
    return (
        "# HELP comanda_lake_behind_seconds Seconds since the lake had everything.\n"
        "# TYPE comanda_lake_behind_seconds gauge\n"
        f"comanda_lake_behind_seconds {heard.behind_s:g}\n"
        "# HELP comanda_lake_rows_total Rows that the lake has got since its start.\n"
        "# TYPE comanda_lake_rows_total counter\n"
        f"comanda_lake_rows_total {heard.heartbeat.exported}\n"
    )


async def request_work(records: PersistenceClient, kind: LakeWork, tenant: str, user: str = "") -> str:
    """Asks for work. Returns the number of the request. Raises ClientError and InvalidParams."""
    number = uuid4().hex
    members = {"kind": kind, "tenant": check_tenant_name(tenant), "user": user}
    await records.transact([Update(SHOP_STATE.name, _REQUESTS, set={_REQUEST + number: members})])
    return number


async def list_requests(records: PersistenceClient) -> list[LakeRequest]:
    """Returns the requests that are not done. Raises ClientError."""
    stored = await records.get_item(SHOP_STATE.name, _REQUESTS)
    found: list[LakeRequest] = []
    for name, members in (stored.item or {}).items():
        if not name.startswith(_REQUEST):
            continue
        number = name.removeprefix(_REQUEST)
        try:
            found.append(msgspec.convert({**members, "number": number}, LakeRequest))
        except (msgspec.ValidationError, TypeError):
            # Another program has written it.
            await finish_request(records, number)
    return found


async def finish_request(records: PersistenceClient, number: str) -> None:
    """Records that a request is done. Raises ClientError."""
    await records.transact([Update(SHOP_STATE.name, _REQUESTS, set={}, remove=[_REQUEST + number])])
