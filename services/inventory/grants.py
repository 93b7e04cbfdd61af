"""What orders hold of the stock, as a record of `RESERVATIONS` has it: one record for 256 neighbouring orders.

A member such as `3f.1` is a grant: which of the orders hold something as of their first attempt, as a mask of bits, and
which product comes from which store. It is named after the first of them. How many they hold stands in the orders
themselves. `-40.1` says that the order `…40` has given back what it had by such a grant. `fence` keeps out grants that
are still on their way from an attempt that is over.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from clients.persistence import StoredItem
from clients.replies import Members
from shared.domain.names import fold_names
from shared.domain.orders import Item
from shared.domain.records import Condition, Update
from shared.domain.tables import RESERVATIONS

MAX_STORES_BYTES = 6000
"""How long the text of a grant's stores may be."""

# With 256 short ones, so much of longer ones is well within the largest item.
_SHORT_BYTES = 600
_LONG_BYTES_TOGETHER = 200_000
_FENCE = "fence"
_PLAIN = ("id", "at", _FENCE)


class Held(NamedTuple):
    """What an order holds, as of this attempt: `stores` says which product is from which store."""

    attempt: int
    stores: str


class Granted(NamedTuple):
    """What an order holds, and the grant that says so."""

    held: Held
    grant: str
    text: str


def sent_name(product: str | Item) -> str:
    """Returns the name of a product as the order has it."""
    return product if isinstance(product, str) else product.name


def name_of(product: str | Item) -> str:
    """Returns the name of a product in the form in which names are compared."""
    return fold_names(sent_name(product))


def quantities(products: Iterable[str | Item]) -> dict[str, int]:
    """Returns how many of each product an order asks for."""
    found: dict[str, int] = {}
    for product in products:
        name, quantity = name_of(product), 1 if isinstance(product, str) else product.quantity
        found[name] = found.get(name, 0) + quantity
    return found


def sent_names(products: Iterable[str | Item]) -> dict[str, str]:
    """Returns the name of each product as the order has it first."""
    found: dict[str, str] = {}
    for product in products:
        found.setdefault(name_of(product), sent_name(product))
    return found


def block_of(order_id: str) -> str:
    """The id of the record that an order shares with its neighbours."""
    return order_id[:-2]


def stores_text(stores: Mapping[str, str]) -> str:
    """Text for which product is from which store: a line for each store, with its name and those of the products."""
    lines: dict[str, str] = {}
    for name, store in stores.items():
        lines[store] = f"{lines.get(store, store)}\t{name}"
    return "\n".join(lines.values())


def read_stores(text: str) -> dict[str, str]:
    """The store of each product that such a text names; older ones name products as they were stocked."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        store, *names = line.split("\t")
        found.update(dict.fromkeys(map(fold_names, names), store))
    return found


def grant_name(first: str, attempt: int) -> str:
    """The member of a grant; `first` are the last two digits of the first order's id."""
    return f"{first}.{attempt}"


def grant_text(mask: int, stores: str) -> str:
    """What a grant says."""
    return f"{mask:x}\n{stores}"


def new_grant(block: str, mask: int, stores: str, now: str) -> Update:
    """Makes a grant to orders in their first attempt, unless it is there, or may not come any more."""
    first = (mask & -mask).bit_length() - 1
    name = grant_name(f"{first:02x}", 1)
    change = {name: grant_text(mask, stores), "at": now}
    return Update(RESERVATIONS.name, {"id": block}, change, when=Condition(absent=[name, _FENCE]))


def granted(item: Members) -> dict[str, Granted]:
    """What orders hold by a record, by their ids."""
    found: dict[str, Granted] = {}
    for grant, text in item.items():
        if grant in _PLAIN or grant.startswith("-"):
            continue
        attempt = grant[3:]
        digits, _, stores = text.partition("\n")
        held, mask = Held(int(attempt), stores), int(digits, 16)
        while mask:
            bit = mask & -mask
            mask ^= bit
            last = f"{bit.bit_length() - 1:02x}"
            if f"-{last}.{attempt}" not in item:
                found[item["id"] + last] = Granted(held, grant, text)
    return found


def given_back(order_id: str, found: Granted, now: str) -> Update:
    """Ends what an order holds, if it holds just that."""
    member = f"-{order_id[-2:]}.{found.held.attempt}"
    when = Condition(equal={found.grant: found.text}, absent=[member])
    return Update(RESERVATIONS.name, {"id": block_of(order_id)}, {member: True, "at": now}, when=when)


class Block:
    """A record as it was read, and what its orders are to hold."""

    def __init__(self, block: str, found: StoredItem) -> None:
        self._id = block
        self._version = found.version
        self._item: Members = {} if found.item is None else found.item
        self.held = {} if found.item is None else {order: one.held for order, one in granted(found.item).items()}
        """By the ids of the orders."""

    def has_room(self, stores: str) -> bool:
        """Whether one more grant of such a text fits into the record."""
        size = len(stores.encode())
        if size <= _SHORT_BYTES:
            return True
        others = (len(held.stores.encode()) for held in set(self.held.values()))
        return size + sum(other for other in others if other > _SHORT_BYTES) <= _LONG_BYTES_TOGETHER

    def update(self, now: str) -> Update:
        """Makes the record say so, if it is as it was read; no grant of a first attempt comes after that unseen."""
        masks: dict[Held, int] = {}
        firsts: dict[Held, str] = {}
        for order_id, held in sorted(self.held.items()):
            firsts.setdefault(held, order_id[-2:])
            masks[held] = masks.get(held, 0) | 1 << int(order_id[-2:], 16)
        members: Members = {_FENCE: True}
        for held, mask in masks.items():
            members[grant_name(firsts[held], held.attempt)] = grant_text(mask, held.stores)
        change = {name: value for name, value in members.items() if self._item.get(name) != value}
        return Update(
            RESERVATIONS.name,
            {"id": self._id},
            {**change, "at": now},
            remove=[name for name in self._item if name not in members and name not in _PLAIN],
            when=Condition(version=self._version),
        )
