"""The change feed from DynamoDB Streams: each change of each table once, in order for each item.

A stream consists of shards. When a shard ends, an item's changes continue in one of its child shards, so a child is
read after its parent is finished. A position has, for each table, the progress in each shard that is still listed.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
"""

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from shared.domain.errors import Gone, InvalidParams, StoreError
from shared.domain.tables import Tables
from shared.stores.dynamodb.client import DynamoClient, IteratorExpired, StreamTrimmed
from shared.stores.dynamodb.items import MOVED, PARTITION, RENAMED, WRITE, record_of, text_member
from shared.stores.keys import tenant_of
from shared.stores.ports.records import PAGE_BYTES, Change, Changes

_BEGINNING = ""
_FINISHED = "!"
# The shards of a stream may be listed ten times a second in total: https://docs.aws.amazon.com/amazondynamodb/latest/
# developerguide/ServiceQuotas.html
_SHARDS_SECONDS = 10.0
_ITERATORS = 1000
_PAGE = 1000

_Places = dict[str, str]
"""The progress in each shard of a table: a sequence number, its beginning, or its end."""


class _ShardPage(NamedTuple):
    """Records of one shard, and the place after them."""

    records: list[Any]
    place: str


class _Shards(NamedTuple):
    """The shards of a table with their parents, and the time of listing in the loop's time."""

    parents: dict[str, str | None]
    at: float


