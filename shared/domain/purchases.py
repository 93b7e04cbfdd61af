"""Purchases of a shop: what is stored of them, and how their lines are priced.

Amounts are whole numbers of the currency's minor unit. Tax is computed by line and rounded half up; totals are sums of
the lines, so that what is shown adds up.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from shared.domain.books import MAIN_STORE, Book, clean_text
from shared.domain.errors import ErrorReason, InvalidParams
from shared.domain.taxes import find_tax_rate, tax_line
from shared.domain.tenants import TenantRecord

PurchaseStatus = Literal["pending", "completed", "cancelled"]

CancelReason = Literal["customer", "payment_declined", "order_failed", "expired"]
"""The reason of a cancellation: the customer, the payment, an order that failed or was cancelled, or time."""

PAID_ON_DELIVERY: Final = frozenset({"cash_on_delivery", "bank_transfer"})
"""Methods of payment of which the payment comes later: such purchases do not expire."""

SHARDS: Final = 16

PaymentMethod = Annotated[
    str, Meta(min_length=1, max_length=50, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*\Z", description="For example card")
]
_MAX_NAME: Final = 50
_MAX_TEXT: Final = 300
ShippingAddress = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=_MAX_NAME)],
        Annotated[str, Meta(max_length=_MAX_TEXT)] | int | None,
    ],
    Meta(min_length=1, max_length=20),
]
IdempotencyKey = Annotated[
    str,
    Meta(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+\Z", description="Your own, for one purchase"),
]

_ORDER_PREFIX: Final = "purchase/"


class PurchasedItem(Struct, frozen=True):
    """A line of a purchase, with everything of the book that a receipt needs, as it was then."""

    book_id: str
    title: str
    author: str
    category: str
    quantity: int
    unit_price: int
    subtotal: int
    """The price of the line with its tax."""
    tax: int
    tax_rate: str
    """In percent."""
    store: str = MAIN_STORE


class Amounts(NamedTuple):
    """Amounts of all lines: `total` is `net` and `tax`."""

    total: int
    net: int
    tax: int


class Purchase(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A purchase, as it is stored in the table `Purchases` beside the members of its indexes."""

    user: str
    purchase: str
    status: PurchaseStatus
    total: int
    net: int
    tax: int
    currency: str
    exponent: int
    payment_method: str
    shipping_address: dict[str, Any]
    items: list[PurchasedItem]
    created_at: str
    updated_at: str
    order: str | None = None
    """The id of the order by which it is fulfilled, once the intake has it."""
    ordered_at: str | None = None
    reason: str | None = None
    """The reason of its cancellation."""


class OrderedPurchase(NamedTuple):
    """The purchase that an order fulfils."""

    tenant: str
    user: str
    purchase: str


def clean_address(address: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a shipping address with texts in NFC and trimmed, as it can be printed on a parcel.

    Raises InvalidParams for control characters in a name or a text, and for an address that has nothing but blanks.
    """
    cleaned: dict[str, Any] = {}
    for name, value in address.items():
        clean_text(name, "a name in shipping_address", _MAX_NAME, required=True)
        is_text = isinstance(value, str)
        cleaned[name] = clean_text(value, f"shipping_address.{name}", _MAX_TEXT, lines=True) if is_text else value
    if all(value in ("", None) for value in cleaned.values()):
        raise InvalidParams(
            "shipping_address must not be blank",
            field="shipping_address",
            hint="for example street and city",
            reason=ErrorReason("required"),
        )
    return cleaned


def price_line(book: Book, quantity: int, shop: TenantRecord) -> PurchasedItem:
    """Returns the line of a purchase of a book that has a price."""
    assert book.price is not None
    rate = find_tax_rate(shop.tax_rates, book.category)
    amount = tax_line(book.price, quantity, rate, included=shop.prices_include_tax)
    return PurchasedItem(
        book_id=book.book,
        title=book.title,
        author=book.author,
        category=book.category,
        quantity=quantity,
        unit_price=book.price,
        subtotal=amount.total,
        tax=amount.tax,
        tax_rate=str(rate),
    )


def sum_items(items: Iterable[PurchasedItem]) -> Amounts:
    """Returns the sums of lines."""
    total = tax = 0
    for item in items:
        total += item.subtotal
        tax += item.tax
    return Amounts(total, total - tax, tax)


def purchase_item(purchase: Purchase) -> dict[str, Any]:
    """Returns the stored item of a purchase, with the members of its indexes."""
    members: dict[str, Any] = msgspec.to_builtins(purchase)
    shard = shard_of(purchase.purchase)
    if purchase.status == "pending":
        members["pending"] = shard
    members["user_status"] = user_status(purchase.user, purchase.status)
    return {**members, "day": f"{purchase.created_at[:10]}#{shard}"}


def shard_of(purchase: str) -> str:
    """Returns the shard of a purchase, a hexadecimal digit; the last digits of its id are random."""
    return purchase[-1]


def user_status(user: str, status: PurchaseStatus) -> str:
    """Returns the partition of a user's purchases of one status."""
    return f"{user}#{status}"


def read_purchase(item: Mapping[str, Any]) -> Purchase:
    """Returns a stored purchase. Raises InvalidParams for a record that another program has written and is none."""
    try:
        return msgspec.convert(item, Purchase)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"the record is not a purchase: {error}") from None


def format_request_id(tenant: str, purchase: Purchase) -> str:
    """Returns the `request_id` of the order of a purchase: the intake accepts it once, however often it is sent."""
    return f"{_ORDER_PREFIX}{tenant}/{purchase.user}/{purchase.purchase}"


def is_purchase_order(request_id: object) -> bool:
    """Whether an order with this `request_id` fulfils a purchase."""
    return isinstance(request_id, str) and request_id.startswith(_ORDER_PREFIX)


def parse_request_id(request_id: object) -> OrderedPurchase | None:
    """Returns the purchase that an order fulfils; None for every other order."""
    if not isinstance(request_id, str) or not request_id.startswith(_ORDER_PREFIX):
        return None
    parts = request_id.removeprefix(_ORDER_PREFIX).split("/")
    if len(parts) != len(OrderedPurchase._fields) or not all(parts):
        return None
    return OrderedPurchase(*parts)
