"""The state machine of a connection, without transport, event loop and time."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.net.connection_state import CLOSED, CLOSING, ENDED, FINISHING, HALF_CLOSED, OPEN, ConnectionState, Phase
from shared.net.limits import LimitSettings
from shared.wire.framing import Frame, HttpRequestLine, TextLine

LIMITS = LimitSettings(max_in_flight=3, one_shot_seconds=1.0, piped_seconds=10.0, stall_seconds=60.0)
PING = b'{"action":"ping"}'


class Peer:
    """A connection with a service that takes lines that begin with `o` as blocks, and a clock of the test."""

    def __init__(self, *, can_half_close: bool = True) -> None:
        self.now = 100.0
        self.taken: list[Any] = []
        self.sent = b""
        self.state = ConnectionState(
            limits=LIMITS.build_limits(document_bytes=1000, open_files=1000),
            clock=lambda: self.now,
            take_block=self.take_block,
            take_frame=self.take_frame,
            send=self.send,
            can_half_close=can_half_close,
            last_heard=self.now,
        )

    def take_block(self, block: bytes) -> int:
        lines = block.decode(errors="replace").splitlines()
        if not all(line.startswith("o") for line in lines):
            return 0
        self.taken += lines
        return len(lines)

    def take_frame(self, frame: Frame) -> None:
        self.taken.append(frame.text if isinstance(frame, TextLine) else frame)

    def send(self, data: bytes) -> None:
        self.sent += data

    def answer_all(self) -> None:
        self.state.count_answers(self.state.in_flight)


def reach(phase: Phase) -> ConnectionState:
    """Returns a connection in this phase, with a request in flight where the phase may have some."""
    state = Peer().state
    if phase is not ENDED:
        state.receive_data(b"o1\n")
    if phase is HALF_CLOSED:
        state.rest = b"o2\n"
    if phase in (HALF_CLOSED, CLOSING):
        state.receive_end()
    elif phase in (FINISHING, ENDED):
        state.finish()
    elif phase is CLOSED:
        state.close()
    assert state.phase is phase
    return state


@pytest.mark.parametrize(
    ("phase", "after_end", "after_finish", "after_answer", "after_close"),
    [
        # The end of the peer's side finishes the connection, unless input waits.
        (OPEN, CLOSING, FINISHING, OPEN, CLOSED),
        (HALF_CLOSED, HALF_CLOSED, CLOSING, HALF_CLOSED, CLOSED),
        (FINISHING, CLOSING, FINISHING, ENDED, CLOSED),
        (CLOSING, CLOSING, CLOSING, CLOSED, CLOSED),
        (ENDED, CLOSED, ENDED, ENDED, CLOSED),
        (CLOSED, CLOSED, CLOSED, CLOSED, CLOSED),
    ],
)
def test_table_of_phases(
    phase: Phase, after_end: Phase, after_finish: Phase, after_answer: Phase, after_close: Phase
) -> None:
    states = [reach(phase) for _ in range(4)]
    states[0].receive_end()
    states[1].finish()
    states[2].count_answers(states[2].in_flight)
    states[3].close()
    assert [state.phase for state in states] == [after_end, after_finish, after_answer, after_close]


def test_over_tls_the_connection_closes_instead_of_ending() -> None:
    state = Peer(can_half_close=False).state
    state.receive_data(b"o1\n")
    state.finish()
    assert state.phase is CLOSING
    state.count_answers(1)
    assert state.phase is CLOSED


def test_nothing_is_taken_after_a_frame_that_ends_the_stream() -> None:
    peer = Peer()
    assert peer.state.receive_data(b"GET / HTTP/1.1\n" + b"ping\n" * 1000)
    assert (peer.taken, peer.state.phase) == ([HttpRequestLine("GET / HTTP/1.1")], FINISHING)


def test_the_end_of_the_peer_completes_a_line() -> None:
    peer = Peer()
    peer.state.receive_data(b"ping")
    assert peer.taken == []
    peer.state.receive_end()
    assert (peer.taken, peer.state.phase) == (["ping"], CLOSING)


def test_input_beyond_the_limit_waits_for_answers() -> None:
    peer = Peer()
    assert peer.state.receive_data(b"a\nb\nc\n")
    assert not peer.state.wants_input
    peer.state.receive_data(b"d\n")
    assert (peer.taken, peer.state.wake_up_time) == (["a", "b", "c"], None)
    peer.state.count_answers(1)
    assert (peer.state.wants_input, peer.state.wake_up_time) == (False, 0.0)
    peer.state.wake_up()
    assert (peer.taken, peer.state.wants_input) == (["a", "b", "c", "d"], False)
    peer.answer_all()
    assert peer.state.wants_input


def test_a_large_input_is_taken_in_slices_of_time() -> None:
    peer = Peer()
    peer.state.take_frame = lambda _: setattr(peer, "now", peer.now + 1)
    assert peer.state.receive_data(b"ping\n" + b" " * 3000)
    assert (peer.state.in_flight, len(peer.state.rest)) == (1, 3005 - 1024)
    assert (peer.state.wants_input, peer.state.wake_up_time) == (False, 0.0)
    peer.state.wake_up()
    assert (peer.state.rest, peer.state.wants_input) == (b"", True)


def test_a_one_shot_client_is_finished_once_it_is_answered() -> None:
    peer = Peer()
    assert peer.state.receive_data(PING)
    assert peer.state.wake_up_time is None
    assert peer.state.count_answers(1)
    assert peer.state.wake_up_time == peer.now + 1
    peer.state.wake_up()
    assert peer.state.phase is OPEN
    peer.now += 1
    peer.state.wake_up()
    assert peer.state.phase is ENDED


@pytest.mark.parametrize("observing", [True, False])
def test_an_observer_and_a_client_that_sends_more_are_no_one_shot_clients(observing: bool) -> None:
    peer = Peer()
    peer.state.receive_data(PING)
    peer.answer_all()
    if observing:
        peer.state.observing = True
    else:
        peer.state.receive_data(b"\n")
    peer.now += 5
    peer.state.wake_up()
    assert (peer.state.phase, peer.state.wake_up_time) == (OPEN, None)


@pytest.mark.parametrize(
    ("data", "seconds", "message"),
    [
        (b"", 300.0, b"for 300 s"),
        # Nobody reads an error behind a pipe.
        (b"o1\n", 10.0, b""),
        (b'{"action"', 60.0, b"for 60 s in the middle of a request"),
    ],
)
def test_silence_finishes_a_connection(data: bytes, seconds: float, message: bytes) -> None:
    peer = Peer()
    if data:
        peer.state.receive_data(data)
        if peer.state.in_flight:
            peer.state.time_out(peer.now + 1000)
        peer.answer_all()
    peer.state.time_out(peer.now + seconds)
    assert (peer.state.phase, peer.sent) == (OPEN, b"")
    peer.state.time_out(peer.now + seconds + 1)
    assert peer.state.phase is ENDED
    assert message in peer.sent
    assert bool(message) is bool(peer.sent)


def test_a_peer_that_does_not_read_stalls() -> None:
    peer = Peer()
    peer.state.unread_since = peer.now
    assert not peer.state.wants_input
    assert not peer.state.is_stalled(peer.now + 60)
    peer.state.time_out(peer.now + 1000)
    assert (peer.state.phase, peer.state.is_stalled(peer.now + 61)) == (OPEN, True)


def test_a_peer_that_does_not_end_its_side_stalls() -> None:
    peer = Peer()
    assert not peer.state.is_stalled(peer.now + 1000)
    peer.state.finish()
    assert not peer.state.is_stalled(peer.now + 60)
    assert peer.state.is_stalled(peer.now + 61)


def test_telnet_negotiation_is_answered() -> None:
    peer = Peer()
    peer.state.receive_data(b"\xff\xfd\x06ping\r\n")
    assert (peer.sent[:1], peer.taken) == (b"\xff", ["ping"])


class Protocol:
    """Reports events as the protocol does, and keeps what it has last done with its transport."""

    def __init__(self, *, can_half_close: bool) -> None:
        self.peer = Peer(can_half_close=can_half_close)
        self.state = self.peer.state
        self.reading, self.timer = True, self.state.wake_up_time

    def report(self, step: str) -> bool:
        """Reports an event, if it can happen. Returns whether the protocol looks at the state afterwards."""
        state, is_over = self.state, self.state.phase in (HALF_CLOSED, CLOSING, CLOSED)
        match step:
            case "answer":
                return state.in_flight > 0 and (state.count_answers(1) or not self.reading)
            case "end" if not is_over:
                state.receive_end()
            case "wake" if self.timer is not None and self.timer <= self.peer.now:
                self.timer = None
                state.wake_up()
            case "finish" | "close":
                getattr(state, step)()
            case "read" | "unread":
                state.unread_since = self.peer.now if step == "unread" else None
            case "silence":
                state.time_out(self.peer.now + 1000)
            case "wait":
                self.peer.now += 0.6
                return False
            case _:
                # Also input that was on its way when reading was paused.
                return not is_over and state.receive_data(step.encode())
        return True


_INPUTS = ["o\n", "v\n", "{}", "\n", "{", "o", "v\n" + " " * 1024 + "v\n" * 7]
_EVENTS = ["answer", "read", "unread", "wake", "wait", "end", "finish", "silence", "close"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(_INPUTS + _EVENTS[:5]) | st.sampled_from(_EVENTS), max_size=40), st.booleans())
def test_random_walk(steps: list[str], can_half_close: bool) -> None:
    """Whatever happens, the phases follow their order, and the protocol learns of all that it has to do."""
    protocol = Protocol(can_half_close=can_half_close)
    state, taken = protocol.state, protocol.peer.taken
    for step in steps:
        before, took = state.phase, len(taken)
        looks = protocol.report(step)
        if looks:
            protocol.reading, protocol.timer = state.wants_input, state.wake_up_time
        assert list(Phase).index(before) <= list(Phase).index(state.phase)
        assert len(taken) == took or before in (OPEN, HALF_CLOSED)
        assert state.takes_requests or not state.rest
        assert state.in_flight or state.phase not in (FINISHING, CLOSING)
        assert state.wants_input or state.is_busy or state.wake_up_time is not None
        # Where the protocol does not look, nothing has changed; a timer that is no longer due does no harm.
        assert looks or state.phase is before
        assert protocol.reading is state.wants_input
        assert state.wake_up_time in (None, protocol.timer)


@given(st.lists(st.sampled_from("ov"), max_size=20), st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_every_request_is_taken_once_and_in_order(kinds: list[str], cuts: list[int]) -> None:
    lines = [f"{kind}{number}" for number, kind in enumerate(kinds)]
    stream = "".join(f"{line}\n" for line in lines).encode()
    peer = Peer()
    for cut in itertools.cycle(cuts):
        if not (stream or peer.state.rest or peer.state.in_flight):
            break
        # Some of it was on its way when reading was paused.
        if stream and (peer.state.wants_input or cut % 3):
            peer.state.receive_data(stream[:cut])
            stream = stream[cut:]
        if peer.state.wake_up_time == 0.0:
            peer.state.wake_up()
        if peer.state.in_flight and (cut % 2 or not stream or not peer.state.wants_input):
            peer.state.count_answers(1)
    peer.state.receive_end()
    assert peer.taken == lines
    assert peer.state.phase is CLOSED
