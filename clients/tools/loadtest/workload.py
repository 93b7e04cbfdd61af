"""The orders of a load test, serialized before the clock starts."""

import random
import secrets
from pathlib import Path

import msgspec
from msgspec import UNSET

from clients.errors import ClientError
from clients.replies import StoredOrder
from shared.domain.errors import RequestError
from shared.domain.orders import OrderRequest
from shared.wire.strict_json import convert_document, parse_json

_PRODUCTS = ("pan", "agua", "queso", "café", "manzanas", "aceite", "arroz", "vino", "leche", "tomates")
_MADE_UP = 1000


class Workload:
    """Orders by number, made from `orders` (JSON objects without request_id) in turn.

    With `keyed`, each order has its own request_id.
    """

    def __init__(self, orders: list[bytes], *, keyed: bool) -> None:
        self.keyed = keyed
        self._orders = orders
        self._run = secrets.token_hex(4)
        # Everything except the closing bracket, so that the key can be appended.
        self._heads = [order[:-1] + (b"," if len(order) > len(b"{}") else b"") for order in orders]
        self._prefix = f"lt-{self._run}-"
        self._parsed_orders: dict[int, OrderRequest | None] = {}

    def format_line(self, number: int) -> bytes:
        """Returns the document of an order, with its newline."""
        if not self.keyed:
            return self._orders[number % len(self._orders)] + b"\n"
        return b'%s"request_id":"%s%d"}\n' % (
            self._heads[number % len(self._heads)],
            self._prefix.encode(),
            number,
        )

    def find_number(self, request_id: object) -> int | None:
        """Returns the number of the order with this request_id; None for an order of another run."""
        if not isinstance(request_id, str) or not request_id.startswith(self._prefix):
            return None
        digits = request_id.removeprefix(self._prefix)
        return int(digits) if digits.isdecimal() else None

    def __len__(self) -> int:
        """Returns the number of different orders."""
        return len(self._orders)

    def matches_order(self, number: int, stored: StoredOrder) -> bool:
        """Whether the server's order equals the one that was sent."""
        index = number % len(self._orders)
        if index not in self._parsed_orders:
            self._parsed_orders[index] = _parse_order(self._orders[index])
        shown = OrderRequest(
            customer=stored.customer,
            items=stored.items,
            address=stored.address,
            priority=stored.priority,
            not_before=stored.not_before or UNSET,
        )
        return shown == self._parsed_orders[index]


def _parse_order(order: bytes) -> OrderRequest | None:
    """Returns an order as a value; None for an invalid one, which no server should have accepted."""
    try:
        return msgspec.json.decode(order, type=OrderRequest)
    except msgspec.ValidationError:
        return None


def read_workload(file: Path, *, keyed: bool) -> Workload:
    """Returns the orders of a file with one order in each line; an existing request_id is removed.

    Raises ClientError with the line number.
    """
    orders: list[bytes] = []
    try:
        lines = file.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            parse_json(line)
            # Values keep their spelling, for example all digits of a price.
            order = convert_document(line, dict[str, msgspec.Raw])
        except RequestError as error:
            raise ClientError(
                f"{file}, line {number}: {error.message}", hint="the file holds one order a line"
            ) from None
        order.pop("request_id", None)
        orders.append(msgspec.json.encode(order))
    if not orders:
        raise ClientError(f"{file} holds no orders", hint="the file holds one order a line")
    return Workload(orders, keyed=keyed)


def generate_workload(*, keyed: bool) -> Workload:
    """Returns a workload of invented orders."""
    orders = [
        {
            "cliente": f"Cliente {number}",
            "productos": random.sample(_PRODUCTS, random.randint(1, 5)),
            "direccion": f"Calle Mayor {number}",
        }
        for number in range(_MADE_UP)
    ]
    return Workload([msgspec.json.encode(order) for order in orders], keyed=keyed)
