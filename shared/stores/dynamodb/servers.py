"""The servers that use the same order tables: heartbeats, ownership of blocks, and shared state.

A server increments its heartbeat. A server that sees another's heartbeat unchanged for a lease adopts its blocks in
one transaction that removes the other server: only one adoption succeeds, and the removed server notices with its
next heartbeat. Clocks of different machines are never compared.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from shared.domain.errors import StoreError
from shared.domain.ids import new_node
from shared.domain.states import FINAL, State
from shared.stores.dynamodb.client import ConditionFailed, DynamoClient
from shared.stores.dynamodb.order_tables import ORDERS, SERVERS
from shared.stores.orders import STATES
from shared.stores.ports.orders import Superseded

_SHARED = {"kind": {"S": "shared"}, "id": {"S": "shared"}}
_TOTALS = {state: f"t{STATES.index(state)}" for state in FINAL}
# The item before all chunks of a block: a mark that the block is counted, with the counts.
_MARK = {"N": "-1"}


class SharedState(NamedTuple):
    """The shared state of all servers."""

    node: int
    """The name of these tables in ids."""
    newest: int
    """The last assigned block."""
    accepted: int
    totals: Mapping[State, int]
    """Totals of all counted blocks; `accepted` is of these blocks, too."""


class OrderServer(NamedTuple):
    """The state of a server as it was read."""

    id: str
    beat: int
    released: bool
    """True if it has stopped and released its blocks."""
    blocks: frozenset[int]


class ServerDirectory:
    """The directory as used by the server `me`."""

    def __init__(self, dynamo: DynamoClient, me: str) -> None:
        self._dynamo = dynamo
        self.me = me
        self._asked = 0
        """Number of requests of other servers to this one, as last read."""

    @property
    def _table_name(self) -> str:
        return self._dynamo.settings.prefix + SERVERS

    def _server_key(self, server: str) -> dict[str, Any]:
        return {"kind": {"S": "server"}, "id": {"S": server}}

    async def read_shared(self) -> SharedState:
        """Reads the shared state; the first call draws the node."""
        await self._update_shared("SET node = if_not_exists(node, :n)", {":n": {"N": str(new_node())}})
        answer = await self._dynamo.call("get_item", TableName=self._table_name, Key=_SHARED, ConsistentRead=True)
        item = answer["Item"]

        def read_number(name: str) -> int:
            return int(item[name]["N"]) if name in item else 0

        totals = {state: read_number(name) for state, name in _TOTALS.items()}
        return SharedState(read_number("node"), read_number("newest"), read_number("accepted"), totals)

    async def _update_shared(self, expression: str, values: dict[str, Any]) -> dict[str, Any]:
        answer = await self._dynamo.call(
            "update_item",
            TableName=self._table_name,
            Key=_SHARED,
            UpdateExpression=expression,
            ExpressionAttributeValues=values,
            ReturnValues="UPDATED_NEW",
        )
        attributes: dict[str, Any] = answer["Attributes"]
        return attributes

    async def register_server(self) -> None:
        """Registers this server as live."""
        item = {**self._server_key(self.me), "beat": {"N": "0"}, "asked": {"N": "0"}}
        await self._dynamo.call("put_item", TableName=self._table_name, Item=item)

    async def reserve_block(self) -> int:
        """Reserves a block for this server. Raises Superseded."""
        # A retry after a lost reply skips a number, whose block stays empty.
        newest = await self._update_shared("ADD newest :one", {":one": {"N": "1"}})
        block = int(newest["newest"]["N"])
        await self._update_me("ADD blocks :b", {":b": {"NS": [str(block)]}})
        return block

    async def send_heartbeat(self) -> set[int]:
        """Increments the heartbeat; returns failed orders of this server that others have retried or cancelled.

        Raises Superseded.
        """
        item = await self._update_me("ADD beat :one", {":one": {"N": "1"}})
        return {int(sequence) for sequence in item.get("again", {"NS": []})["NS"]}

    async def acknowledge_requests(self, again: set[int]) -> None:
        """Removes orders returned by `send_heartbeat` that are queued or counted now."""
        await self._update_me("DELETE again :a", {":a": {"NS": [str(sequence) for sequence in again]}})

    async def _update_me(self, expression: str, values: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._dynamo.call(
                "update_item", **self._own_update(expression, values), ReturnValues="ALL_NEW"
            )
        except ConditionFailed:
            raise Superseded(self.me) from None
        item: dict[str, Any] = answer["Attributes"]
        self._asked = int(item["asked"]["N"])
        return item

    def _own_update(self, expression: str, values: dict[str, Any]) -> dict[str, Any]:
        return self._update_request(self.me, expression, values)

    def _update_request(self, server: str, expression: str, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "TableName": self._table_name,
            "Key": self._server_key(server),
            "UpdateExpression": expression,
            "ExpressionAttributeValues": values,
            "ConditionExpression": "attribute_exists(id)",
        }

    async def list_others(self) -> list[OrderServer]:
        """Returns all other servers."""
        request: dict[str, Any] = {
            "TableName": self._table_name,
            "KeyConditionExpression": "kind = :k",
            "ExpressionAttributeValues": {":k": {"S": "server"}},
            "ConsistentRead": True,
        }
        found: list[OrderServer] = []
        while True:
            answer = await self._dynamo.call("query", **request)
            for item in answer["Items"]:
                blocks = frozenset(int(block) for block in item.get("blocks", {"NS": []})["NS"])
                found.append(OrderServer(item["id"]["S"], int(item["beat"]["N"]), "released" in item, blocks))
            if (last := answer.get("LastEvaluatedKey")) is None:
                return [server for server in found if server.id != self.me]
            request["ExclusiveStartKey"] = last

    async def take_over(self, server: OrderServer) -> bool:
        """Adopts a dead server's blocks; returns False if it is alive or another server was faster."""
        delete = {
            "TableName": self._table_name,
            "Key": self._server_key(server.id),
            "ConditionExpression": "beat = :b",
            "ExpressionAttributeValues": {":b": {"N": str(server.beat)}},
        }
        actions: list[dict[str, Any]] = [{"Delete": delete}]
        if server.blocks:
            blocks = {"NS": [str(block) for block in server.blocks]}
            actions.append({"Update": self._own_update("ADD blocks :b", {":b": blocks})})
        try:
            await self._dynamo.call("transact_write_items", TransactItems=actions)
        except ConditionFailed as failed:
            if 1 in failed.failed:
                raise Superseded(self.me) from None
            # The own blocks show whether an attempt without a reply has succeeded.
            return failed.in_doubt and server.blocks <= await self.read_blocks()
        return True

    async def read_blocks(self) -> set[int]:
        """Returns the blocks of this server. Raises Superseded."""
        item = await self._update_me("ADD beat :one", {":one": {"N": "1"}})
        return {int(block) for block in item.get("blocks", {"NS": []})["NS"]}

    async def count_block(self, block: int, totals: Mapping[State, int]) -> bool:
        """Counts a block with only final orders, and ends its ownership; returns False if this server does not own it.

        The caller reads the orders after `read_blocks`: a retry since then prevents the count.
        """
        values = {f":{name}": {"N": str(totals.get(state, 0))} for state, name in _TOTALS.items()}
        values[":accepted"] = {"N": str(sum(totals.get(state, 0) for state in FINAL))}
        sums = ", ".join(f"{name[1:]} {name}" for name in values)
        mark = {"b": {"N": str(block)}, "s": _MARK, **{name[1:]: value for name, value in values.items()}}
        own = {":b": {"NS": [str(block)]}, ":n": {"N": str(block)}, ":asked": {"N": str(self._asked)}}
        disown = self._own_update("DELETE blocks :b", own)
        disown["ConditionExpression"] = "contains(blocks, :n) AND asked = :asked"
        actions: list[dict[str, Any]] = [
            {"Update": disown},
            {
                "Update": {
                    "TableName": self._table_name,
                    "Key": _SHARED,
                    "UpdateExpression": f"ADD {sums}",
                    "ExpressionAttributeValues": values,
                }
            },
            {"Put": {"TableName": self._dynamo.settings.prefix + ORDERS, "Item": mark}},
        ]
        try:
            await self._dynamo.call("transact_write_items", TransactItems=actions)
        except ConditionFailed:
            return False
        return True

    async def reclaim_actions(self, block: int) -> tuple[int, list[dict[str, Any]]]:
        """Returns the number of orders of a counted block and the actions that reclaim it; none for other blocks."""
        key = {"b": {"N": str(block)}, "s": _MARK}
        orders = self._dynamo.settings.prefix + ORDERS
        answer = await self._dynamo.call("get_item", TableName=orders, Key=key, ConsistentRead=True)
        mark = answer.get("Item")
        if mark is None:
            return 0, []
        less = {f":{name}": {"N": str(-int(value["N"]))} for name, value in mark.items() if name not in ("b", "s")}
        sums = ", ".join(f"{name[1:]} {name}" for name in less)
        return int(mark["accepted"]["N"]), [
            {"Delete": {"TableName": orders, "Key": key, "ConditionExpression": "attribute_exists(b)"}},
            {
                "Update": {
                    "TableName": self._table_name,
                    "Key": _SHARED,
                    "UpdateExpression": f"ADD {sums}",
                    "ExpressionAttributeValues": less,
                }
            },
            {"Update": self._own_update("ADD blocks :b", {":b": {"NS": [str(block)]}})},
        ]

    def request_change(self, owner: str, sequence: int) -> dict[str, Any]:
        """Returns the action that notifies another server of a changed failed order, if the server is registered."""
        values = {":a": {"NS": [str(sequence)]}, ":one": {"N": "1"}}
        return {"Update": self._update_request(owner, "ADD again :a, asked :one", values)}

    async def install_orders(
        self, node: int, newest: int, finished: Mapping[int, Mapping[State, int]], left: AbstractSet[int]
    ) -> None:
        """Installs migrated orders: counts `finished` blocks, and leaves the blocks `left` to the next server.

        Raises StoreError.
        """
        totals = {state: sum(counted.get(state, 0) for counted in finished.values()) for state in FINAL}
        for block, counted in finished.items():
            mark = {"b": {"N": str(block)}, "s": _MARK, "accepted": {"N": str(sum(counted[one] for one in FINAL))}}
            mark |= {name: {"N": str(counted[state])} for state, name in _TOTALS.items()}
            await self._dynamo.call("put_item", TableName=self._dynamo.settings.prefix + ORDERS, Item=mark)
        if left:
            item = {**self._server_key(self.me), "beat": {"N": "0"}, "asked": {"N": "0"}, "released": {"BOOL": True}}
            item["blocks"] = {"NS": [str(block) for block in left]}
            await self._dynamo.call("put_item", TableName=self._table_name, Item=item)
        shared = {**_SHARED, "node": {"N": str(node)}, "newest": {"N": str(newest)}}
        shared["accepted"] = {"N": str(sum(totals.values()))}
        shared |= {name: {"N": str(totals[state])} for state, name in _TOTALS.items()}
        await self._dynamo.call("put_item", TableName=self._table_name, Item=shared)

    async def release_server(self) -> None:
        """Releases the blocks of this server, so that other servers can adopt them at once."""
        try:
            if await self.read_blocks():
                await self._update_me("SET released = :r", {":r": {"BOOL": True}})
            else:
                await self._dynamo.call("delete_item", TableName=self._table_name, Key=self._server_key(self.me))
        except StoreError:
            # Other servers will see that its heartbeat has stopped.
            return