class StreamFeed:
    """Reads the streams of all tables with a feed. `tables` and `streams` are clients of the two services."""

    def __init__(self, tables: DynamoClient, streams: DynamoClient, declared: Tables) -> None:
        self._tables = tables
        self._streams = streams
        self._names = [table.name for table in declared.values() if table.feed]
        self._expiring = {table.name for table in declared.values() if table.expires is not None}
        self._arns: dict[str, str] = {}
        self._shards: dict[str, _Shards] = {}
        # Iterators also advance over parts of a shard without records, which positions cannot express.
        self._iterators: OrderedDict[tuple[str, str, str], str] = OrderedDict()
        self._walked: str | None = None
        self._walking = asyncio.Lock()

    async def read_changes(self, after: str | None, limit: int) -> Changes:
        """See `RecordStore.read_changes`; with many shards a page may have more than `limit` changes."""
        position = {name: dict[str, str]() for name in self._names} if after is None else self._decode_position(after)
        by = self._streams.next_deadline()
        while True:
            open_shards = [
                (name, shard) for name in self._names for shard in await self._readable_shards(name, position[name], by)
            ]
            share = max(1, limit // max(1, len(open_shards)))
            pages = await asyncio.gather(
                *(self._read_shard(name, shard, position[name][shard], share, by) for name, shard in open_shards)
            )
            found: list[Change] = []
            ended = False
            size = 0
            for (name, shard), page in zip(open_shards, pages, strict=True):
                if size > PAGE_BYTES:
                    # The records of the remaining shards are read again.
                    break
                size += sum(int(record["dynamodb"].get("SizeBytes", 0)) for record in page.records)
                for record in page.records:
                    if (change := _decode_change(name, record)) is not None:
                        found += _split_change(change) if name in self._expiring else [change]
                position[name][shard] = page.place
                # The records may contain no reported change.
                ended = ended or page.place == _FINISHED or bool(page.records)
            if found or not ended:
                return Changes(found, _encode_position(position))

    async def newest_position(self) -> str:
        """See `RecordStore.newest_position`: reads to the end from the last position of this process."""
        async with self._walking:
            if self._walked is None:
                self._walked = await self._recent_position()
            while True:
                try:
                    found = await self.read_changes(self._walked, _PAGE)
                except Gone:
                    found = Changes([], await self._recent_position())
                self._walked = found.position
                if not found.changes:
                    return self._walked

    async def _recent_position(self) -> str:
        """Returns the position after every shard that has child shards."""
        by = self._streams.next_deadline()
        position: dict[str, _Places] = {}
        for name in self._names:
            parents = (await self._list_shards(name, by, fresh=True)).parents
            followed = set(parents.values())
            position[name] = {shard: _FINISHED if shard in followed else _BEGINNING for shard in parents}
        return _encode_position(position)

    # Positions.

    def _decode_position(self, position: str) -> dict[str, _Places]:
        try:
            found = msgspec.json.decode(
                base64.urlsafe_b64decode(position + "=" * (-len(position) % 4)), type=dict[str, _Places]
            )
        except (binascii.Error, ValueError):
            found = {}
        places = [place for shards in found.values() for place in shards.values()]
        if not found or not found.keys() <= set(self._names) or not all(map(_is_place, places)):
            raise InvalidParams("after is not a position", field="after", hint="take the one of an earlier answer")
        return {name: found.get(name, {}) for name in self._names}

    async def _readable_shards(self, name: str, places: _Places, by: float) -> list[str]:
        """Returns the shards to read now; updates `places` to the listed shards. Raises Gone."""
        listed = await self._list_shards(name, by, fresh=False)
        if any(place == _FINISHED and shard not in listed.parents.values() for shard, place in places.items()):
            # The children of an ended shard are listed after a short delay.
            listed = await self._list_shards(name, by, fresh=True)
        for shard, place in list(places.items()):
            if shard not in listed.parents:
                if place != _FINISHED:
                    raise _gone_error()
                del places[shard]
        for shard in listed.parents:
            places.setdefault(shard, _BEGINNING)
        return [
            shard
            for shard, parent in listed.parents.items()
            if places[shard] != _FINISHED and (parent is None or places[parent] == _FINISHED)
        ]

    # The streams.

    async def _list_shards(self, name: str, by: float, *, fresh: bool) -> _Shards:
        now = asyncio.get_running_loop().time()
        known = self._shards.get(name)
        if known is not None and now - known.at < (1.0 if fresh else _SHARDS_SECONDS):
            return known
        arn = await self._stream_arn(name, by)
        parents: dict[str, str | None] = {}
        more: dict[str, str] = {}
        while True:
            answer = await self._streams.call("describe_stream", by=by, StreamArn=arn, **more)
            description = answer["StreamDescription"]
            for shard in description["Shards"]:
                parents[shard["ShardId"]] = shard.get("ParentShardId")
            if (last := description.get("LastEvaluatedShardId")) is None:
                break
            more = {"ExclusiveStartShardId": last}
        # A parent that is no longer listed has no records left.
        listed = {shard: parent if parent in parents else None for shard, parent in parents.items()}
        self._shards[name] = _Shards(listed, now)
        return self._shards[name]

    async def _stream_arn(self, name: str, by: float) -> str:
        if name not in self._arns:
            answer = await self._tables.call("describe_table", by=by, TableName=self._tables.settings.prefix + name)
            arn = answer["Table"].get("LatestStreamArn")
            if arn is None:
                raise StoreError(f"the table {name} has no stream", hint="make the tables with --create-tables")
            self._arns[name] = arn
        return self._arns[name]

    async def _read_shard(self, name: str, shard: str, place: str, limit: int, by: float) -> _ShardPage:
        """Reads the records after a place. Raises Gone."""
        while True:
            iterator = self._iterators.pop((name, shard, place), None) or await self._shard_iterator(
                name, shard, place, by
            )
            try:
                answer = await self._streams.call("get_records", by=by, ShardIterator=iterator, Limit=limit)
            except IteratorExpired:
                continue
            except StreamTrimmed:
                raise _gone_error() from None
            records = answer["Records"]
            behind = str(records[-1]["dynamodb"]["SequenceNumber"]) if records else place
            following = answer.get("NextShardIterator")
            if following is None:
                return _ShardPage(records, _FINISHED)
            self._iterators[name, shard, behind] = following
            if len(self._iterators) > _ITERATORS:
                self._iterators.popitem(last=False)
            return _ShardPage(records, behind)

    async def _shard_iterator(self, name: str, shard: str, place: str, by: float) -> str:
        where = {"ShardIteratorType": "TRIM_HORIZON"}
        if place != _BEGINNING:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": place}
        arn = await self._stream_arn(name, by)
        try:
            answer = await self._streams.call("get_shard_iterator", by=by, StreamArn=arn, ShardId=shard, **where)
        except StreamTrimmed:
            raise _gone_error() from None
        return str(answer["ShardIterator"])


def _decode_change(table: str, record: Mapping[str, Any]) -> Change | None:
    """Returns the change of a record of a stream; None if the item only got another key or came from another store."""
    images = record["dynamodb"]
    old, new = images.get("OldImage") or None, images.get("NewImage") or None
    latest = new or old or {}
    before, behind = record_of(old), record_of(new)
    write = text_member(latest, WRITE)
    if (old is None and write == MOVED) or write.startswith(RENAMED):
        return None
    if before is None and behind is None:
        # The deletion of the mark of a removed item.
        return None
    at: datetime = images["ApproximateCreationDateTime"]
    return Change(table, tenant_of(text_member(latest, PARTITION)), before, behind, int(at.timestamp()) * 1_000_000)


def _split_change(change: Change) -> list[Change]:
    """Returns the removal of an expired item and the insertion of the next one if a change is both."""
    old, new = change.old, change.new
    if old is None or new is None or new.version == old.version + 1:
        return [change]
    return [change._replace(new=None), change._replace(old=None)]


def _encode_position(position: Mapping[str, _Places]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def _is_place(place: str) -> bool:
    return place in (_BEGINNING, _FINISHED) or (place.isascii() and place.isdigit())


def _gone_error() -> Gone:
    return Gone("the changes behind this position are older than a day", hint="read the tables anew")
