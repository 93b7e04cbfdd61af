"""Orders from the command line's input: flags, prompts, a file or standard input."""

import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from clients.cli.text import decode_typed_text
from clients.errors import ClientError, WrongUsage
from shared.domain.errors import RequestError
from shared.wire.strict_json import decode_strictly, parse_json

Members = dict[str, Any]


class LocatedObject(NamedTuple):
    """An object of a file and its location: `orders.ndjson, line 3`, `orders.json, order 2`."""

    where: str
    members: Members


# A quantity begins with a digit or a sign, and its colon follows neither a digit nor a colon.
_QUANTIFIED = re.compile(r"(?P<name>.*[^0-9:\s])\s*:(?P<quantity>[+-]?[0-9][^:]*)(?::(?P<price>.*))?", re.DOTALL)
_AMBIGUOUS = re.compile(r".*[0-9]\s*:[0-9]+(:[0-9]+(\.[0-9]+)?)?", re.DOTALL)
_WHOLE_NUMBER = re.compile(r"[0-9]+")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_exact = msgspec.json.Decoder(Any, float_hook=Decimal)


def parse_product(text: str) -> str | Members:
    """Returns a product from `NAME`, `NAME:QUANTITY`, `NAME:QUANTITY:PRICE`, or from JSON as in an order file.

    A colon separates a quantity only if it does not follow a digit: `agua:2` is two of agua; `TV 16:9` and
    `Ratio: wide` are names. Raises WrongUsage for a quantity or price that is no number.
    """
    if text.lstrip().startswith("{"):
        product: Members = _read_document(text.encode(), "--producto")
        return product
    found = _QUANTIFIED.fullmatch(text)
    if found is None:
        return text
    name, quantity, price = found["name"], found["quantity"], found["price"]
    if not _WHOLE_NUMBER.fullmatch(quantity) or (price is not None and not _NUMBER.fullmatch(price)):
        raise WrongUsage(
            f"the product {text!r} has a quantity or price that is no number",
            hint="write NAME, NAME:QUANTITY or NAME:QUANTITY:PRICE, as in agua:2:0.80; "
            """or JSON for a name like that: '{"producto":"agua:2:x"}'""",
        )
    product = {"producto": name, "cantidad": int(quantity)}
    if price is not None:
        product["precio"] = price
    return product


def looks_like_quantity(text: str) -> bool:
    """Whether a product without a quantity may be a name that ends in a digit, followed by a quantity."""
    return _AMBIGUOUS.fullmatch(text) is not None


def parse_objects(data: bytes, source: str) -> list[LocatedObject]:
    """Returns the objects in a text of strict JSON: one object, an array, or one object a line.

    Raises ClientError naming the line.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        whole = decode_json(data)
    except RequestError as error:
        lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0][1]):
            raise _not_json(source, error) from None
        return [_parse_line(line, f"{source}, line {number}") for number, line in lines]
    if isinstance(whole, dict):
        return [LocatedObject(source, whole)]
    found = whole if isinstance(whole, list) else [whole]
    for number, one in enumerate(found, 1):
        if not isinstance(one, dict):
            raise ClientError(f"{source}: order {number} is not an object")
    return [LocatedObject(f"{source}, order {number}", one) for number, one in enumerate(found, 1)]


def decode_json(document: bytes) -> Any:
    """Decodes JSON as strictly as the server; numbers keep all digits. Raises RequestError."""
    parse_json(document)
    return decode_strictly(_exact, document)


def _is_json(document: bytes) -> bool:
    try:
        parse_json(document)
    except RequestError:
        return False
    return True


def _parse_line(line: bytes, where: str) -> LocatedObject:
    found = _read_document(line, where)
    if not isinstance(found, dict):
        raise ClientError(f"{where}: not an object")
    return LocatedObject(where, found)


def _read_document(document: bytes, where: str) -> Any:
    try:
        return decode_json(document)
    except RequestError as error:
        raise _not_json(where, error) from None


def _not_json(where: str, error: RequestError) -> ClientError:
    line = f", line {error.line}" if error.line is not None and error.line > 1 else ""
    column = f", column {error.column}" if error.column is not None else ""
    return ClientError(
        f"{where}{line}{column}: {error.message}",
        hint=error.hint or "give strict JSON: one object, an array, or one object a line",
    )


def read_objects(file: str) -> list[LocatedObject]:
    """Returns the objects of a file; `-` is standard input. Raises ClientError."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from None
    return parse_objects(data, "standard input" if file == "-" else file)


def prompt_order() -> Members:
    """Prompts for an order on the terminal. Raises WrongUsage if standard input is no terminal."""
    if not sys.stdin.isatty():
        raise WrongUsage(
            "no order was given", hint="give --cliente, --producto and --direccion, or --file; --file - reads stdin"
        )
    customer = _prompt_text("cliente")
    products = [parse_product(_prompt_text("producto (NAME, NAME:QUANTITY or NAME:QUANTITY:PRICE)"))]
    while more := decode_typed_text(input("another producto, or Enter: ")).strip():
        products.append(parse_product(more))
    return {"cliente": customer, "productos": products, "direccion": _prompt_text("direccion")}


def _prompt_text(what: str) -> str:
    while not (answer := decode_typed_text(input(f"{what}: ")).strip()):
        pass
    return answer
