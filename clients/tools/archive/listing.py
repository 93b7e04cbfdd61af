"""Lists archived orders from their files."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from clients.cli.times import to_microseconds
from clients.errors import WrongUsage
from clients.replies import StoredOrder
from clients.tools.backup.locations import load_locations
from shared.domain.names import name_key
from shared.domain.orders import order_view
from shared.domain.states import State
from shared.stores.archive_format import read_block
from shared.stores.sqlite.archives import archive_files


def list_archived(
    *,
    state: str | None = None,
    customer: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[StoredOrder]:
    """Yields the archived orders in the folder of the settings DATA_DIR and DB_PATH, newest first.

    Raises WrongUsage, and StoreError for an unreadable file.
    """
    wanted = None if customer is None else name_key(customer)
    first = None if since is None else to_microseconds(since)
    last = None if until is None else to_microseconds(until)
    if state is not None and state not in list(State):
        raise WrongUsage(f"{state!r} is no state", hint=f"states: {', '.join(State)}")
    for file in archive_files(load_locations().orders.archive):
        for archived in reversed(read_block(file.path)):
            order = archived.order
            if (
                (state is None or order.state == state)
                and (wanted is None or name_key(order.request.customer) == wanted)
                and (first is None or order.received >= first)
                and (last is None or order.received < last)
            ):
                yield msgspec.convert(msgspec.to_builtins(order_view(order)), StoredOrder, strict=False)
