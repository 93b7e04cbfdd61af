"""Notices to users about books of their wishlists: one is cheaper now, or there are copies again.

A notice is derived from one change of a record and one wish, and its id from the change. So a change that is read
twice, as after a kill, makes the same notice.
"""

import datetime
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from shared.domain.books import MAIN_STORE
from shared.domain.names import fold_names
from shared.domain.stock import count_of
from shared.domain.tables import BOOKS, STOCK

MAX_NOTICES: Final = 100
"""The number of notices that a user has; the oldest make room for new ones."""
NOTICE_DAYS: Final = 30
"""The time after which a notice expires."""

NoticeKind = Literal["cheaper", "back_in_stock"]

_STORE: Final = fold_names(MAIN_STORE)


class Offer(NamedTuple):
    """What a change means to those who wish for a book. Prices are in minor units, and only of `cheaper`."""

    kind: NoticeKind
    book: str
    at: str
    """The time of the change, ISO 8601."""
    price: int | None = None
    price_before: int | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """A stored notice, in the table `Notices`."""

    user: str
    notice: str
    """Its id: the time of the change, the book, and the kind."""
    kind: NoticeKind
    book: str
    title: str
    at: str
    price: int | None = None
    price_before: int | None = None
    expires: int = 0
    """Unix seconds."""


def find_offer(table: str, at: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Offer | None:
    """Returns the offer in a change of an item of a table; None if there is none.

    >>> find_offer("Books", "2026-11-27T10:00:00Z", {"book": "b", "price": 900}, {"book": "b", "price": 800})
    Offer(kind='cheaper', book='b', at='2026-11-27T10:00:00Z', price=800, price_before=900)
    """
    if new is None:
        return None
    if table == BOOKS.name and old is not None:
        before, price = old.get("price"), new.get("price")
        if isinstance(before, int) and isinstance(price, int) and 0 < price < before and new.get("active", True):
            return Offer("cheaper", str(new["book"]), at, price, before)
    elif table == STOCK.name and fold_names(str(new["store"])) == _STORE and _count(new) > 0 >= _count(old):
        return Offer("back_in_stock", str(new["item"]), at)
    return None


def make_notice(offer: Offer, wish: Mapping[str, Any], title: str) -> Notice | None:
    """Returns the notice for a user; None if the offer is older than the wish, or no cheaper than the book was then."""
    first = wish.get("price_when_added")
    if wish["added_at"] > offer.at or (first is not None and offer.price is not None and offer.price >= first):
        return None
    made = datetime.datetime.fromisoformat(offer.at)
    return Notice(
        user=wish["user"],
        notice=f"{offer.at}-{offer.book}-{offer.kind}",
        kind=offer.kind,
        book=offer.book,
        title=title,
        at=offer.at,
        price=offer.price,
        price_before=offer.price_before,
        expires=int((made + datetime.timedelta(days=NOTICE_DAYS)).timestamp()),
    )


def _count(item: Mapping[str, Any] | None) -> int:
    return count_of(item) or 0
