"""What the suite asks of a store, in the domain's words; every adapter passes one contract suite.

The intake accepts and asks (`OrderStore`), workers work (`WorkStore`). An answered call is durable.
Adapters raise StoreError when the database refuses, and then nothing of the call has happened.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from shared.domain.errors import StoreError
from shared.domain.ids import OrderRange
from shared.domain.orders import FailedAttempt, Order, OrderRequest, Priority
from shared.domain.states import State


class OrderBatch(NamedTuple):
    """New orders to be accepted in one commit, in order of arrival."""

    requests: Sequence[OrderRequest]
    documents: Sequence[str]
    """The canonical document of each request."""
    plain: bool
    """Whether no request has a `request_id`, a priority or a time to wait for."""


class ExistingOrder(NamedTuple):
    """The order that a `request_id` already stands for."""

    id: str
    state: State
    same: bool
    """Whether it is the same order: a retry and not a conflict."""


class Acceptance(NamedTuple):
    """What became of a batch. An index in neither `accepted` nor `existing` found no room, or was `refused`."""

    orders: OrderRange
    """The new orders, in order; empty when there are none."""
    accepted: Sequence[int]
    """Index in the batch of each new order."""
    existing: Mapping[int, ExistingOrder]
    refused: StoreError | None = None
    """Why the store took no more than these; it may have stored some without an answer."""


class Ticket(Struct, frozen=True, array_like=True, gc=False):
    """A range of orders to be worked off, and which attempt at them this is (the first is 1).

    The attempt is the fencing token: a result is recorded only while the store still has the order
    `en proceso` in that very attempt. `stored` and `queued` are microseconds since the epoch.
    """

    orders: OrderRange
    attempt: int
    priority: Priority
    stored: int
    queued: int

    def split_at(self, count: int) -> "tuple[Ticket, list[Ticket]]":
        """Returns a ticket for the first `count` orders, and what is left of this one: a ticket or none."""
        if count >= self.orders.count:
            return self, []
        head, rest = self.orders.split(count)
        return replace(self, orders=head), [replace(self, orders=rest)]


class Claim(NamedTuple):
    """Orders that now belong to this worker, consecutive and in one attempt."""

    ticket: Ticket
    documents: list[str]
    failures: int
    """How many attempts at them have failed so far."""


class Done(NamedTuple):
    """An order whose handler returned; `finished` is microseconds since the epoch."""

    sequence: int
    attempt: int
    finished: int
    note: str | None = None
    """What is to be said of it: its `detail` from then on."""


class Failure(NamedTuple):
    """An order whose handler raised. With `retry_at` (microseconds) it goes back to the queue."""

    sequence: int
    attempt: int
    finished: int
    detail: str
    retry_at: int | None
    place: str | None = None
    """Where the handler raised, as `file:line function`."""
    traceback: str | None = None
    oldest_kept: int = 1
    """Failed attempts with smaller numbers are forgotten."""


class HandBack(NamedTuple):
    """An order that its worker had begun and will not finish; this costs it no attempt."""

    sequence: int
    attempt: int


class Advance(NamedTuple):
    """What became of one `WorkStore.advance`."""

    claims: list[Claim]
    refused: list[OrderRange]
    """Of the tickets: orders that are not to be worked off (cancelled, or begun by another)."""
    lost: set[int]
    """Of the results: sequences that were not recorded, since the order is no longer this attempt's."""
    left: Sequence[Ticket] = ()
    """Of the tickets: what is not touched, since its documents did not fit."""


class OpenRange(NamedTuple):
    """Orders that were not final when the store was opened, alike in everything but their sequence."""

    orders: OrderRange
    attempt: int
    """The attempts begun so far."""
    priority: Priority
    due: int | None
    """Not to be begun before this time, in microseconds since the epoch."""
    rescues: int = 0
    """How many workers have died over them."""


class Cancellation(NamedTuple):
    """An order was cancelled that had been in the state `was`: `en cola` or `fallido`."""

    was: State
    here: bool = True
    """Of one that was `fallido`: whether this server counts it; else it is another's, whose `tend` tells of it."""


class Repair(Struct, frozen=True):
    """What a start did about files that are not of one moment, as after a restore. Sequences count from 1."""

    at: int
    """Microseconds since the epoch."""
    reasons: list[str]
    orders_last: int
    """The last order that is stored."""
    progress_last: int
    """The last order that something had happened to."""
    followed_last: int
    """The last order that a follower had read."""
    next: int
    """The sequence of the next order: behind all of these."""
    missing: int
    """How many orders the other files know of that are not stored."""
    set_aside: int
    """Of how many missing orders the progress was set aside."""
    set_aside_in: list[str]
    """The tables that it was moved to, in the file of progress, and in that of orders for archived ones."""
    open: int
    """How many orders have no progress: those that were worked off before are worked off again."""


