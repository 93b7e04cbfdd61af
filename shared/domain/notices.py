"""Notices to users: a book of the wishlist is cheaper or in stock again, or a purchase has ended.

A notice is derived from one change of a record, and of a wish for the book; its id is made from the change. So a
change that is read twice, as after a kill, makes the same notice.
"""

import datetime
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from shared.domain.books import MAIN_STORE
from shared.domain.errors import InvalidParams
from shared.domain.names import fold_names
from shared.domain.purchases import read_purchase
from shared.domain.stock import count_of
from shared.domain.tables import BOOKS, STOCK

MAX_NOTICES: Final = 100
"""The number of notices that a user has; the oldest make room for new ones."""
NOTICE_DAYS: Final = 30
"""The time after which a notice expires."""

OfferKind = Literal["cheaper", "back_in_stock"]
NoticeKind = Literal["cheaper", "back_in_stock", "purchase_completed", "purchase_cancelled"]

_STORE: Final = fold_names(MAIN_STORE)


class Offer(NamedTuple):
    """A change that matters to the users who wish for a book. Only `cheaper` has prices, in minor units."""

    kind: OfferKind
    book: str
    at: str
    """The time of the change, ISO 8601."""
    price: int | None = None
    price_before: int | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """A stored notice, in the table `Notices`."""

    user: str
    notice: str
    """Its id: the time of the change, the book or the purchase, and the kind."""
    kind: NoticeKind
    book: str
    """The book, and of a purchase its first one."""
    title: str
    at: str
    price: int | None = None
    price_before: int | None = None
    purchase: str | None = None
    reason: str | None = None
    """The reason of a cancelled purchase."""
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
    return Notice(
        user=wish["user"],
        notice=f"{offer.at}-{offer.book}-{offer.kind}",
        kind=offer.kind,
        book=offer.book,
        title=title,
        at=offer.at,
        price=offer.price,
        price_before=offer.price_before,
        expires=_expiry(offer.at),
    )


def make_purchase_notice(at: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Notice | None:
    """Returns the notice of a change by which a purchase has ended; None for other changes.

    Customers who cancel a purchase themselves know it already.
    """
    if old is None or new is None or new.get("status") == old.get("status"):
        return None
    try:
        purchase = read_purchase(new)
    except InvalidParams:
        return None
    if purchase.status == "pending" or purchase.reason == "customer" or not purchase.items:
        return None
    kind: NoticeKind = "purchase_completed" if purchase.status == "completed" else "purchase_cancelled"
    first = purchase.items[0]
    return Notice(
        user=purchase.user,
        notice=f"{at}-{purchase.purchase}-{kind}",
        kind=kind,
        book=first.book_id,
        title=first.title,
        at=at,
        purchase=purchase.purchase,
        reason=purchase.reason,
        expires=_expiry(at),
    )


def _expiry(at: str) -> int:
    made = datetime.datetime.fromisoformat(at)
    return int((made + datetime.timedelta(days=NOTICE_DAYS)).timestamp())


def _count(item: Mapping[str, Any] | None) -> int:
    return count_of(item) or 0
