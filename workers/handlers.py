"""Handlers of orders: loading by import path, and the two that come with the suite.

A handler is any importable callable that takes a `Job`: a coroutine function, or a plain function, which
then runs in a thread. Returning means done; raising means one failed attempt; raising `Reject` means that
further attempts are pointless.

A class is made into a handler with a `Kit`. What it makes may have two more methods. `prepare` is awaited with all
orders that a worker is about to begin, before any of them is; it gives the ids of those that cannot be begun, with
why, as if the handler had raised that. A text in the place of an error is a note: the order is begun, and when it is
done the note is its `detalle`. `close` is awaited when the worker ends.
"""

import asyncio
import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec import UNSET, Struct

from shared.domain.errors import StartupError
from shared.domain.orders import Item, OrderRequest, Priority

Handler = Callable[["Job"], Awaitable[None]]
Unstocked = Literal["accept", "reject"]
PaymentsName = Literal["simulated"]
"""Adapters for payments, as the setting PAYMENTS names them."""
Prepare = Callable[[Sequence["Job"]], Awaitable[Mapping[str, Exception | str]]]


class JobOrder(Struct, frozen=True):
    """The order of a job in the one shape that handlers see, however it was sent.

    Every product is an `Item` with `name`, `quantity` (1 unless the order says otherwise) and `price` (a Decimal, or
    None); what the order does not name is None.
    """

    customer: str
    items: tuple[Item, ...]
    address: str
    priority: Priority
    not_before: datetime | None
    request_id: str | int | None
    trace: str | None


class Job(Struct, frozen=True, gc=False):
    """One attempt at one order."""

    id: str
    attempt: int
    request: OrderRequest
    """The order as it was sent: its products are texts or `Item`s. For code that counts many orders."""

    @property
    def order(self) -> JobOrder:
        """The order with its products as `Item`s, built on first access."""
        request = self.request
        return JobOrder(
            customer=request.customer,
            items=tuple([item if isinstance(item, Item) else Item(item) for item in request.items]),
            address=request.address,
            priority=request.priority,
            not_before=None if request.not_before is UNSET else request.not_before,
            request_id=None if request.request_id is UNSET else request.request_id,
            trace=None if request.trace is UNSET else request.trace,
        )


class Kit(Struct, frozen=True):
    """The context for constructing a handler; the persistence server has stock and other records."""

    processing_seconds: float = 0.0
    persistence_host: str = "localhost"
    persistence_port: int = 6000
    service_token: str | None = None
    trusted: str | None = None
    """A PEM file of the certificates that the servers show; None where they do not speak TLS."""
    unstocked_items: Unstocked = "accept"
    """Treatment of orders with a product that no store has as an item."""
    payments: PaymentsName = "simulated"
    """The adapter by which handlers of purchases take payments."""


class Reject(Exception):
    """Raised by a handler for an order that no further attempt can save."""


class Wait:
    """The default handler: each order takes `PROCESSING_SECONDS` of waiting, as a real kitchen would."""

    def __init__(self, kit: Kit) -> None:
        self._seconds = kit.processing_seconds

    async def __call__(self, job: Job) -> None:
        """Waits."""
        await asyncio.sleep(self._seconds)


wait = Wait


async def nothing(job: Job) -> None:
    """Does nothing, for measuring everything else."""


async def _nothing_to_close() -> None:
    """Closes a handler without resources."""


def add_handlers_folder() -> None:
    """Makes the modules of the folder `handlers` in the current folder importable, behind all others.

    Behind, since a handler named like a package of this program would else stand for it. Worker processes have the
    import path of the process that starts them.
    """
    folder = str(Path("handlers").absolute())
    if folder not in sys.path:
        sys.path.append(folder)


class Loaded(NamedTuple):
    """A handler with its optional functions."""

    handle: Handler
    prepare: Prepare | None
    close: Callable[[], Awaitable[None]]


def load_handler(path: str, kit: Kit) -> Loaded:
    """Returns the handler that `module:name` names; `workers.handlers:wait` is the default.

    Raises StartupError when it cannot be imported, made or called.
    """
    module_name, colon, name = path.partition(":")
    hint = "ORDER_HANDLER is module:name of a callable that takes a job, such as workers.handlers:wait"
    if not (module_name and colon and name):
        raise StartupError(f"ORDER_HANDLER={path} does not name a handler", hint=hint)
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise StartupError(f"ORDER_HANDLER={path} cannot be imported: {error}", hint=hint) from error
    if isinstance(found, type):
        try:
            found = found(kit)
        except (TypeError, OSError) as error:
            raise StartupError(
                f"ORDER_HANDLER={path} cannot be made: {error}", hint="a class of handlers is called with a Kit"
            ) from error
    if not callable(found):
        raise StartupError(f"ORDER_HANDLER={path} is not callable", hint=hint)
    return Loaded(
        _as_coroutine_function(found), getattr(found, "prepare", None), getattr(found, "close", _nothing_to_close)
    )


def _as_coroutine_function(found: Any) -> Handler:
    """Returns a handler as a coroutine function."""
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(type(found).__call__):
        handler: Handler = found
        return handler

    async def in_thread(job: Job) -> None:
        await asyncio.to_thread(found, job)

    return in_thread
