"""Finding requests in a stream, however it is cut, spread or broken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidJson, TooLarge
from shared.wire.framing import BrokenRequest, Document, Frame, Framer, HttpRequestLine, TextLine
from shared.wire.telnet import Interrupt

IAC, DO, WILL, WONT, DONT, IP, SB, SE = b"\xff", b"\xfd", b"\xfb", b"\xfc", b"\xfe", b"\xf4", b"\xfa", b"\xf0"
TIMING_MARK = b"\x06"


def framer(document_bytes: int = 4096, depth: int = 8) -> Framer:
    return Framer(document_bytes=document_bytes, depth=depth)


def frames(data: bytes, **limits: int) -> list[Frame]:
    return framer(**limits).feed(data)


def in_bytes(data: bytes, **limits: int) -> list[Frame]:
    """The same stream, one byte at a time."""
    one = framer(**limits)
    found: list[Frame] = []
    for index in range(len(data)):
        found += one.feed(data[index : index + 1])
    return found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b'{"a":1}\n{"b":2}\n', [Document(b'{"a":1}'), Document(b'{"b":2}')], id="one a line"),
        pytest.param(
            b'{"a":1}{"b":2} [3]', [Document(b'{"a":1}'), Document(b'{"b":2}'), Document(b"[3]")], id="no newline"
        ),
        pytest.param(b'{\r\n "a":\r\n [1,\r\n 2]\r\n}\r\n', [Document(b'{\r\n "a":\r\n [1,\r\n 2]\r\n}')], id="pasted"),
        pytest.param(b'{"a":1}\r\0{"b":2}\r\0', [Document(b'{"a":1}'), Document(b'{"b":2}')], id="CR NUL"),
        pytest.param(b'\xef\xbb\xbf{"a":1}\n', [Document(b'{"a":1}')], id="byte-order mark"),
        pytest.param(b"\xef\xbb\xbfping\n", [TextLine("ping")], id="byte-order mark before a verb"),
        pytest.param(b'{"a":"}{\\"]\\\\"}', [Document(b'{"a":"}{\\"]\\\\"}')], id="brackets in text"),
        pytest.param(
            b'ping\r\n\r\n  status 7 \r\n{"a":1}stats\n',
            [TextLine("ping"), TextLine("status 7"), Document(b'{"a":1}'), TextLine("stats")],
            id="verbs",
        ),
        pytest.param(b"ping\r\0status 7\r\0", [TextLine("ping"), TextLine("status 7")], id="verbs ended by CR NUL"),
        pytest.param(b"GET /x HTTP/1.1\r\n", [HttpRequestLine("GET /x HTTP/1.1")], id="HTTP"),
        pytest.param(
            IAC + DO + b"\x01" + b'{"a"' + IAC + WILL + b"\x03" + b":1}\n",
            [Document(b'{"a":1}')],
            id="telnet negotiation",
        ),
        pytest.param(IAC + SB + b"\x18{[" + IAC + SE + b"ping\n", [TextLine("ping")], id="telnet sub-negotiation"),
    ],
)
def test_requests_are_found_whole_and_byte_by_byte(data: bytes, expected: list[Frame]) -> None:
    assert frames(data) == expected
    assert in_bytes(data) == expected


def test_telnet_negotiation_is_declined_once() -> None:
    one = framer()
    one.feed(IAC + DO + b"\x01" + IAC + WILL + b"\x03" + IAC + WONT + b"\x05" + IAC + DONT + b"\x05")
    assert one.take_replies() == IAC + WONT + b"\x01" + IAC + DONT + b"\x03"
    assert one.take_replies() == b""


@pytest.mark.parametrize("ctrl_c", [IAC + IP + IAC + DO + TIMING_MARK, b"\x03"])
def test_ctrl_c_drops_what_is_half_typed(ctrl_c: bytes) -> None:
    one = framer()
    found = one.feed(b'{"half": [' + ctrl_c + b'{"a":1}\n')
    assert isinstance(found[0], Interrupt)
    assert found[1:] == [Document(b'{"a":1}')]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b'{"a": "no end\n', id="text not closed"),
        pytest.param(b'{"cliente": "a, "productos": ["x"]}\n', id="quote missing"),
        pytest.param(b'{"a": [1}\n', id="wrong bracket"),
        pytest.param(b'{"a": "b" {"c": 1}}\n', id="comma missing"),
        pytest.param(b'{\n  "a": "no end,\n  "b": [\n    1\n  ]\n}\n', id="pasted with a quote missing"),
        pytest.param(b'{"a":' * 9 + b"1" + b"}" * 9 + b"\n", id="too deep"),
    ],
)
def test_broken_document_costs_one_error_and_the_session_goes_on(broken: bytes) -> None:
    for found in (frames(broken + b'{"b":2}\nping\n'), in_bytes(broken + b'{"b":2}\nping\n')):
        assert isinstance(found[0], BrokenRequest)
        assert isinstance(found[0].error, InvalidJson)
        assert found[1:] == [Document(b'{"b":2}'), TextLine("ping")]


def test_document_that_was_never_closed_ends_where_the_next_begins() -> None:
    found = frames(b'{"a": "x", "b": [1, 2]\n{"b":2}\n')
    assert isinstance(found[0], BrokenRequest)
    assert (found[0].error.line, found[0].error.column) == (2, 1)
    assert found[1:] == [Document(b'{"b":2}')]


def test_objects_at_the_start_of_a_line_within_an_array_are_not_mistaken() -> None:
    assert frames(b'[\n{"a":1},\n{"b":2}\n]\n') == [Document(b'[\n{"a":1},\n{"b":2}\n]')]
    assert frames(b'{"a":\n{"b":2}}\n') == [Document(b'{"a":\n{"b":2}}')]


@pytest.mark.parametrize("data", [b'{"a":"' + b"x" * 200, b"x" * 200, b'{"a":"' + b"x" * 200 + b'"}'])
def test_what_is_too_large_is_fatal(data: bytes) -> None:
    for found in (frames(data, document_bytes=100), in_bytes(data, document_bytes=100)[:1]):
        assert isinstance(found[0], BrokenRequest)
        assert isinstance(found[0].error, TooLarge)
        assert found[0].fatal


def test_one_shot_clients_are_told_by_the_missing_newline() -> None:
    one = framer()
    one.feed(b'{"a":1}')
    assert one.unterminated
    one.feed(b"\r\n")
    assert not one.unterminated
    one.feed(b"ping")
    assert not one.unterminated


def test_end_of_stream_completes_a_verb_and_tells_of_a_cut_document() -> None:
    one = framer()
    one.feed(b"ping")
    assert one.end_stream() == [TextLine("ping")]
    one.feed(b'{"a":')
    (found,) = one.end_stream()
    assert isinstance(found, BrokenRequest)
    assert not found.fatal
    assert one.end_stream() == []


def test_finish_gives_back_what_lies_behind_the_request() -> None:
    one = framer()
    one.feed(b'{"a":')
    assert one.is_midway
    assert one.finish_request(b'1}\n{"b":2}\n') == ([Document(b'{"a":1}')], b'\n{"b":2}\n')
    assert not one.is_midway


@pytest.mark.parametrize("start", [b'{"a":"', b'{"a":[', b"verb "])
def test_bytes_one_at_a_time_are_each_looked_at_once(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step is given and what is held stays in proportion to what comes in: nothing is scanned again."""
    one = framer(document_bytes=10**6)
    seen = 0
    step = Framer._scan_step

    def counted(self: Framer, data: bytes, position: int) -> int:
        nonlocal seen
        seen += len(data) - position
        return step(self, data, position)

    monkeypatch.setattr(Framer, "_scan_step", counted)
    one.feed(start)
    for _ in range(20_000):
        one.feed(b"1")
    assert seen <= 2 * (20_000 + len(start))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=5)
