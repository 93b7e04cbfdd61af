"""DynamoDB: our stores beside bare loops of aioboto3 on the same local server, and what orders cost on AWS.

The local server holds everything in memory and is a process of Python: what is compared is what our side adds.
"""

import asyncio
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from shared.domain.orders import OrderRequest, Priority
from shared.domain.records import Condition, Put, Table, Transaction
from shared.domain.tables import Tables
from shared.stores.dynamodb.client import DynamoClient, open_client
from shared.stores.dynamodb.order_tables import ORDERS, create_order_tables
from shared.stores.dynamodb.stores import dynamo_orders, dynamo_records, dynamo_work
from shared.stores.dynamodb.values import to_item
from shared.stores.ports.orders import Done, OrderBatch, OrderStore, Ticket
from shared.stores.ports.records import RecordStore
from shared.wire.orders import encode_orders
from tests.support.dynamodb import CREDENTIALS, dynamodb_endpoint, own_tables
from tests.support.proxy import Proxy

_TASKS = 50
_BATCHES = 8
_BATCH_WRITE = 25
_TURN = 1600
"""Orders of one turn when 50 connections have 32 in flight each."""
_PRICE = 0.625
"""Dollars for a million write units on demand, us-east-1: https://aws.amazon.com/dynamodb/pricing/on-demand/"""
_TABLES = Tables(Table("Bench", partition="id"))


class DynamoFigures(NamedTuple):
    """Items a second of each round, and write units for an order."""

    bare_puts: list[float]
    puts: list[float]
    bare_orders: list[float]
    orders: list[float]
    units_full: float
    """With 1,600 orders a turn."""
    units_light: float
    """With 36 orders a turn."""


def dynamodb(rounds: int, seconds: float, orders: list[bytes]) -> DynamoFigures:
    """Measures all of them in alternating rounds."""
    os.environ.update({name: os.environ.get(name, value) for name, value in CREDENTIALS.items()})
    with dynamodb_endpoint() as endpoint:
        return asyncio.run(_measure(endpoint, rounds, seconds, orders))


async def _measure(endpoint: str, rounds: int, seconds: float, orders: list[bytes]) -> DynamoFigures:
    figures = DynamoFigures([], [], [], [], await _units(endpoint, orders, _TURN), await _units(endpoint, orders, 36))
    for number in range(rounds):
        settings = own_tables(endpoint)
        async with open_client(settings) as client, dynamo_records(settings, _TABLES) as records:
            await create_order_tables(client)
            bare = _Bare(client, orders)
            puts = [(figures.bare_puts, bare.put), (figures.puts, _Puts(records).put)]
            # The local server slows down as the table grows: none of them always comes second.
            for rates, work in puts[:: 1 if number % 2 else -1]:
                rates.append(await _rate(work, _TASKS, seconds))
            figures.bare_orders.append(await _rate(bare.batch, _BATCHES, seconds))
        async with dynamo_orders(settings, lease_seconds=600) as (store, _):
            await store.recover()
            figures.orders.append(await _rate(_Acceptances(store, orders).accept, 1, seconds))
    return figures


class _Bare:
    """What anybody would write."""

    def __init__(self, client: DynamoClient, orders: list[bytes]) -> None:
        self._client = client
        self._prefix = client.settings.prefix
        self._numbers = itertools.count()
        self._orders = [order.decode() for order in orders[:_BATCH_WRITE]]

    async def put(self) -> int:
        """A put on the condition that nothing is there."""
        await self._client.call(
            "put_item",
            TableName=f"{self._prefix}Bench",
            Item=to_item({"comanda:p": f"bare{next(self._numbers)}", **_ITEM}),
            ConditionExpression="attribute_not_exists(id)",
        )
        return 1

    async def batch(self) -> int:
        """As many orders as a BatchWriteItem takes."""
        items = [{"b": {"N": "0"}, "s": {"N": str(next(self._numbers))}, "d": {"S": order}} for order in self._orders]
        requests = [{"PutRequest": {"Item": item}} for item in items]
        answer = await self._client.call("batch_write_item", RequestItems={self._prefix + ORDERS: requests})
        assert not answer.get("UnprocessedItems")
        return _BATCH_WRITE


class _Puts:
    """The same put by the record store."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records
        self._numbers = itertools.count()

    async def put(self) -> int:
        """A put on the condition that nothing is there."""
        put = Put("Bench", {"id": f"ours{next(self._numbers)}", **_ITEM}, Condition(exists=False))
        (outcome,) = await self._records.write([Transaction("t", [put])])
        assert isinstance(outcome, list)
        return 1


class _Acceptances:
    """Orders accepted by the order store, a turn at a time as the intake does it."""

    def __init__(self, store: OrderStore, orders: list[bytes]) -> None:
        self._store = store
        self._batch = _batch(orders, _TURN)

    async def accept(self) -> int:
        """One turn."""
        acceptance = await self._store.accept(self._batch, received=time.time_ns() // 1000, room=10**9)
        return acceptance.orders.count


_ITEM = {"cp": "3260", "CUIT": "30-70925411-8", "domicilio": "25 de Mayo 385-1P", "provincia": "Entre Ríos"}


async def _rate(work: Callable[[], Awaitable[int]], tasks: int, seconds: float) -> float:
    """What `work` gives a second in so many tasks."""
    done = 0
    began = time.perf_counter()

    async def loop() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            given = await work()
            done += given

    await asyncio.gather(*(loop() for _ in range(tasks)))
    return done / (time.perf_counter() - began)


def _batch(orders: list[bytes], number: int) -> OrderBatch:
    requests = [msgspec.json.decode(order, type=OrderRequest) for order in orders[:number]]
    return OrderBatch(requests, encode_orders(requests), plain=True)


class _Meter(Proxy):
    """Counts the write units of all that passes, as AWS does: by the kilobyte, twice in a transaction."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.units = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        members = json.loads(await request.read())
        match request.headers["X-Amz-Target"].rpartition(".")[2]:
            case "PutItem":
                self.units += _units_of(members["Item"])
            case "UpdateItem" | "DeleteItem":
                self.units += 1
            case "TransactWriteItems":
                for action in members["TransactItems"]:
                    ((_, inner),) = action.items()
                    self.units += 2 * _units_of(inner.get("Item", {}))
        return await super().handle(request)


def _units_of(item: dict[str, Any]) -> int:
    size = sum(len(name) + len(str(next(iter(value.values()))).encode()) for name, value in item.items())
    return max(-(-size // 1024), 1)


async def _units(endpoint: str, orders: list[bytes], turn: int) -> float:
    """Write units for an order from acceptance to `listo`, with a handler that does nothing."""
    number = 0
    async with _Meter(endpoint).running() as meter:
        settings = own_tables(meter.endpoint)
        async with dynamo_orders(settings, lease_seconds=600) as (store, where), dynamo_work(where) as work:
            await store.recover()
            batch = _batch(orders, turn)
            before = meter.units
            while number < 8000:
                now = time.time_ns() // 1000
                order_range = (await store.accept(batch, received=now, room=10**9)).orders
                ticket = Ticket(order_range, 1, Priority.NORMAL, now, now)
                await work.advance("w1", tickets=[ticket], now=now)
                done = [Done(sequence, 1, now + sequence) for sequence in order_range.sequences]
                await work.advance("w1", done=done, now=now)
                number += order_range.count
            return (meter.units - before) / number


def cost(units: float) -> float:
    """Dollars that a million orders cost at so many write units each."""
    return units * _PRICE
