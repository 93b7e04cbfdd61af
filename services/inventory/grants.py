"""The format of reservations: one record of `RESERVATIONS` for a block of 256 consecutive orders.

A member such as `3f.1` is a grant, named after its first order `…3f` and the attempt 1. Its value is a bit mask of the
orders that hold stock, and the store of each product; the quantities are those of the orders. A member such as `-40.1`
says that the order `…40` has given back its part of a grant. `fence` rejects grants that are still in flight from an
attempt that is over.
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
"""The maximum length of a grant's store text."""

# Beside 256 short texts, this total of longer ones is well below the maximum size of an item.
_SHORT_BYTES = 600
_LONG_BYTES_TOGETHER = 200_000
_FENCE = "fence"
_PLAIN = ("id", "at", _FENCE)


class HeldStock(NamedTuple):
    """The stock of an order, held since an attempt: `stores` is the text with the store of each product."""

    attempt: int
    stores: str


class GrantedStock(NamedTuple):
    """The stock of an order, and the grant that holds it."""

    held: HeldStock
    grant: str
    text: str


def sent_name(product: str | Item) -> str:
    """Returns the name of a product as the order spells it."""
    return product if isinstance(product, str) else product.name


def name_of(product: str | Item) -> str:
    """Returns the folded name of a product, by which names are compared."""
    return fold_names(sent_name(product))


def sum_quantities(products: Iterable[str | Item]) -> dict[str, int]:
    """Returns the quantity of each product that an order requests, by folded name."""
    found: dict[str, int] = {}
    for product in products:
        name, quantity = name_of(product), 1 if isinstance(product, str) else product.quantity
        found[name] = found.get(name, 0) + quantity
    return found


def sent_names(products: Iterable[str | Item]) -> dict[str, str]:
    """Returns the order's first spelling of each product, by folded name."""
    found: dict[str, str] = {}
    for product in products:
        found.setdefault(name_of(product), sent_name(product))
    return found


def block_of(order_id: str) -> str:
    """Returns the id of the record for an order's block."""
    return order_id[:-2]


def stores_text(stores: Mapping[str, str]) -> str:
    """Formats the store of each product: a line for each store, with the names of its products after tabs."""
    lines: dict[str, str] = {}
    for name, store in stores.items():
        lines[store] = f"{lines.get(store, store)}\t{name}"
    return "\n".join(lines.values())


def read_stores(text: str) -> dict[str, str]:
    """Returns the store of each product in such a text. Older texts have the spelling of the stock."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        store, *names = line.split("\t")
        found.update(dict.fromkeys(map(fold_names, names), store))
    return found


def grant_name(first: str, attempt: int) -> str:
    """Returns the name of a grant's member; `first` is the last two digits of its first order's id."""
    return f"{first}.{attempt}"


def grant_text(mask: int, stores: str) -> str:
    """Returns the value of a grant's member."""
    return f"{mask:x}\n{stores}"


def new_grant(block: str, mask: int, stores: str, now: str) -> Update:
    """Returns the update that grants stock to first attempts, unless the grant exists or a fence rejects it."""
    first = (mask & -mask).bit_length() - 1
    name = grant_name(f"{first:02x}", 1)
    change = {name: grant_text(mask, stores), "at": now}
    return Update(RESERVATIONS.name, {"id": block}, change, when=Condition(absent=[name, _FENCE]))


def read_grants(item: Members) -> dict[str, GrantedStock]:
    """Returns the stock that each order of a record holds, by order id."""
    found: dict[str, GrantedStock] = {}
    for grant, text in item.items():
        if grant in _PLAIN or grant.startswith("-"):
            continue
        attempt = grant[3:]
        digits, _, stores = text.partition("\n")
        held, mask = HeldStock(int(attempt), stores), int(digits, 16)
        while mask:
            bit = mask & -mask
            mask ^= bit
            last = f"{bit.bit_length() - 1:02x}"
            if f"-{last}.{attempt}" not in item:
                found[item["id"] + last] = GrantedStock(held, grant, text)
    return found


def build_release(order_id: str, found: GrantedStock, now: str) -> Update:
    """Returns the update that releases an order's stock, if it holds exactly this."""
    member = f"-{order_id[-2:]}.{found.held.attempt}"
    when = Condition(equal={found.grant: found.text}, absent=[member])
    return Update(RESERVATIONS.name, {"id": block_of(order_id)}, {member: True, "at": now}, when=when)


class ReservationBlock:
    """A record of reservations as it was read, and the stock that its orders are to hold."""

    def __init__(self, block: str, found: StoredItem) -> None:
        self._id = block
        self._version = found.version
        self._item: Members = {} if found.item is None else found.item
        self.held = {} if found.item is None else {order: one.held for order, one in read_grants(found.item).items()}
        """The stock of each order, by order id."""

    def has_room(self, stores: str) -> bool:
        """Whether the record has room for one more grant with this store text."""
        size = len(stores.encode())
        if size <= _SHORT_BYTES:
            return True
        others = (len(held.stores.encode()) for held in set(self.held.values()))
        return size + sum(other for other in others if other > _SHORT_BYTES) <= _LONG_BYTES_TOGETHER

    def build_update(self, now: str) -> Update:
        """Returns the update that stores `held`, if the record is unchanged.

        Sets the fence against late first attempts.
        """
        masks: dict[HeldStock, int] = {}
        firsts: dict[HeldStock, str] = {}
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
