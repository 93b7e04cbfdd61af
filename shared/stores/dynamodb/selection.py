"""Translation of queries to DynamoDB: key ranges, start keys, and positions of items."""

from typing import Any, NamedTuple, Self

from shared.domain.records import Table
from shared.stores.dynamodb.items import PARTITION, SORT, Raw, index_partition, index_sort, raw_key, text_member
from shared.stores.keys import ALL, key_text, partition_key, partition_text, prefix_end
from shared.stores.ports.records import ItemPosition, RecordQuery


class DynamoSelection(NamedTuple):
    """A query of a table; `partition` and `sort` name the members of the queried key."""

    query: RecordQuery
    table: Table
    partition: str
    sort: str
    value: str
    """The value of the partition."""
    low: str | None
    high: str | None

    @classmethod
    def of_query(cls, query: RecordQuery, table: Table) -> Self:
        """Returns the selection of a query. Raises InvalidParams for an unknown index."""
        low = None if query.low is None else key_text(query.low)
        high = None if query.high is None else key_text(query.high)
        if query.prefix:
            # DynamoDB allows one condition on the sort key, so a prefix becomes a range.
            low = max(query.prefix, low or "")
            end = prefix_end(query.prefix)
            high = min(end, high or end) if end else high
        if query.index is None:
            value = partition_key(query.tenant, query.partition)
            if table.own_key:
                return cls(query, table, table.partition, SORT, partition_text(value), low, high)
            return cls(query, table, PARTITION, SORT, value, low, high)
        index = table.get_index(query.index)
        value = partition_key(query.tenant, ALL if index.partition is None else query.partition)
        return cls(query, table, index_partition(index.name), index_sort(index.name), value, low, high)

    @property
    def is_empty(self) -> bool:
        """Whether the range is empty; DynamoDB would refuse it."""
        return self.low is not None and self.high is not None and self.low > self.high

    def includes(self, raw: Raw) -> bool:
        """Whether an item within the bounds matches the query; the end of a prefix does not."""
        return not self.query.prefix or text_member(raw, self.sort).startswith(self.query.prefix)

    def query_request(self, prefix: str, limit: int, start: Raw | None) -> dict[str, Any]:
        """Returns the members of a call; `prefix` is the prefix of all table names."""
        names, values = {"#p": self.partition}, {":p": {"S": self.value}}
        conditions = ["#p = :p"]
        if self.low is not None:
            values[":l"] = {"S": self.low}
        if self.high is not None:
            values[":h"] = {"S": self.high}
        if self.low is not None and self.high is not None:
            conditions.append("#s BETWEEN :l AND :h")
        elif self.low is not None:
            conditions.append("#s >= :l")
        elif self.high is not None:
            conditions.append("#s <= :h")
        if len(conditions) > 1:
            names["#s"] = self.sort
        request: dict[str, Any] = {
            "TableName": prefix + self.table.name,
            "KeyConditionExpression": " AND ".join(conditions),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": not self.query.descending,
            "ConsistentRead": self.query.index is None,
            "Limit": limit,
        }
        if self.query.index is not None:
            request["IndexName"] = self.query.index
        if start is not None:
            request["ExclusiveStartKey"] = start
        return request

    def start_key(self) -> Raw | None:
        """Returns the key after which the page begins."""
        after = self.query.after
        if after is None:
            return None
        start = raw_key(self.table, after.partition, after.sort)
        if self.query.index is not None:
            start |= {self.partition: {"S": self.value}, self.sort: {"S": after.index_sort}}
        return start

    def position_of(self, raw: Raw) -> ItemPosition:
        """Returns the position of an item."""
        return ItemPosition(
            text_member(raw, PARTITION),
            text_member(raw, SORT),
            "" if self.query.index is None else text_member(raw, self.sort),
        )
