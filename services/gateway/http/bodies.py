"""Request bodies: JSON to types, with the same strict rules as on the other ports."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from services.gateway.http.problems import UnsupportedMediaType
from shared.domain.errors import InvalidJson, InvalidParams, TooLarge
from shared.domain.orders import OrderRequest
from shared.wire.member_faults import find_faults
from shared.wire.orders import EXAMPLE, OrderDecoder
from shared.wire.strict_json import convert_document, parse_json

ORDERS = OrderRequest | Annotated[list[OrderRequest], Meta(min_length=1, max_length=1000)]
"""One order, or many."""


class BodyReader:
    """Reads bodies as types; at most `max_orders` come in one array. One reader serves a process."""

    def __init__(self, *, max_orders: int) -> None:
        self._orders = OrderDecoder()
        self._max_orders = max_orders

    def read(self, body: bytes, kind: Any) -> Any:
        """Returns a body as `kind`: a struct, or for ORDERS one order or a list of orders and errors.

        Raises InvalidJson, InvalidParams and TooLarge.
        """
        orders = kind is ORDERS
        if orders and (block := self._orders.decode_block(body)) is not None and len(block.orders) == 1:
            return block.orders[0]
        example = EXAMPLE if orders else None
        if not body.strip():
            raise InvalidJson("there is no body", hint="send a JSON document", example=example)
        found = parse_json(body)
        if not orders:
            return _convert(body, kind)
        if not isinstance(found, list):
            return self._orders.decode_document(body)
        if len(found) > self._max_orders:
            message = f"{len(found)} orders are too many at once"
            raise TooLarge(message, hint=f"the limit is MAX_ARRAY_ORDERS={self._max_orders}")
        return self._read_orders(body)

    def _read_orders(self, body: bytes) -> list[OrderRequest | InvalidParams]:
        """Returns the orders of an array; an invalid one is replaced by its error."""
        orders = self._orders.decode_array(body)
        if not orders:
            raise InvalidParams("the array is empty", hint="put orders into it", example=[EXAMPLE])
        return orders


def _convert(body: bytes, kind: Any) -> Any:
    """Returns a body as `kind`. Raises InvalidParams, with the faults of all members."""
    try:
        return convert_document(body, kind)
    except InvalidParams as error:
        error.faults = find_faults(body, kind)
        raise


def check_media_type(content_type: str | None, accepted: Sequence[str] = ()) -> None:
    """Raises UnsupportedMediaType for a body that is neither JSON nor of an `accepted` type."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type in accepted or not (media_type or accepted):
        return
    if not accepted and (media_type == "application/json" or media_type.endswith("+json")):
        return
    message = f"a body of {media_type[:80]} is not read here" if media_type else "the body does not say what it is"
    kind = accepted[0] if accepted else "application/json"
    raise UnsupportedMediaType(message, field="Content-Type", hint=f"send the header Content-Type: {kind}")
