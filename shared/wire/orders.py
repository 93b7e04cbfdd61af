"""Orders from documents: a whole block of them in one decode, or one at a time with good errors."""

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from shared.domain.errors import InvalidParams
from shared.domain.orders import Item, OrderRequest
from shared.wire.strict import convert, parse

EXAMPLE = {
    "cliente": "Juan Pérez",
    "productos": ["pan", {"producto": "agua", "cantidad": 2}],
    "direccion": "Av. Siempre Viva 742",
}
"""A valid order, shown with errors."""

# How canonical documents begin, and what stands behind the name: in JSON no text has a quote without a backslash.
_BEFORE_NAME = '{"cliente":"'
_BEHIND_NAME = '","productos"'
_REQUIRED_KEYS = 3
# What Decimal takes for a number and JSON would not: spaces, underscores, other scripts' digits.
_ODD_PRICE = re.compile(rb'"precio"\s*:\s*"(?!-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")')
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SPACE_BEFORE_COLON = re.compile(rb"[ \t\r\n]:")


class OrderBlock(NamedTuple):
    """The orders of one block of documents."""

    orders: list[OrderRequest]
    plain: bool
    """Whether all of them have just the three required fields, and no product is an object."""


class OrderDecoder:
    """Decodes orders. One decoder serves a process."""

    def __init__(self) -> None:
        self._lines = msgspec.json.Decoder(OrderRequest)

    def block(self, block: bytes) -> OrderBlock | None:
        """The orders of a block of documents, or None when anything in it needs a closer look.

        Every order returned is fully valid. The block goes through one decode; what the types cannot
        say is settled for the whole block by counting. `":` ends every key, and can stand elsewhere
        only behind a backslash, so with no white space before a colon its count is at least the number
        of keys in the block; when it equals the number of fields found, no key stands twice. A text can
        be blank only if it starts with a space, an escape or a character beyond ASCII.
        """
        try:
            orders = self._lines.decode_lines(block)
        except Exception:
            # Whatever it is, the close look says it of the one order whose it is.
            return None
        keys = block.count(b'":')
        if keys != block.count(b":") and _SPACE_BEFORE_COLON.search(block):
            return None
        plain = keys == _REQUIRED_KEYS * len(orders)
        if not plain and (keys != sum(map(count_keys, orders)) or _ODD_PRICE.search(block)):
            return None
        if (b'" ' in block or b"\\" in block or not block.isascii()) and any(map(find_blank, orders)):
            return None
        return OrderBlock(orders, plain) if orders else None

    def document(self, document: bytes) -> OrderRequest:
        """One order from strict JSON, as `shared.wire.strict.parse` has found it to be.

        Raises InvalidParams saying what is wrong with it.
        """
        order: OrderRequest = convert(document, OrderRequest, example=EXAMPLE)
        if any(isinstance(item, Item) and item.price is not None for item in order.items):
            _check_prices(parse(document)["productos"])
        if blank := find_blank(order):
            raise InvalidParams(f"{blank} must not be blank", field=blank, example=EXAMPLE)
        return order

    def array(self, document: bytes) -> list[OrderRequest | InvalidParams]:
        """The orders of an array of strict JSON, each by itself: a good one, or the error it deserves."""
        return [self._member(bytes(member)) for member in convert(document, list[msgspec.Raw])]

    def _member(self, document: bytes) -> OrderRequest | InvalidParams:
        try:
            return self.document(document)
        except InvalidParams as error:
            # The same example for each of a thousand members would help nobody.
            error.example = None
            return error


def _check_prices(items: list[Any]) -> None:
    """Raises InvalidParams for a price as text that is not written as JSON writes a number."""
    for index, item in enumerate(items):
        price = item.get("precio") if isinstance(item, dict) else None
        if isinstance(price, str) and not _NUMBER.fullmatch(price):
            field = f"productos[{index}].precio"
            raise InvalidParams(f"{field} must be a number", field=field, example=EXAMPLE)


def count_keys(order: OrderRequest) -> int:
    """The least number of JSON keys that a document of this order has."""
    keys = _REQUIRED_KEYS
    keys += order.request_id is not UNSET
    keys += order.not_before is not UNSET
    keys += order.priority != "normal"
    keys += order.trace is not UNSET
    keys += order.deadline_ms is not UNSET
    keys += order.client_id is not UNSET
    for item in order.items:
        if isinstance(item, Item):
            keys += 1 + (item.quantity != 1) + (item.price is not None)
    return keys


def find_blank(order: OrderRequest) -> str | None:
    """The name of the first text of an order that has nothing but white space, if any."""
    if order.customer.isspace():
        return "cliente"
    if order.address.isspace():
        return "direccion"
    for index, item in enumerate(order.items):
        if item.name.isspace() if isinstance(item, Item) else item.isspace():
            return f"productos[{index}]"
    return None


def encode_order(order: OrderRequest) -> str:
    """The order's canonical document, as stores keep it."""
    return _ENCODER.encode(order).decode()


def customer_of(document: str) -> str:
    """Returns the customer of an order's canonical document, of which the beginning is enough."""
    name = document[len(_BEFORE_NAME) : document.find(_BEHIND_NAME)]
    return str(msgspec.json.decode(f'"{name}"', type=str)) if "\\" in name else name


def encode_orders(orders: list[OrderRequest]) -> list[str]:
    """The canonical documents of many orders."""
    # Text, since the sqlite modules take it as it is, and bytes by way of a lookup that costs as much as
    # the insert. A document holds no newline: JSON escapes them.
    return _ENCODER.encode_lines(orders).decode().split("\n")[:-1]


_ENCODER = msgspec.json.Encoder(decimal_format="number")
