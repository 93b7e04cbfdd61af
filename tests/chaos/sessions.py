"""Sessions with a real intake that do anything in any order, beside a model that knows each answer's kind."""

import itertools
import json
from collections import deque
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support.intake import IntakeProcess, Session

_CTRL_C = b"\xff\xf4"
_TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(str.strip)
_ORDER = st.fixed_dictionaries(
    {
        "cliente": _TEXT,
        "productos": st.lists(_TEXT | st.fixed_dictionaries({"producto": _TEXT}), min_size=1, max_size=3),
        "direccion": _TEXT,
    },
    optional={"prioridad": st.sampled_from(["alta", "normal", "baja"])},
)
_WRONG = st.sampled_from(
    [
        (b"{}", "invalid_params"),
        (b'{"cliente":"a","productos":[],"direccion":"d"}', "invalid_params"),
        (b'{"cliente":"a","productos":["x"],"direccion":"d","cliemte":1}', "invalid_params"),
        (b'{"cliente":"a","cliente":"b","productos":["x"],"direccion":"d"}', "invalid_json"),
        (b'{"cliente":"a","productos":["x"],"direccion":NaN}', "invalid_json"),
        (b'{"cliente":"\\ud800","productos":["x"],"direccion":"d"}', "invalid_json"),
        (b'{"cliente":"\xc3\x28","productos":["x"],"direccion":"d"}', "invalid_json"),
        (b'{"action":"pang"}', "unknown_action"),
        (b'{"action":"status","id":"x"}', "not_found"),
        (b'{"a":}', "invalid_json"),
        (b"[]", "invalid_params"),
        (b"stattus 7", "unknown_action"),
        (b"cancel", "invalid_params"),
    ]
)


class Sessions(RuleBasedStateMachine):
    """One connection to `intake`; what is to come back waits in `expected`."""

    intake: IntakeProcess

    @initialize()
    def connect(self) -> None:
        self.session: Session = self.intake.connect()
        # An answer that does not come is a finding too, and is not to take a minute each time.
        self.session.socket.settimeout(10)
        self.pending = b""
        self.expected: deque[str] = deque()
        self.ids: list[str] = []
        self.accepted_before = self.session.ask("stats")["stats"]["aceptados"]

    def _send(self, data: bytes, answer: str) -> None:
        self.pending += data
        self.expected.append(answer)

    @rule(order=_ORDER, indent=st.sampled_from([None, 0, 2]), end=st.sampled_from([b"\n", b"\r\n", b"\r\0", b" ", b""]))
    def order(self, order: dict[str, Any], indent: int | None, end: bytes) -> None:
        self._send(json.dumps(order, indent=indent, ensure_ascii=bool(indent)).encode() + end, "order")

    @rule(orders=st.lists(_ORDER, min_size=1, max_size=3))
    def orders(self, orders: list[dict[str, Any]]) -> None:
        self._send(json.dumps(orders).encode() + b"\n", f"orders {len(orders)}")

    @rule(wrong=_WRONG)
    def wrong(self, wrong: tuple[bytes, str]) -> None:
        document, code = wrong
        # A verb begins on a line of its own.
        self._send((b"\n" if document[:1] not in b"{[" else b"") + document + b"\n", code)

    @rule(verb=st.sampled_from([b"ping", b"  PING ", b'{"action":"ping"}']))
    def ping(self, verb: bytes) -> None:
        self._send(b"\n" + verb + b"\r\n", "pong")

    @rule()
    def interrupt(self) -> None:
        self._send(b'\n{"cliente":"half' + _CTRL_C + b"\n", "interrupted")

    @precondition(lambda self: self.expected)
    @rule(cuts=st.lists(st.integers(0, 10_000), max_size=6))
    def read(self, cuts: list[int]) -> None:
        data = self.pending + b"\n"
        places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
        for start, stop in itertools.pairwise(places):
            self.session.send(data[start:stop])
        self.pending = b""
        while self.expected:
            self._compare(self.expected.popleft(), self.session.read())

    def _compare(self, expected: str, answer: Any) -> None:
        match expected.split():
            case ["order"]:
                assert answer["success"], answer
                self.ids.append(answer["id"])
            case ["orders", number]:
                assert [member["success"] for member in answer] == [True] * int(number), answer
                self.ids += [member["id"] for member in answer]
            case ["pong"]:
                assert answer["pong"], answer
            case _:
                assert answer["error"] == expected, answer

    def teardown(self) -> None:
        """Whatever was accepted is stored once, and nothing else is."""
        if not hasattr(self, "session"):
            return
        with self.session:
            if self.expected:
                self.read([])
            assert len(set(self.ids)) == len(self.ids)
            for order_id in self.ids[-3:]:
                assert self.session.ask(f"status {order_id}")["pedido"]["id"] == order_id
            accepted = self.session.ask("stats")["stats"]["aceptados"]
            assert accepted - self.accepted_before == len(self.ids)
