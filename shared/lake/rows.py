"""Makes rows of the lake, as JSON, from records and their changes.

Other programs write records, too. A record that is none of the table's is left out, so it does not hold up the others.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, NamedTuple

import msgspec

from shared.domain.books import read_book
from shared.domain.errors import InvalidParams
from shared.domain.ids import OrderRange, id_prefix
from shared.domain.purchases import Purchase, PurchasedItem, read_purchase
from shared.domain.scores import is_record
from shared.domain.states import TRANSITIONS, State, Transition
from shared.domain.stock import Cause, count_of
from shared.lake.tables import FORGOTTEN, PURCHASES, SCHEMA_VERSION, SCORES, STOCK_MOVEMENTS

Item = Mapping[str, Any]

INSERT: Final = "INSERT"
MODIFY: Final = "MODIFY"
REMOVE: Final = "REMOVE"

_MAX_MONEY: Final = 10**15
_MAX_WHOLE: Final = 2**63 - 1
_CENT: Final = Decimal("0.01")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2200

_encode = msgspec.json.Encoder(decimal_format="number").encode
# In one transaction of a worker, results come before the orders that it starts next.
_RANKS: Final = {
    step: rank for rank, step in enumerate(sorted(TRANSITIONS, key=lambda one: one.target is State.RUNNING))
}


class EventRow(NamedTuple):
    """A line of an event file."""

    tenant: str
    folder: str
    day: str
    line: bytes


class ItemChange(NamedTuple):
    """A change of a record: the item before and after it with its version, or None."""

    tenant: str
    at: str
    old: tuple[Item, int] | None
    new: tuple[Item, int] | None

    @property
    def event(self) -> str:
        """The name of the change."""
        return REMOVE if self.new is None else INSERT if self.old is None else MODIFY


def make_purchase_row(change: ItemChange, forgotten: Collection[str]) -> EventRow:
    """Returns the row of a changed purchase. Raises InvalidParams for a record that is none."""
    item, version = _newest(change)
    purchase = read_purchase(item)
    created = _read_time(purchase.created_at)
    row = {
        "purchase_id": purchase.purchase,
        "user_id": FORGOTTEN if purchase.user in forgotten else purchase.user,
        "status": purchase.status,
        "payment_method": purchase.payment_method,
        "total_amount": _money(purchase.total, purchase),
        "tax": _money(purchase.tax, purchase),
        "currency": purchase.currency,
        "created_at": _format_time(created),
        "updated_at": _format_time(_read_time(purchase.updated_at)),
        "order_id": purchase.order,
        "reason": purchase.reason,
        # A removal comes after the last version.
        "version": _whole(version + (change.new is None)),
        "schema": SCHEMA_VERSION,
        "items": [_line(line, purchase) for line in purchase.items],
        "event": change.event,
    }
    return _event_row(change.tenant, PURCHASES.events, created, row)


def make_stock_row(change: ItemChange) -> EventRow | None:
    """Returns the row of a changed count of stock; None if the count is as before. Raises InvalidParams."""
    old, new = (None if one is None else one[0] for one in (change.old, change.new))
    before, after = count_of(old), count_of(new)
    if before == after:
        return None
    item, version = _newest(change)
    cause, reference = Cause.REMOVAL.value, None
    if new is not None:
        # A client that changes the count itself keeps the cause of the change before.
        is_explained = new.get("changed") is not None and (old is None or old.get("changed") != new.get("changed"))
        cause = str(new.get("cause", Cause.EDIT.value)) if is_explained else Cause.EDIT.value
        reference = new.get("reference") if is_explained else None
    at = _read_time(change.at)
    row = {
        "store": str(item["store"]),
        "item": str(item["item"]),
        "at": _format_time(at),
        "version": _whole(version),
        "change": _whole((after or 0) - (before or 0)),
        "count": _whole(after or 0),
        "cause": cause,
        "reference": None if reference is None else str(reference),
        "schema": SCHEMA_VERSION,
        "event": INSERT,
    }
    return _event_row(change.tenant, STOCK_MOVEMENTS.events, at, row)


def make_score_row(change: ItemChange, forgotten: Collection[str]) -> EventRow | None:
    """Returns the row of a saved score; None for a removal. Raises InvalidParams for a record that is none."""
    if change.new is None:
        return None
    item, version = change.new
    best, games = item.get("puntaje_maximo"), item.get("partidas", 0)
    before = None if change.old is None else change.old[0].get("puntaje_maximo")
    if not (_is_whole(best) and _is_whole(games) and (before is None or _is_whole(before))):
        raise InvalidParams("the record is not a score")
    assert isinstance(best, int)
    user = str(item.get("user_id"))
    at = _read_time(change.at)
    row = {
        "user_id": FORGOTTEN if user in forgotten else user,
        "at": _format_time(at),
        "version": _whole(version),
        "best_score": _whole(best),
        "games": _whole(games),
        "is_record": is_record(best, before),
        "schema": SCHEMA_VERSION,
        "event": INSERT,
    }
    return _event_row(change.tenant, SCORES.events, at, row)


def make_book_row(item: Item, version: int, currency: str, exponent: int) -> dict[str, Any]:
    """Returns the members of a row of `books`. Raises InvalidParams for a record that is no book."""
    book = read_book(item)
    created = _read_time(book.created_at) if book.created_at else None
    return {
        "book_id": book.book,
        "isbn": book.isbn,
        "title": book.title,
        "author": book.author,
        "editorial": book.editorial,
        "category": book.category,
        "subcategory": book.subcategory,
        "price": None if book.price is None else _scale(book.price, exponent),
        "currency": currency,
        "publication_year": book.publication_year,
        "language": book.language,
        "rating": float(book.rating),
        "ratings": _whole(book.ratings),
        "created_at": None if created is None else created.replace(tzinfo=None),
        "version": _whole(version),
        "schema": SCHEMA_VERSION,
    }


def iterate_step_rows(
    transition: Transition, at: int, ranges: Collection[OrderRange], customers: Collection[str], detail: str | None
) -> Iterator[tuple[str, bytes]]:
    """Yields the day and the line of each order of a change of state; `at` is in microseconds.

    Its lines are put together from encoded parts: encoding each as a whole takes three times as long.
    """
    tail = _encode(
        {
            "event": transition.event,
            "state": transition.target.value,
            "at": _format_time(_EPOCH + timedelta(microseconds=at)),
            "detail": detail,
            "rank": _RANKS[transition],
            "schema": SCHEMA_VERSION,
        }
    )
    end = b"," + tail[1:] + b"\n"
    names = iter(customers)
    for one in ranges:
        day = (_EPOCH + timedelta(microseconds=one.received)).strftime("%Y-%m-%d")
        start = b'{"order_id":"' + id_prefix(one.received, one.node).encode()
        for sequence, name in zip(one.sequences, names, strict=False):
            yield day, start + b'%012x","customer":' % sequence + _encode(name) + end


def _newest(change: ItemChange) -> tuple[Item, int]:
    found = change.new or change.old
    assert found is not None
    return found


def _event_row(tenant: str, folder: str | None, day: datetime, row: dict[str, Any]) -> EventRow:
    assert folder is not None
    return EventRow(tenant, folder, day.strftime("%Y-%m-%d"), _encode(row) + b"\n")


def _line(line: PurchasedItem, purchase: Purchase) -> dict[str, Any]:
    return {
        "book_id": line.book_id,
        "title": line.title,
        "author": line.author,
        "category": line.category,
        "quantity": _whole(line.quantity),
        "unit_price": _money(line.unit_price, purchase),
        "subtotal": _money(line.subtotal, purchase),
        "tax": _money(line.tax, purchase),
    }


def _money(amount: int, purchase: Purchase) -> Decimal:
    return _scale(amount, purchase.exponent)


def _scale(amount: int, exponent: int) -> Decimal:
    """Returns an amount of minor units as a number with two decimals at most."""
    if not (abs(amount) < _MAX_MONEY and 0 <= exponent <= 4):
        raise InvalidParams("the record has an amount that is too large")
    value = Decimal(amount).scaleb(-exponent)
    return value.quantize(_CENT, ROUND_HALF_UP) if exponent > 2 else value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(number: int) -> int:
    if not -_MAX_WHOLE <= number <= _MAX_WHOLE:
        raise InvalidParams("the record has a number that is too large")
    return number


def _read_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        moment = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        raise InvalidParams("the record has an invalid time") from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise InvalidParams("the record has an invalid time")
    return moment


def _format_time(moment: datetime) -> str:
    """Returns a time as Hive, Trino and DuckDB read it; it is in UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
