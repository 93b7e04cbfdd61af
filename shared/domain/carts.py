"""Carts of a shop: their lines, as they are stored in one item, and their limits.

A cart is one item with a member for each line, so that simultaneous changes of different books do not meet, and its
version stands for everything that the customer has seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

MAX_LINES: Final = 48
"""Lines of a cart: its checkout is one transaction of 2n + 3 actions, and a transaction has at most 100."""
MAX_QUANTITY: Final = 999
GUEST_SECONDS: Final = 30 * 86_400
"""Time until the cart of a guest expires, from its last change."""

Quantity = Annotated[int, Meta(ge=1, le=MAX_QUANTITY, description="Copies of a book")]

_PREFIX: Final = "l:"
_GUEST: Final = "guest:"


class CartLine(Struct, frozen=True, omit_defaults=True, rename={"quantity": "q", "price_when_added": "p"}):
    """A line of a cart. Prices are in minor units; that of a line decides nothing, it tells what has changed since."""

    quantity: int
    added_at: str
    updated_at: str
    price_when_added: int | None = None


class Cart(NamedTuple):
    """A cart; `version` is 0 if nothing is stored."""

    owner: str
    version: int
    lines: Mapping[str, CartLine]
    """Lines by the ids of their books, oldest first."""


class MergedCart(NamedTuple):
    """The lines of two carts together, and the books of the other cart that found no room."""

    lines: Mapping[str, CartLine]
    left_out: Sequence[str]


def guest_owner(digest: str) -> str:
    """Returns the key of a guest's cart, by the digest of its token."""
    return _GUEST + digest


def line_member(book: str) -> str:
    """Returns the name of the member that has the line of a book."""
    return _PREFIX + book


def read_cart(owner: str, item: Mapping[str, Any] | None, version: int) -> Cart:
    """Returns a stored cart, and an empty one for none."""
    lines = {
        name.removeprefix(_PREFIX): msgspec.convert(value, CartLine)
        for name, value in (item or {}).items()
        if name.startswith(_PREFIX)
    }
    return Cart(owner, version, dict(sorted(lines.items(), key=lambda one: (one[1].added_at, one[0]))))


def line_members(lines: Iterable[tuple[str, CartLine]]) -> dict[str, Any]:
    """Returns the members of a cart that have these lines."""
    return {line_member(book): msgspec.to_builtins(line) for book, line in lines}


def merge_carts(cart: Cart, other: Cart, now: str) -> MergedCart:
    """Returns the lines of a cart with those of another one: quantities of the same book add up, to the limit."""
    lines, left_out = dict(cart.lines), []
    for book, line in other.lines.items():
        own = lines.get(book)
        if own is not None:
            quantity = min(own.quantity + line.quantity, MAX_QUANTITY)
            lines[book] = msgspec.structs.replace(own, quantity=quantity, updated_at=now)
        elif len(lines) < MAX_LINES:
            lines[book] = line
        else:
            left_out.append(book)
    return MergedCart(lines, left_out)
