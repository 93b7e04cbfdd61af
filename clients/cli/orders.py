"""Orders from what people give the command line: flags, prompts, a file or standard input."""

import json
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from clients.errors import ClientError, WrongUsage

Members = dict[str, Any]


def parse_product(text: str) -> str | Members:
    """A product from `NAME`, `NAME:QUANTITY` or `NAME:QUANTITY:PRICE`. Raises WrongUsage."""
    name, *rest = text.split(":")
    if not rest:
        return name
    hint = "write NAME, NAME:QUANTITY or NAME:QUANTITY:PRICE, as in agua:2:0.80"
    if len(rest) > 2:
        raise WrongUsage(f"the product {text!r} has too many parts", hint=hint)
    try:
        product: Members = {"producto": name, "cantidad": int(rest[0])}
        if len(rest) == 2:
            product["precio"] = str(Decimal(rest[1]))
    except (ValueError, InvalidOperation):
        raise WrongUsage(f"the product {text!r} has a quantity or price that is no number", hint=hint) from None
    return product


def parse_orders(text: str, source: str) -> list[Members]:
    """The orders in a text: one object, an array, or one object a line. Raises ClientError naming the line."""
    text = text.removeprefix("\ufeff")
    try:
        whole = _parse(text)
    except json.JSONDecodeError as error:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if not lines or not _is_json(lines[0][1]):
            raise _not_json(source, error) from None
        return [_parse_line(line, f"{source}, line {number}") for number, line in lines]
    orders = whole if isinstance(whole, list) else [whole]
    for number, order in enumerate(orders, 1):
        if not isinstance(order, dict):
            raise ClientError(f"{source}: order {number} is not an object")
    return orders


def _parse(text: str) -> Any:
    # Prices keep all their digits.
    return json.loads(text, parse_float=Decimal)


def _is_json(text: str) -> bool:
    try:
        _parse(text)
    except json.JSONDecodeError:
        return False
    return True


def _parse_line(line: str, where: str) -> Members:
    try:
        order = _parse(line)
    except json.JSONDecodeError as error:
        raise _not_json(where, error) from None
    if not isinstance(order, dict):
        raise ClientError(f"{where}: not an object")
    return order


def _not_json(where: str, error: json.JSONDecodeError) -> ClientError:
    line = f", line {error.lineno}" if error.lineno > 1 else ""
    return ClientError(
        f"{where}{line}, column {error.colno}: not JSON: {error.msg}",
        hint="give one object, an array, or one object a line",
    )


def read_orders(file: str) -> list[Members]:
    """The orders of a file; `-` is standard input. Raises ClientError."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return parse_orders(data.decode(), "standard input" if file == "-" else file)
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ClientError(f"{file} is not UTF-8: byte {error.start + 1} is wrong") from None


def prompt_order() -> Members:
    """Asks for an order on the terminal. Raises WrongUsage when nobody is there to answer."""
    if not sys.stdin.isatty():
        raise WrongUsage(
            "no order was given", hint="give --cliente, --producto and --direccion, or --file; --file - reads stdin"
        )
    customer = _ask("cliente")
    products = [parse_product(_ask("producto (NAME, NAME:QUANTITY or NAME:QUANTITY:PRICE)"))]
    while more := input("another producto, or Enter: ").strip():
        products.append(parse_product(more))
    return {"cliente": customer, "productos": products, "direccion": _ask("direccion")}


def _ask(what: str) -> str:
    while not (answer := input(f"{what}: ").strip()):
        pass
    return answer
