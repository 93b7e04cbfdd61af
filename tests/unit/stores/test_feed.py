"""The feed over shards that split, end and are forgotten, which no local server does: the streams are a fake."""

import datetime
from typing import Any, NamedTuple

import pytest

from shared.domain.errors import Gone, InvalidParams
from shared.domain.records import Table
from shared.domain.tables import Tables
from shared.stores.dynamodb.client import IteratorExpired, StreamTrimmed
from shared.stores.dynamodb.settings import DynamoSettings
from shared.stores.dynamodb.stream_feed import StreamFeed

TABLES = Tables(Table("Things", partition="id"), Table("Quiet", partition="id", feed=False))


class Shard(NamedTuple):
    parent: str | None
    ended: bool
    sequences: list[int]


class Streams:
    """Stands in for both clients: one table with a stream of shards."""

    settings = DynamoSettings()

    def __init__(self, **shards: Shard) -> None:
        self.shards = shards
        self.expired = False
        self.trimmed = False

    def next_deadline(self) -> float:
        return 0.0

    async def call(self, operation: str, *, by: float, **members: Any) -> Any:
        return getattr(self, operation)(members)

    def describe_table(self, members: Any) -> Any:
        return {"Table": {"LatestStreamArn": f"arn:{members['TableName']}"}}

    def describe_stream(self, members: Any) -> Any:
        assert members["StreamArn"] == "arn:Things"
        names = list(self.shards)
        start = members.get("ExclusiveStartShardId")
        first = 0 if start is None else names.index(start) + 1
        shards = [
            {"ShardId": name, **({"ParentShardId": parent} if (parent := self.shards[name].parent) else {})}
            for name in names[first : first + 2]
        ]
        last = {"LastEvaluatedShardId": names[first + 1]} if first + 2 < len(names) else {}
        return {"StreamDescription": {"Shards": shards, **last}}

    def get_shard_iterator(self, members: Any) -> Any:
        if self.trimmed:
            raise StreamTrimmed
        return {"ShardIterator": f"{members['ShardId']}:{members.get('SequenceNumber', '0')}"}

    def get_records(self, members: Any) -> Any:
        if self.expired:
            self.expired = False
            raise IteratorExpired
        name, _, place = members["ShardIterator"].partition(":")
        shard = self.shards[name]
        rest = [sequence for sequence in shard.sequences if sequence > int(place)]
        found = rest[: members["Limit"]]
        answer: dict[str, Any] = {"Records": [_record(sequence) for sequence in found]}
        if len(rest) > len(found) or not shard.ended:
            answer["NextShardIterator"] = f"{name}:{found[-1] if found else place}"
        return answer


def _record(sequence: int) -> Any:
    image = {"id": {"S": "x"}, "comanda:p": {"S": "t\x1fx"}, "comanda:v": {"N": str(sequence)}}
    at = datetime.datetime.fromtimestamp(sequence, datetime.UTC)
    return {"dynamodb": {"SequenceNumber": str(sequence), "NewImage": image, "ApproximateCreationDateTime": at}}


def feed(streams: Any) -> StreamFeed:
    return StreamFeed(streams, streams, TABLES)


async def versions(feed: StreamFeed, after: str | None = None, limit: int = 2) -> tuple[list[int], str]:
    """The versions behind a position, and the position at their end."""
    found: list[int] = []
    while True:
        changes = await feed.read_changes(after, limit)
        found += [change.new.version for change in changes.changes if change.new is not None]
        after = changes.position
        if not changes.changes:
            return found, after


async def test_parents_are_read_before_their_children() -> None:
    streams = Streams(
        grandchild=Shard("child", False, [6, 7]),
        child=Shard("root", True, [4, 5]),
        root=Shard("trimmed", True, [1, 2, 3]),
    )
    found, position = await versions(feed(streams))
    assert found == [1, 2, 3, 4, 5, 6, 7]
    streams.shards["grandchild"].sequences.append(8)
    assert (await versions(feed(streams), position))[0] == [8]


async def test_children_of_a_split_are_found_when_their_parent_ends() -> None:
    streams = Streams(root=Shard(None, False, [1]))
    before, after = feed(streams), feed(streams)
    found, position = await versions(before)
    assert found == [1]
    streams.shards["root"] = Shard(None, True, [1, 2])
    streams.shards |= {"left": Shard("root", False, [3]), "right": Shard("root", False, [4])}
    assert (await versions(after, position))[0] == [2, 3, 4]


async def test_every_position_can_be_resumed() -> None:
    streams = Streams(root=Shard(None, True, [1, 2, 3]), child=Shard("root", False, [4, 5]))
    seen: list[int] = []
    position: str | None = None
    while True:
        changes = await feed(streams).read_changes(position, 1)
        if not changes.changes:
            break
        seen += [change.new.version for change in changes.changes if change.new is not None]
        position = changes.position
    assert seen == [1, 2, 3, 4, 5]


async def test_iterator_that_expired_is_taken_anew() -> None:
    streams = Streams(root=Shard(None, False, [1, 2]))
    one = feed(streams)
    found = await one.read_changes(None, 1)
    streams.expired = True
    assert (await versions(one, found.position))[0] == [2]


async def test_shard_that_is_forgotten_is_gone_unless_it_was_read() -> None:
    streams = Streams(root=Shard(None, True, [1]), child=Shard("root", False, [2]))
    half = (await feed(streams).read_changes(None, 1)).position
    found, whole = await versions(feed(streams))
    assert found == [1, 2]
    del streams.shards["root"]
    assert (await versions(feed(streams), whole))[0] == []
    assert (await versions(feed(streams), half))[0] == [2]
    streams.shards["later"] = Shard("child", False, [3])
    del streams.shards["child"]
    with pytest.raises(Gone):
        await feed(streams).read_changes(whole, 1)


async def test_trimmed_place_is_gone() -> None:
    streams = Streams(root=Shard(None, False, [1]))
    position = (await feed(streams).read_changes(None, 1)).position
    streams.trimmed = True
    with pytest.raises(Gone):
        await feed(streams).read_changes(position, 1)


async def test_newest_leaves_out_what_was_followed_by_another_shard() -> None:
    streams = Streams(root=Shard(None, True, [1]), child=Shard("root", False, [2]))
    one = feed(streams)
    newest = await one.newest_position()
    assert (await versions(one, newest))[0] == []
    streams.shards["child"].sequences.append(3)
    assert (await versions(one, newest))[0] == [3]


@pytest.mark.parametrize("position", ["", "x", "e30", "eyJUaGluZ3MiOnsicyI6IngifX0", "eyJRdWlldCI6e319"])
async def test_what_is_no_position_is_refused(position: str) -> None:
    with pytest.raises(InvalidParams):
        await feed(Streams()).read_changes(position, 1)
