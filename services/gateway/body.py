"""Bodies of requests: strict JSON into types, read as strictly as on the other ports."""

from typing import Any, get_args

from litestar import Request
from litestar.exceptions import HTTPException

from shared.domain.errors import InvalidJson
from shared.domain.orders import OrderRequest
from shared.wire.orders import EXAMPLE, OrderDecoder
from shared.wire.strict import convert, parse

_orders = OrderDecoder()


class UnsupportedMediaType(HTTPException):
    """A body that does not say that it is JSON."""

    status_code = 415


class StrictRequest(Request[Any, Any, Any]):
    """A request whose body is read as the type that its handler asks for."""

    async def json(self) -> Any:
        """The body. Raises InvalidJson, InvalidParams, and UnsupportedMediaType."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type and media_type != "application/json" and not media_type.endswith("+json"):
            raise UnsupportedMediaType(f"a body of {media_type[:80]} is not read here; send application/json")
        field = self.route_handler.parsed_data_field
        assert field is not None, "who has no body does not read it"
        return read(await self.body(), field.annotation)


def read(body: bytes, kind: Any) -> Any:
    """A body as `kind`: a struct, or orders, one or many. Raises InvalidJson and InvalidParams."""
    if not body.strip():
        raise InvalidJson("there is no body", hint="send a JSON document", example=_example(kind))
    found = parse(body)
    if not _is_orders(kind):
        return convert(body, kind)
    if isinstance(found, list):
        return convert(body, list[OrderRequest], example=[EXAMPLE]) and _many(body)
    return _orders.document(body)


def _many(body: bytes) -> list[OrderRequest]:
    """All of an array, or the first error in it."""
    orders: list[OrderRequest] = []
    for number, order in enumerate(_orders.array(body)):
        if not isinstance(order, OrderRequest):
            order.field = f"[{number}]" + (f".{order.field}" if order.field else "")
            raise order
        orders.append(order)
    return orders


def _is_orders(kind: Any) -> bool:
    return OrderRequest in get_args(kind)


def _example(kind: Any) -> Any:
    return EXAMPLE if _is_orders(kind) else None
