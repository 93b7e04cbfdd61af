"""What orders have taken of the stock: as a whole or not at all, once for each order, and never more than there is.

Up to 64 neighbouring orders share an item of `RESERVATIONS`; each has a member of its own while it holds something.
The transaction that takes stock also makes the members, on the condition that they are not there: however often it is
tried, by whom, and whatever answer was lost, it takes effect once. A member names the attempt that it was last
confirmed for, so that what an earlier attempt held is not given back once a later one counts on it.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from clients.errors import ClientError, Refused
from clients.inventory.catalogue import catalogue_changed
from clients.persistence import PersistenceClient, StoredItem
from clients.replies import Members
from services.inventory.patience import Patience
from services.inventory.stocked import Stocked
from shared.domain.orders import iso_time
from shared.domain.records import MAX_ACTIONS, Action, Condition, Update
from shared.domain.stock import Cause
from shared.domain.tables import RESERVATIONS, STOCK
from workers.handlers import Job, Reject

MAX_LINES = MAX_ACTIONS - 5
"""How many stocked products an order may have: all that it changes is one transaction."""
MAX_MEMBER_BYTES = 6000
"""How long their names may be together: 64 such members are well within the largest item."""

_KEYS = 1000
_OF_64 = dict(zip("0123456789abcdef", "000044448888cccc", strict=True))


class Line(NamedTuple):
    """So many of an item, from one store."""

    store: str
    item: str
    quantity: int


class Held(NamedTuple):
    """What an order holds, as of this attempt."""

    attempt: int
    lines: Sequence[Line]


def held_text(attempt: int, lines: Iterable[Line]) -> str:
    """The member that says so."""
    text = str(attempt)
    for store, item, quantity in lines:
        text += f"\n{quantity}\t{store}\t{item}"
    return text


def read_held(text: str) -> Held:
    """What a member says."""
    attempt, *lines = text.split("\n")
    split = (line.split("\t", 2) for line in lines)
    return Held(int(attempt), [Line(store, item, int(quantity)) for quantity, store, item in split])


def place_of(order_id: str) -> tuple[str, str]:
    """The item that an order shares with its neighbours, and its own member of that."""
    return order_id[:-2] + _OF_64[order_id[-2]], order_id[-2:]


def holders(item: Members) -> dict[str, str]:
    """The members of an item of `RESERVATIONS` by the ids of their orders."""
    stem = item["id"][:-1]
    return {stem + name: text for name, text in item.items() if name not in ("id", "at")}


class Wanted(Struct):
    """An order with stocked products: how many of each, by name."""

    job: Job
    quantities: dict[str, int]
    checked: bool = False
    """Whether its member and the counts have been read since the order came."""
    held: str | None = None
    """The member that an earlier attempt has left."""
    settled: bool = False
    """Whether it has all that it needs."""


def wanted(jobs: Sequence[Job], stores: Mapping[str, Mapping[str, int]]) -> list[Wanted]:
    """The orders that have stocked products."""
    found: list[Wanted] = []
    for job in jobs:
        quantities: dict[str, int] | None = None
        for item in job.order.items:
            name = item if isinstance(item, str) else item.name
            if stores.get(name):
                if quantities is None:
                    quantities = {}
                    found.append(Wanted(job, quantities))
                quantities[name] = quantities.get(name, 0) + (1 if isinstance(item, str) else item.quantity)
    return found


class Part(NamedTuple):
    """The first `orders` of some orders, and what is to be done for them."""

    orders: int
    actions: list[Action]
    taken: Sequence[tuple[str, str]]
    """Stores and items that the first of the actions are about."""
    refused: dict[str, Reject]
    unclear: list[Wanted]
    """Orders that have to be checked before they are refused."""


class _Taken(Struct):
    """What a transaction takes of one item of one store."""

    first: str
    """The id of the first order that it is for."""
    orders: int
    quantity: int


class _Planning:
    """A transaction in the making."""

    def __init__(self, stores: Mapping[str, Mapping[str, int]]) -> None:
        self._stores = stores
        self._taken: dict[tuple[str, str], _Taken] = {}
        self._conditions: dict[str, Condition] = {}
        self._members: dict[str, Members] = {}

    def left(self, store: str, name: str) -> int:
        """How many of an item a store has left."""
        taken = self._taken.get((store, name))
        return self._stores[name][store] - (0 if taken is None else taken.quantity)

    def find(self, quantities: Mapping[str, int]) -> list[Line] | str:
        """Each product from the first store that has enough, or the name of one that none has."""
        lines: list[Line] = []
        taken = self._taken.get
        for name, quantity in quantities.items():
            for store, count in self._stores[name].items():
                share = taken((store, name))
                if count - (0 if share is None else share.quantity) >= quantity:
                    lines.append(Line(store, name, quantity))
                    break
            else:
                return name
        return lines

    def add(self, order: Wanted, lines: Sequence[Line], text: str) -> bool:
        """Adds an order with what it holds then, unless that does not fit in any more."""
        order_id = order.job.id
        place, member = place_of(order_id)
        shares = [self._taken.get((store, name)) for store, name, _ in lines]
        more = shares.count(None) + (place not in self._members)
        if len(self._taken) + len(self._members) + more > MAX_ACTIONS:
            return False
        for (store, name, quantity), share in zip(lines, shares, strict=True):
            if share is None:
                self._taken[store, name] = _Taken(order_id, 1, quantity)
            else:
                share.orders += 1
                share.quantity += quantity
        if place not in self._members:
            self._members[place] = {}
            self._conditions[place] = Condition(absent=[], equal={})
        self._members[place][member] = text
        if order.held is None:
            self._conditions[place].absent.append(member)
        else:
            self._conditions[place].equal[member] = order.held
        return True

    def part(self, orders: int, refused: dict[str, Reject], unclear: list[Wanted]) -> Part:
        """What has come of it."""
        now = _now()
        actions: list[Action] = []
        for (store, name), taken in self._taken.items():
            change = {"cause": Cause.ORDER.value, "reference": taken.first, "orders": taken.orders, "changed": now}
            enough = Condition(at_least={"count": taken.quantity})
            key = {"store": store, "item": name}
            actions.append(Update(STOCK.name, key, change, add={"count": -taken.quantity}, when=enough))
        for place, members in self._members.items():
            change = {**members, "at": now}
            actions.append(Update(RESERVATIONS.name, {"id": place}, change, when=self._conditions[place]))
        return Part(orders, actions, list(self._taken), refused, unclear)


def plan(orders: Sequence[Wanted], stores: Mapping[str, Mapping[str, int]]) -> Part:
    """As many of the orders as one transaction can hold, in their order, with the counts that are given."""
    planning = _Planning(stores)
    refused: dict[str, Reject] = {}
    unclear: list[Wanted] = []
    for number, order in enumerate(orders):
        job = order.job
        lines: list[Line] = []
        if order.held is None:
            found = planning.find(order.quantities)
            if isinstance(found, str):
                if order.checked:
                    left = max(planning.left(store, found) for store in stores[found])
                    asked = order.quantities[found]
                    refused[job.id] = Reject(f"out of stock: {found}: {asked} asked for, {left} left")
                else:
                    unclear.append(order)
                continue
            lines = found
            text = held_text(job.attempt, lines)
            if len(lines) > MAX_LINES or len(text) * 4 > MAX_MEMBER_BYTES < len(text.encode()):
                refused[job.id] = Reject(
                    f"too many stocked products for one order: {len(lines)}; there may be {MAX_LINES}, "
                    f"and {MAX_MEMBER_BYTES} bytes of names: order them in parts"
                )
                continue
        else:
            text = held_text(job.attempt, read_held(order.held).lines)
        if not planning.add(order, lines, text):
            return planning.part(number, refused, unclear)
    return planning.part(len(orders), refused, unclear)


class Reserver:
    """Reserves and releases over `client`, for as long as it takes where the persistence server is away.

    One call of `reserve` at a time.
    """

    def __init__(self, client: PersistenceClient) -> None:
        self._client = client
        self._stocked = Stocked(client)
        self._patience = Patience("reservations")

    async def reserve(self, jobs: Sequence[Job]) -> dict[str, Exception]:
        """Reserves what orders need of what is stocked: which of them cannot have it, by their ids, and why.

        Raises Refused for what the persistence server holds against it.
        """
        refused: dict[str, Exception] = {}
        orders = await self._wanted(jobs)
        unclear = [order for order in orders if order.job.attempt > 1]
        while orders:
            if unclear:
                await self._check(unclear)
                orders = [order for order in orders if not order.settled]
            part = plan(orders, self._stocked.stores)
            unclear = part.unclear
            if unclear:
                continue
            if part.actions and not await self._write(part, orders):
                orders = unclear = await self._wanted([order.job for order in orders])
                continue
            refused.update(part.refused)
            orders = orders[part.orders :]
        return refused

    async def _wanted(self, jobs: Sequence[Job]) -> list[Wanted]:
        await self._patience.ask(self._stocked.look)
        if not self._stocked.whole:
            names = {item if isinstance(item, str) else item.name for job in jobs for item in job.order.items}
            await self._patience.ask(lambda: self._stocked.learn(names))
        return wanted(jobs, self._stocked.stores)

    async def _check(self, orders: Sequence[Wanted]) -> None:
        """Reads the counts, and what the orders hold already."""
        names = {name for order in orders for name in order.quantities}
        await self._patience.ask(lambda: self._stocked.count(names))
        held = await self.held([order.job.id for order in orders])
        for order in orders:
            order.checked = True
            order.held = held.get(order.job.id)
            order.settled = order.held is not None and read_held(order.held).attempt >= order.job.attempt

    async def held(self, order_ids: Sequence[str]) -> dict[str, str]:
        """The members of those of the orders that hold something."""
        places = list({place_of(order_id)[0] for order_id in order_ids})
        found: dict[str, str] = {}
        for start in range(0, len(places), _KEYS):
            keys = [{"id": place} for place in places[start : start + _KEYS]]
            for one in await self._patience.ask(partial(self._client.get_items, RESERVATIONS.name, keys)):
                if one.item is not None:
                    found.update(holders(one.item))
        return {order_id: found[order_id] for order_id in order_ids if order_id in found}

    async def _write(self, part: Part, orders: Sequence[Wanted]) -> bool:
        """Whether all of it has taken effect; if not, it may have all the same."""
        try:
            items = await self._transact(part.actions)
        except Refused:
            if all(order.checked for order in orders[: part.orders]):
                raise
            # What has become of the stock cannot be taken from; it is seen when it is read.
            return False
        if items is None:
            return False
        for (store, name), one in zip(part.taken, items, strict=False):
            assert one.item is not None
            self._stocked.stores[name][store] = one.item["count"]
        return True

    async def release(self, order_id: str, attempt: int | None = None) -> bool:
        """Gives back what an order holds, unless it is for a later attempt than this; whether there was anything.

        Raises Refused for what the persistence server holds against it.
        """
        place, member = place_of(order_id)
        while True:
            text = (await self.held([order_id])).get(order_id)
            if text is None:
                return False
            held = read_held(text)
            if attempt is not None and held.attempt > attempt:
                return False
            keys = [{"store": line.store, "item": line.item} for line in held.lines]
            stock = await self._patience.ask(partial(self._client.get_items, STOCK.name, keys))
            members = {"cause": Cause.RELEASE.value, "reference": order_id, "changed": _now()}
            actions: list[Action] = []
            for key, line, one in zip(keys, held.lines, stock, strict=True):
                there = Condition(exists=one.item is not None)
                actions.append(Update(STOCK.name, key, members, add={"count": line.quantity}, when=there))
            actions.append(
                Update(RESERVATIONS.name, {"id": place}, remove=[member], when=Condition(equal={member: text}))
            )
            if any(one.item is None for one in stock):
                actions.append(catalogue_changed())
            if await self._transact(actions) is not None:
                return True

    async def _transact(self, actions: Sequence[Action]) -> Sequence[StoredItem] | None:
        """What the actions have left; None where they have not taken effect, or where that is not known."""
        try:
            items = await self._client.transact(actions, safe=True)
        except ClientError as error:
            if not isinstance(error, Refused) or error.error != "conflict":
                await self._patience.wait(error)
            return None
        self._patience.answered()
        return items


def _now() -> str:
    return iso_time(time.time_ns() // 1000)
