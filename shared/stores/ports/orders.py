"""Ports of the order stores. All adapters pass the same contract tests.

The intake uses `OrderStore`, workers use `WorkStore`. A call that returned is durable. Adapters raise StoreError when
the database refuses; then the call has changed nothing.
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
    """True if no request has a `request_id`, a priority or a start time."""


class ExistingOrder(NamedTuple):
    """The existing order with a `request_id`."""

    id: str
    state: State
    same: bool
    """True if the requests are equal: a retry and not a conflict."""


class Acceptance(NamedTuple):
    """The outcome of a batch. An index in neither `accepted` nor `existing` exceeded the room or was `refused`."""

    orders: OrderRange
    """The new orders, in order; empty when there are none."""
    accepted: Sequence[int]
    """Index in the batch of each new order."""
    existing: Mapping[int, ExistingOrder]
    refused: StoreError | None = None
    """The error that prevented the store from accepting more orders; it may have stored some of them."""


class Ticket(Struct, frozen=True, array_like=True, gc=False):
    """A range of orders to process, and the number of this attempt (the first is 1).

    The attempt is the fencing token: a result is recorded only while the store still has the order
    `en proceso` in that very attempt. `stored` and `queued` are microseconds since the epoch.
    """

    orders: OrderRange
    attempt: int
    priority: Priority
    stored: int
    queued: int

    def split_at(self, count: int) -> "tuple[Ticket, list[Ticket]]":
        """Returns a ticket for the first `count` orders, and a list with the ticket for the other orders, if any."""
        if count >= self.orders.count:
            return self, []
        head, rest = self.orders.split(count)
        return replace(self, orders=head), [replace(self, orders=rest)]


class Claim(NamedTuple):
    """Consecutive orders in the same attempt that a worker has claimed."""

    ticket: Ticket
    documents: list[str]
    failures: int
    """Number of failed attempts so far."""


class Done(NamedTuple):
    """The result of a handler that returned; `finished` is microseconds since the epoch."""

    sequence: int
    attempt: int
    finished: int
    note: str | None = None
    """The new `detail` of the order."""


class Failure(NamedTuple):
    """The result of a handler that raised. With `retry_at` (microseconds) the order returns to the queue."""

    sequence: int
    attempt: int
    finished: int
    detail: str
    retry_at: int | None
    place: str | None = None
    """The position of the exception, as `file:line function`."""
    traceback: str | None = None
    oldest_kept: int = 1
    """Failed attempts with smaller numbers are deleted."""


class HandBack(NamedTuple):
    """An order that its worker began and returns unfinished; this does not count as an attempt."""

    sequence: int
    attempt: int


class Advance(NamedTuple):
    """The outcome of `WorkStore.advance`."""

    claims: list[Claim]
    refused: list[OrderRange]
    """Orders of the tickets that could not be claimed (cancelled, or begun by another worker)."""
    lost: set[int]
    """Sequences of results that were not recorded because the order is no longer in this attempt."""
    left: Sequence[Ticket] = ()
    """Tickets that were not processed because their documents exceeded `max_bytes`."""


class OpenRange(NamedTuple):
    """A range of open orders that only differ in their sequence."""

    orders: OrderRange
    attempt: int
    """Number of attempts begun so far."""
    priority: Priority
    due: int | None
    """Earliest start, in microseconds since the epoch."""
    rescues: int = 0
    """Number of workers that died while processing them."""


class Cancellation(NamedTuple):
    """The cancellation of an order that was in the state `was`: `en cola` or `fallido`."""

    was: State
    here: bool = True
    """For a `fallido` order: True if this server counts it, False if another server does, in its `adopt_orphans`."""


class Repair(Struct, frozen=True):
    """A repair of files with different states, for example after a restore. Sequences count from 1."""

    at: int
    """Microseconds since the epoch."""
    reasons: list[str]
    orders_last: int
    """The last stored order."""
    progress_last: int
    """The last order with progress."""
    followed_last: int
    """The last order that a follower has read."""
    next: int
    """The sequence of the next order, higher than all of these."""
    missing: int
    """Number of orders that other files refer to and that are not stored."""
    set_aside: int
    """Number of missing orders whose progress was set aside."""
    set_aside_in: list[str]
    """The tables with data set aside, in the progress file, or in the order file for archived orders."""
    open: int
    """Number of orders without progress; those that were already processed are processed again."""


class Recovery(NamedTuple):
    """The state of a store when it is opened."""

    open: list[OpenRange]
    totals: Mapping[State, int]
    """Number of orders in each final state."""
    accepted: int
    repair: Repair | None = None
    """The repair at this start, if any."""
    repairs: Sequence[Repair] = ()
    """The last repairs, this one included, oldest first."""
    newest: int = 0
    """Time of receipt of the newest order, in microseconds since the epoch; 0 if unknown."""


class Adoption(NamedTuple):
    """Orders that this server owns from now on, or that other servers have changed."""

    adopted: list[Recovery]
    """Blocks of dead servers."""
    reopened: list[OpenRange]
    """Orders of this server that are to be queued: `fallido` ones that were put back elsewhere."""
    discarded: list[OrderRange]
    """Failed orders of this server that another one cancelled."""
    found: list[OpenRange]
    """Orders that were stored although the write had no reply."""
    postponed: str | None = None
    """The reason why some blocks of dead servers could not be adopted yet."""


class Superseded(StoreError):
    """Another server considers this one dead and has adopted its orders: this server has to stop."""

    def __init__(self, server: str) -> None:
        super().__init__(
            f"{server} was taken for dead: it was silent for longer than SERVER_LEASE_SECONDS",
            hint="start it again; its orders are worked off by others",
        )


class OrderListQuery(NamedTuple):
    """A query for a list of orders, newest first. Times are microseconds since the epoch."""

    state: State | None = None
    customer: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 50
    before: int | None = None
    """Only orders with a smaller sequence: the end of the previous page."""
    among: Sequence[tuple[int, int]] | None = None
    """Ranges that can contain orders in an open state: sequences from the first up to and excluding the second.

    None means everywhere. A store that several servers share also searches elsewhere.
    """


class OrderPage(NamedTuple):
    """A page of orders, and the sequence before which the next page begins; None at the end.

    A page may be short if the search took long or the orders are large; only None is the end.
    """

    orders: list[Order]
    before: int | None


class OrderStore(Protocol):
    """The intake's side of the store."""

    async def recover(self) -> Recovery:
        """Requeues every order that was `en proceso`; returns the open orders."""

    async def accept(self, batch: OrderBatch, *, received: int, room: int) -> Acceptance:
        """Commits the new orders of a batch, at most `room` of them."""

    async def get(self, order_id: str) -> Order | None:
        """Returns the order with this id."""

    async def attempts(self, order_id: str) -> Sequence[FailedAttempt]:
        """Returns the kept failed attempts of an order, the oldest first."""

    async def list(self, query: OrderListQuery) -> OrderPage:
        """Returns a page of orders."""

    async def cancel(self, order_id: str) -> Cancellation | State:
        """Cancels an order that is `en cola` or `fallido`; returns the cancellation, or the state that prevents it.

        Raises NotFound.
        """

    async def retry(self, order_id: str) -> OpenRange | State | None:
        """Requeues a `fallido` order; returns the range to queue, or the state that prevents it.

        Returns None if the order belongs to another server, which queues it. Raises NotFound.
        """

    async def rescue(self, tickets: Sequence[Ticket], *, poison: int) -> "Rescue":
        """Takes orders back from a dead worker; fencing rejects its later results.

        An order that lost more than `poison` workers becomes `fallido`: it may be the cause.
        """

    async def send_heartbeat(self) -> None:
        """Sends a heartbeat to other servers; to be called often, even during long operations.

        Raises Superseded if another server has adopted the orders of this one.
        """

    async def adopt_orphans(self) -> Adoption:
        """Takes over the orders of dead servers; also returns what other servers did to orders of this one.

        Is called several times a lease. Raises Superseded.
        """

    async def advance_watermark(self) -> None:
        """Stores up to where every order is final, so that the next start reads behind that alone."""

    async def tidy(self) -> bool:
        """Deletes a small chunk of obsolete data; returns whether there may be more."""

    async def close(self) -> None:
        """Flushes and closes the store."""


class Rescue(NamedTuple):
    """The outcome of rescuing a dead worker's orders, by sequence."""

    requeued: list[OpenRange]
    """Orders that are `en cola` again, begun or not."""
    finals: Mapping[State, list[OrderRange]]
    """Orders that were final before the worker died, or are `fallido` now as poison."""


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
        """Records results and claims new orders in one transaction.

        With `max_bytes` it claims orders until their documents reach this size, but at least one.
        """

    async def close(self) -> None:
        """Releases the store."""