class Recovery(NamedTuple):
    """What a store holds when it is opened."""

    open: list[OpenRange]
    totals: Mapping[State, int]
    """Number of orders in each final state."""
    accepted: int
    repair: Repair | None = None
    """What was repaired at this start."""
    repairs: Sequence[Repair] = ()
    """The last repairs, this one included, oldest first."""
    newest: int = 0
    """When the newest order was received, in microseconds since the epoch; 0 where that is not known."""


class Tended(NamedTuple):
    """What else is to be worked off by the server that tends its store."""

    adopted: list[Recovery]
    """What servers have left that are dead."""
    again: list[OpenRange]
    """Orders of this server that are to be queued: `fallido` ones that were put back elsewhere."""
    discarded: list[OrderRange]
    """Orders of this server that were `fallido` and were cancelled elsewhere."""
    found: list[OpenRange]
    """Orders whose storing had no answer, and that were stored."""
    trouble: str | None = None
    """Why something that dead servers have left could not be taken over yet."""


class Superseded(StoreError):
    """Others have taken this server for dead, and work off what was its own: it has to end."""

    def __init__(self, server: str) -> None:
        super().__init__(
            f"{server} was taken for dead: it was silent for longer than SERVER_LEASE_SECONDS",
            hint="start it again; its orders are worked off by others",
        )


class OrderListQuery(NamedTuple):
    """Which orders to list, newest first. Times are microseconds since the epoch."""

    state: State | None = None
    customer: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 50
    before: int | None = None
    """Only orders with a smaller sequence: where the page before ended."""
    among: Sequence[tuple[int, int]] | None = None
    """Where orders of an open state can be, as this server knows: sequences from the first up to, without, the second.

    None is anywhere. A store that other servers use too looks elsewhere as well.
    """


class OrderPage(NamedTuple):
    """Some orders, and from where the next page goes on; None at the end.

    A page that took long, or is large, is short: only None is the end.
    """

    orders: list[Order]
    before: int | None


class OrderStore(Protocol):
    """The intake's side of the store."""

    async def recover(self) -> Recovery:
        """Puts every order that was `en proceso` back to `en cola`, and tells what is open."""

    async def accept(self, batch: OrderBatch, *, received: int, room: int) -> Acceptance:
        """Commits the new orders of a batch, at most `room` of them."""

    async def get(self, order_id: str) -> Order | None:
        """The order with this id."""

    async def attempts(self, order_id: str) -> Sequence[FailedAttempt]:
        """Returns the failed attempts at an order that are kept, the oldest first."""

    async def list(self, query: OrderListQuery) -> OrderPage:
        """A page of orders."""

    async def cancel(self, order_id: str) -> Cancellation | State:
        """Cancels an order that is `en cola` or `fallido`: what it was, or the other state that forbids it.

        Raises NotFound.
        """

    async def retry(self, order_id: str) -> OpenRange | State | None:
        """Puts a `fallido` order back to `en cola`: how it is to be queued, or the state that forbids it.

        None where the order is another server's, which queues it. Raises NotFound.
        """

    async def rescue(self, tickets: Sequence[Ticket], *, poison: int) -> "Rescue":
        """Takes orders back from a worker that is dead; whatever it still tries is fenced off.

        An order that lost more than `poison` workers is `fallido`: it may be what kills them.
        """

    async def beat(self) -> None:
        """Shows others that this server lives; to be called often, whatever else takes long.

        Raises Superseded when others have taken over from this one.
        """

    async def tend(self) -> Tended:
        """Takes over what dead servers have left, and what else is to be worked off here; to be called often."""

    async def settle(self) -> None:
        """Remembers up to where every order is final, so that the next start need not look there."""

    async def tidy(self) -> bool:
        """Deletes a small portion of what is not needed any more: whether there may be more."""

    async def close(self) -> None:
        """Writes everything home and releases the store."""


class Rescue(NamedTuple):
    """What became of a dead worker's orders, by sequence."""

    requeued: list[OpenRange]
    """Back to `en cola`, whether they had been begun or not."""
    finals: Mapping[State, list[OrderRange]]
    """Already final before the worker died, or `fallido` now as poison."""


class WorkStore(Protocol):
    """A worker's side of the store."""

    async def advance(
        self,
        worker: str,
        *,
        done: Sequence[Done] = (),
        failures: Sequence[Failure] = (),
        handed_back: Sequence[HandBack] = (),
        tickets: Sequence[Ticket] = (),
        now: int,
        max_bytes: int | None = None,
    ) -> Advance:
        """Records results and begins new work, in one transaction.

        With `max_bytes` it begins orders until their documents reach that size; the first one always.
        """

    async def close(self) -> None:
        """Releases the store."""
