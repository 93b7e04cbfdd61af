"""The servers that work on the same order tables: which live, which blocks are whose, and what all share.

A server shows that it lives by counting up its beat. Who sees the beat of another stand still for a lease takes
over its blocks, in one transaction that removes the other: only one succeeds, and who was removed notices with
its next beat. No clock is compared with that of another machine.
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
# Before all chunks of a block: that the block is counted, and how.
_MARK = {"N": "-1"}


class SharedState(NamedTuple):
    """What all servers share."""

    node: int
    """The name of these tables in ids."""
    newest: int
    """The last block that was given away."""
    accepted: int
    totals: Mapping[State, int]
    """Of all blocks that are finished, as `accepted` is."""


class OrderServer(NamedTuple):
    """A server as it was seen."""

    id: str
    beat: int
    released: bool
    """It has stopped, and left what it could not finish."""
    blocks: frozenset[int]


class ServerDirectory:
    """The view of the server `me`."""

    def __init__(self, dynamo: DynamoClient, me: str) -> None:
        self._dynamo = dynamo
        self.me = me
        self._asked = 0
        """How often others had moved failed orders of this server when this was last read."""

    @property
    def _table_name(self) -> str:
        return self._dynamo.settings.prefix + SERVERS

    def _server_key(self, server: str) -> dict[str, Any]:
        return {"kind": {"S": "server"}, "id": {"S": server}}

    async def read_shared(self) -> SharedState:
        """What all share; the first to ask draws the node."""
        await self._update_shared("SET node = if_not_exists(node, :n)", {":n": {"N": str(new_node())}})
        answer = await self._dynamo.call("get_item", TableName=self._table_name, Key=_SHARED, ConsistentRead=True)
        item = answer["Item"]

        def number(name: str) -> int:
            return int(item[name]["N"]) if name in item else 0

        totals = {state: number(name) for state, name in _TOTALS.items()}
        return SharedState(number("node"), number("newest"), number("accepted"), totals)

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
        """This server lives from now on."""
        item = {**self._server_key(self.me), "beat": {"N": "0"}, "asked": {"N": "0"}}
        await self._dynamo.call("put_item", TableName=self._table_name, Item=item)

    async def reserve_block(self) -> int:
        """A block that is this server's. Raises Superseded."""
        # Where the answer is lost and it is asked again, a number is passed over: nothing is in that block.
        newest = await self._update_shared("ADD newest :one", {":one": {"N": "1"}})
        block = int(newest["newest"]["N"])
        await self._update_me("ADD blocks :b", {":b": {"NS": [str(block)]}})
        return block

    async def beat(self) -> set[int]:
        """Shows that this server lives; gives failed orders of it that others have put back or cancelled.

        Raises Superseded.
        """
        item = await self._update_me("ADD beat :one", {":one": {"N": "1"}})
        return {int(sequence) for sequence in item.get("again", {"NS": []})["NS"]}

    async def acknowledge_requests(self, again: set[int]) -> None:
        """Orders that `beat` gave are queued, or counted."""
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
        """Every other server."""
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
        """Makes a dead server's blocks this one's; False where it lives after all, or another was faster."""
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
            # What was done by an attempt without an answer shows in the blocks that are this server's.
            return failed.in_doubt and server.blocks <= await self.read_blocks()
        return True

    async def read_blocks(self) -> set[int]:
        """The blocks that are this server's. Raises Superseded."""
        item = await self._update_me("ADD beat :one", {":one": {"N": "1"}})
        return {int(block) for block in item.get("blocks", {"NS": []})["NS"]}

    async def count_block(self, block: int, totals: Mapping[State, int]) -> bool:
        """A block whose every order is final is nobody's any more; False where it is not this server's.

        Its orders have to be read after `blocks`: one that was put back since then keeps it from being counted.
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
        """How many orders a counted block has, and the actions that make it this server's; none for any other."""
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

    def tell(self, owner: str, sequence: int) -> dict[str, Any]:
        """The action that tells another server that its failed order was moved, on the condition that it is there."""
        values = {":a": {"NS": [str(sequence)]}, ":one": {"N": "1"}}
        return {"Update": self._update_request(owner, "ADD again :a, asked :one", values)}

    async def install_orders(
        self, node: int, newest: int, finished: Mapping[int, Mapping[State, int]], left: AbstractSet[int]
    ) -> None:
        """Makes orders that were moved here those of these tables: counts `finished` blocks, and leaves the others.

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
        """This server stops: what is left in its blocks is anybody's, at once."""
        try:
            if await self.read_blocks():
                await self._update_me("SET released = :r", {":r": {"BOOL": True}})
            else:
                await self._dynamo.call("delete_item", TableName=self._table_name, Key=self._server_key(self.me))
        except StoreError:
            # Others will see its beat stand still.
            return
