"""What is taken by the block, and what has to be looked at closely."""

import msgspec
import pytest

from services.persistence.parser import RecordsParser
from shared.domain.records import Check, Condition, Delete, Put, Update
from shared.server.actions import ParsedRequest

PARSER = RecordsParser(depth=32)
_ACTIONS = [
    Put("Stock", {"store": "A", "item": "x", "count": 0, "of": [{"a": 1}, ["b"]]}, Condition(version=0)),
    Update("Stock", {"store": "A", "item": "y"}, set={"cause": None}, add={"count": -1}, when=Condition(exists=False)),
    Update("Stock", {"store": "A", "item": "z"}, remove=["cause"], when=Condition(absent=["gone"], equal={"n": 0})),
    Delete("Stock", {"store": "A", "item": "v"}),
    Check("Stock", {"store": "A", "item": "w"}, Condition(at_least={"count": 1})),
]


def test_requests_with_actions_are_taken_by_the_block() -> None:
    document = msgspec.json.encode({"action": "transact", "actions": _ACTIONS, "request_id": "a"})
    found = PARSER.parse_block(document + b"\n" + b'{"action":"ping"}\n')
    assert found is not None
    assert len(found) == 2
    assert isinstance(found[0], ParsedRequest)
    assert found[0].request.actions == _ACTIONS


@pytest.mark.parametrize(
    "line",
    [
        b'{"table": "Stock", "action": "get_item", "key": {"a": "\\":"}}',
        b'{"action":"put_item","table":"Stock","item":{"a":' + b"[" * 30 + b"1" + b"]" * 30 + b"}}",
        b'{"action":"put_item","table":"Stock","item":{"a":1.50,"b":1e5},"trace":"t","user":"ana"}',
    ],
)
def test_valid_requests_are_taken_however_they_are_written(line: bytes) -> None:
    assert PARSER.parse_block(line + b"\n") is not None


@pytest.mark.parametrize(
    "line",
    [
        b'{"action":"transact","actions":[{"do":"delete","table":"Stock","key":{"a":1,"a":2}}]}',
        b'{"action":"transact","actions":[{"do":"delete","table":"Stock","table":"Stock","key":{}}]}',
        b'{"action":"transact","actions":[{"do":"check","table":"Stock","key":{},"when":{"version":1,"version":1}}]}',
        b'{"action":"get_item","table":"Stock","key":{"a":"\\u0022:","b":1,"b":1}}',
        b'{"action":"get_item","table":"Stock","key":{"a":"\\"\\u003A","b":1,"b":1}}',
        b'{"action":"put_item","table":"Stock","item":{"a":' + b"[" * 31 + b"1" + b"]" * 31 + b"}}",
        b'{"action":"put_item","table":"Stock","item":{"a":{"b":1,"b":1}}}',
        b'{"action":"get_item","table" :"Stock","table":"Stock","key":{"a":1}}',
        b'{"action":"get_item","table":"Stock","key":{"a"\t:1,"a":2}}',
        b'{"action":"nothing"}',
    ],
)
def test_what_stands_there_twice_or_looks_like_it_is_looked_at_closely(line: bytes) -> None:
    assert PARSER.parse_block(line + b"\n") is None
