"""Decodes orders from documents: a block of them in one call, or one at a time with detailed errors."""

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from shared.domain.errors import InvalidParams
from shared.domain.orders import Item, OrderRequest
from shared.wire.strict_json import SPACE_BEFORE_COLON, convert_document, parse_json

EXAMPLE = {
    "cliente": "Juan Pérez",
    "productos": ["pan", {"producto": "agua", "cantidad": 2}],
    "direccion": "Av. Siempre Viva 742",
}
"""A valid order, included in error replies."""

# The beginning of a canonical document, and the text after the name: JSON escapes quotes within the name.
_BEFORE_NAME = '{"cliente":"'
_BEHIND_NAME = '","productos"'
_REQUIRED_KEYS = 3
# Prices that Decimal accepts and JSON does not: with spaces, underscores, or digits of other scripts.
_ODD_PRICE = re.compile(rb'"precio"\s*:\s*"(?!-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")')
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class OrderBlock(NamedTuple):
    """The orders of one block of documents."""

    orders: list[OrderRequest]
    plain: bool
    """True if all have only the three required fields and no product is an object."""
    weight: int
    """The number of orders."""


class OrderDecoder:
    """Decodes orders. A process needs one decoder."""

    def __init__(self) -> None:
        self._lines = msgspec.json.Decoder(OrderRequest)

    def decode_block(self, block: bytes) -> OrderBlock | None:
        """Returns the orders of a block of documents, or None if the documents need individual checks.

        Every returned order is valid. The block is decoded in one call; duplicate keys and blank texts, which the
        types do not exclude, are excluded for the whole block by counting. `":` ends every key and otherwise only
        occurs after a backslash, so without white space before colons its count is at least the number of keys in
        the block; if it equals the number of fields found, no key occurs twice. A text can be blank only if it
        starts with a space, an escape or a non-ASCII character.
        """
        try:
            orders = self._lines.decode_lines(block)
        except Exception:
            # The individual checks report the error for the order that causes it.
            return None
        keys = block.count(b'":')
        if keys != block.count(b":") and SPACE_BEFORE_COLON.search(block):
            return None
        plain = keys == _REQUIRED_KEYS * len(orders)
        if not plain and (keys != sum(map(count_keys, orders)) or _ODD_PRICE.search(block)):
            return None
        if (b'" ' in block or b"\\" in block or not block.isascii()) and any(map(find_blank, orders)):
            return None
        return OrderBlock(orders, plain, len(orders)) if orders else None

    def decode_document(self, document: bytes) -> OrderRequest:
        """Decodes one order from a document that `shared.wire.strict_json.parse_json` has accepted.

        Raises InvalidParams naming the field.
        """
        order: OrderRequest = convert_document(document, OrderRequest, example=EXAMPLE)
        if any(isinstance(item, Item) and item.price is not None for item in order.items):
            _check_prices(parse_json(document)["productos"])
        if blank := find_blank(order):
            raise InvalidParams(f"{blank} must not be blank", field=blank, example=EXAMPLE)
        return order

    def decode_array(self, document: bytes) -> list[OrderRequest | InvalidParams]:
        """Decodes an array of orders from strict JSON; returns an order or an error for each element."""
        return [self._decode_member(bytes(member)) for member in convert_document(document, list[msgspec.Raw])]

    def _decode_member(self, document: bytes) -> OrderRequest | InvalidParams:
        try:
            return self.decode_document(document)
        except InvalidParams as error:
            # A thousand copies of the same example would only make the reply longer.
            error.example = None
            return error


def _check_prices(items: list[Any]) -> None:
    """Raises InvalidParams for a price that is text and not a number of JSON."""
    for index, item in enumerate(items):
        price = item.get("precio") if isinstance(item, dict) else None
        if isinstance(price, str) and not _NUMBER.fullmatch(price):
            field = f"productos[{index}].precio"
            raise InvalidParams(f"{field} must be a number", field=field, example=EXAMPLE)


def count_keys(order: OrderRequest) -> int:
    """Returns the minimum number of JSON keys in a document of this order."""
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
    """Returns the name of the first blank text of an order, if any."""
    if order.customer.isspace():
        return "cliente"
    if order.address.isspace():
        return "direccion"
    for index, item in enumerate(order.items):
        if item.name.isspace() if isinstance(item, Item) else item.isspace():
            return f"productos[{index}]"
    return None


def encode_order(order: OrderRequest) -> str:
    """Returns the canonical document of an order, as stores keep it."""
    return _ENCODER.encode(order).decode()


def customer_of(document: str) -> str:
    """Returns the customer of an order's canonical document; the beginning of the document is sufficient."""
    name = document[len(_BEFORE_NAME) : document.find(_BEHIND_NAME)]
    return str(msgspec.json.decode(f'"{name}"', type=str)) if "\\" in name else name


def encode_orders(orders: list[OrderRequest]) -> list[str]:
    """Returns the canonical documents of orders."""
    # The sqlite modules bind text directly, but look up an adapter for bytes, which costs as much as the
    # insert. A document contains no newline: JSON escapes them.
    return _ENCODER.encode_lines(orders).decode().split("\n")[:-1]


_ENCODER = msgspec.json.Encoder(decimal_format="number")
