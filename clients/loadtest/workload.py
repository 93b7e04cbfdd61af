"""The orders that a load test sends, serialised before the clock starts."""

import random
import secrets
from pathlib import Path
from typing import Any

import msgspec

from clients.errors import ClientError

_PRODUCTS = ("pan", "agua", "queso", "café", "manzanas", "aceite", "arroz", "vino", "leche", "tomates")
_MADE_UP = 1000


class Workload:
    """`size` orders by number, made of `orders` in turn. With `keyed`, each carries a request_id."""

    def __init__(self, orders: list[dict[str, Any]], size: int, *, keyed: bool) -> None:
        self.size = size
        self.keyed = keyed
        self._orders = orders
        self._run = secrets.token_hex(4)
        # Everything but the closing bracket, so that the key can be put in behind it.
        self._heads = [msgspec.json.encode(order)[:-1] for order in orders]

    def line(self, number: int) -> bytes:
        """The document of an order, with its newline."""
        head = self._heads[number % len(self._heads)]
        return head + (b',"request_id":"%s"}\n' % self.request_id(number).encode() if self.keyed else b"}\n")

    def request_id(self, number: int) -> str:
        """The request_id of an order."""
        return f"lt-{self._run}-{number}"

    def number(self, request_id: object) -> int | None:
        """The order that a request_id belongs to; None for one of another run."""
        prefix = f"lt-{self._run}-"
        if not isinstance(request_id, str) or not request_id.startswith(prefix):
            return None
        return int(request_id.removeprefix(prefix))

    def same(self, number: int, stored: dict[str, Any]) -> bool:
        """Whether what the server shows of an order is what was sent."""
        sent = self._orders[number % len(self._orders)]
        return all(stored.get(name) == value for name, value in sent.items())


def read_workload(file: Path, size: int | None, *, keyed: bool) -> Workload:
    """Orders from a file with one a line, repeated or cut to `size`. Raises ClientError naming the line."""
    orders: list[dict[str, Any]] = []
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            orders.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClientError(f"{file}, line {number}: {error}", hint="the file holds one order a line") from None
    if not orders:
        raise ClientError(f"{file} holds no orders", hint="the file holds one order a line")
    return Workload(orders, size or len(orders), keyed=keyed)


def made_up_workload(size: int, *, keyed: bool) -> Workload:
    """Invented orders."""
    orders: list[dict[str, Any]] = [
        {
            "cliente": f"Cliente {number}",
            "productos": random.sample(_PRODUCTS, random.randint(1, 5)),
            "direccion": f"Calle Mayor {number}",
        }
        for number in range(min(size, _MADE_UP))
    ]
    return Workload(orders, size, keyed=keyed)
