"""Orders from what people give the command line: flags, prompts, a file or standard input."""

import json
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from rich.prompt import Prompt

from clients.errors import ClientError

Members = dict[str, Any]


def parse_product(text: str) -> str | Members:
    """A product from `NAME`, `NAME:QUANTITY` or `NAME:QUANTITY:PRICE`. Raises ClientError."""
    name, *rest = text.split(":")
    if not rest:
        return name
    hint = "write NAME, NAME:QUANTITY or NAME:QUANTITY:PRICE, as in agua:2:0.80"
    if len(rest) > 2:
        raise ClientError(f"the product {text!r} has too many parts", hint=hint)
    try:
        product: Members = {"producto": name, "cantidad": int(rest[0])}
        if len(rest) == 2:
            product["precio"] = str(Decimal(rest[1]))
    except (ValueError, InvalidOperation):
        raise ClientError(f"the product {text!r} has a quantity or price that is no number", hint=hint) from None
    return product


def parse_orders(text: str, source: str) -> list[Members]:
    """The orders in a text: one object, an array, or one object a line. Raises ClientError naming the line."""
    text = text.removeprefix("\ufeff")
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        return [_parse_line(line, f"{source}, line {number}") for number, line in _lines(text)]
    orders = whole if isinstance(whole, list) else [whole]
    for number, order in enumerate(orders, 1):
        if not isinstance(order, dict):
            raise ClientError(f"{source}: order {number} is not an object")
    return orders


def _lines(text: str) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _parse_line(line: str, where: str) -> Members:
    try:
        order = json.loads(line)
    except json.JSONDecodeError as error:
        raise ClientError(
            f"{where}, column {error.colno}: not JSON: {error.msg}",
            hint="a file holds one object, an array, or one object a line",
        ) from None
    if not isinstance(order, dict):
        raise ClientError(f"{where}: not an object")
    return order


def read_orders(file: str) -> list[Members]:
    """The orders of a file; `-` is standard input. Raises ClientError."""
    if file == "-":
        return parse_orders(sys.stdin.read(), "standard input")
    try:
        return parse_orders(Path(file).read_text(encoding="utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"{file} cannot be read: {error}") from None


def prompt_order() -> Members:
    """Asks for an order on the terminal."""
    customer = Prompt.ask("cliente")
    products = [parse_product(Prompt.ask("producto (NAME, NAME:QUANTITY or NAME:QUANTITY:PRICE)"))]
    while more := Prompt.ask("another producto, or Enter", default="", show_default=False):
        products.append(parse_product(more))
    return {"cliente": customer, "productos": products, "direccion": Prompt.ask("direccion")}