REQUESTS = st.one_of(
    st.tuples(OBJECTS, st.sampled_from([None, 1, 4]), st.booleans()).map(
        lambda made: json.dumps(made[0], indent=made[1], ensure_ascii=made[2])
    ),
    st.sampled_from(["ping", "stats", "status 7", "HELP order"]),
)


@given(
    st.lists(REQUESTS, max_size=8),
    st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n"]),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_any_cut_of_a_stream_gives_the_same_requests(texts: list[str], end: bytes, cuts: list[int]) -> None:
    data = b"".join(text.encode("utf-8", "replace") + end for text in texts)
    whole = frames(data, document_bytes=10**6, depth=64)
    assert len(whole) == len(texts)
    assert not any(isinstance(frame, BrokenRequest) for frame in whole)
    one = framer(document_bytes=10**6, depth=64)
    found: list[Frame] = []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        found += one.feed(data[start:stop])
    assert found == whole


@given(st.binary(max_size=200))
def test_no_bytes_whatever_break_the_scanner(data: bytes) -> None:
    one = framer(document_bytes=100)
    found = one.feed(data) + one.end_stream()
    assert all(len(frame.data) <= 100 for frame in found if isinstance(frame, Document))
    assert one.end_stream() == []


@given(OBJECTS, st.integers(0, 100), st.binary(min_size=1, max_size=3))
def test_corrupting_one_line_never_costs_the_lines_behind_its_neighbour(
    document: dict[str, object], place: int, dirt: bytes
) -> None:
    line = json.dumps(document).encode()
    place %= len(line) + 1
    dirty = line[:place] + dirt + line[place:]
    later = b'{"later":%d}'
    found = framer(document_bytes=10**6).feed(dirty + b"\n" + b"".join(later % number + b"\n" for number in range(20)))
    assert found[-1:] == [Document(later % 19)] or IAC in dirt or dirt.count(b"[") + dirt.count(b"{") > 0
