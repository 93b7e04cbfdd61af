"""The parser of the intake: whole blocks of orders, orders one by one, and arrays of them."""

from typing import Any, NamedTuple

from services.intake.actions import ACTIONS
from shared.domain.errors import InvalidParams
from shared.domain.orders import OrderRequest
from shared.server.parser import Item, RequestParser
from shared.wire.orders import EXAMPLE, OrderBlock, OrderDecoder


class OrderArray(NamedTuple):
    """The members of one array, which is answered as a whole. Orders of a block are answered one by one."""

    members: list[OrderRequest | InvalidParams]

    @property
    def weight(self) -> int:
        """The share of a turn that the item takes."""
        return len(self.members)


class OrderParser(RequestParser):
    """Parses orders and actions."""

    def __init__(self, max_array_orders: int) -> None:
        super().__init__(ACTIONS)
        self._max_array_orders = max_array_orders
        self._decoder = OrderDecoder()
        # Without a call in between: nearly all orders take this path.
        self.parse_block = self._decoder.decode_block  # type: ignore[method-assign]

    def parse_document(self, document: bytes) -> Item:
        """See `RequestParser.parse_document`."""
        if (block := self._decoder.decode_block(document)) is not None:
            return block
        return super().parse_document(document)

    def parse_other(self, members: Any, document: bytes) -> Item | None:
        """See `RequestParser.parse_other`."""
        if isinstance(members, list):
            if not members:
                raise InvalidParams("the array is empty", hint="put orders into it", example=[EXAMPLE])
            if len(members) > self._max_array_orders:
                raise InvalidParams(
                    f"an array holds at most {self._max_array_orders} orders, not {len(members)}",
                    hint="send more arrays; the limit is the setting MAX_ARRAY_ORDERS",
                )
            return OrderArray(self._decoder.decode_array(document))
        return None if "action" in members else OrderBlock([self._decoder.decode_document(document)], False, 1)
