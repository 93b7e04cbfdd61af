"""The state of one connection, without I/O: bytes become requests, within limits.

Its protocol reports events, and then does with its transport what `phase`, `wants_input` and `wake_up_time` say.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.domain.errors import Timeout
from shared.net.limits import Limits
from shared.wire.framing import Frame, Framer, ends_stream
from shared.wire.replies import encode_line, error_reply

# Input other than blocks is framed in pieces of this size, for at most so long at a time: other connections get their
# turn in between, and the requests of a piece cannot need memory without bound.
_PIECE_BYTES = 1024
_SLICE_SECONDS = 0.005
_NEWLINE = 0x0A


class Phase(enum.Enum):
    """Phases of a connection."""

    OPEN = "requests are taken"
    HALF_CLOSED = "the peer has ended its side; requests that it sent before are still taken"
    FINISHING = "input is discarded; requests in flight get their answers, then the server ends its side"
    CLOSING = "input is discarded; requests in flight get their answers, then the connection closes"
    ENDED = "the server has ended its side, and waits for the end of the peer's"
    CLOSED = "the connection is gone, or closes once everything is sent"


# Python 3.11 takes long to look up a member of an enum.
OPEN, HALF_CLOSED, FINISHING, CLOSING, ENDED, CLOSED = Phase

# The transitions of each event: a phase without an entry stays. Also, `close` ends every phase.
PEER_ENDS = {OPEN: HALF_CLOSED, FINISHING: CLOSING, ENDED: CLOSED}
FINISH = {OPEN: FINISHING, HALF_CLOSED: CLOSING}
ALL_ANSWERED = {FINISHING: ENDED, CLOSING: CLOSED}


def _ignore(_: object) -> Any:
    """Replaces the callables of a closed connection, since they would keep it in memory."""


@dataclass(slots=True, eq=False, kw_only=True)
class ConnectionState:
    """The state machine of a connection.

    Without `can_half_close`, as over TLS, the end of the server's side is the end of the connection.
    """

    limits: Limits
    clock: Callable[[], float]
    take_block: Callable[[bytes], int]
    """Takes complete lines; returns the number of requests in them, or 0 to decline."""
    take_frame: Callable[[Frame], None]
    """Takes one request."""
    send: Callable[[bytes], None]
    """Sends what answers no request."""
    can_half_close: bool
    last_heard: float
    """The time of the last input, at first of the connection."""
    phase: Phase = OPEN
    in_flight: int = 0
    """Number of requests that are not answered yet."""
    observing: bool = False
    """Whether the peer waits for events: it may then stay silent without a time-out."""
    unread_since: float | None = None
    """The time since which the peer has more to read than it may; None if it has not."""
    piped: bool | None = None
    """Whether the peer has sent everything at once, as a pipe does; None as long as it has sent nothing."""
    framer: Framer | None = None
    rest: bytes = b""
    """Input that is not framed yet, for lack of time or room."""

    # What the protocol does next.

    @property
    def takes_requests(self) -> bool:
        """Whether requests are still taken."""
        return self.phase is OPEN or self.phase is HALF_CLOSED

    @property
    def is_busy(self) -> bool:
        """Whether the peer has to take answers before it may ask for more."""
        return self.unread_since is not None or self.in_flight >= self.limits.in_flight

    @property
    def wants_input(self) -> bool:
        """Whether to read: also what is discarded, since closing on unread bytes would reset the connection."""
        return not self.takes_requests or not (self.rest or self.is_busy)

    @property
    def wake_up_time(self) -> float | None:
        """The time to call `wake_up`: 0 for as soon as other connections had their turn, None for never.

        A peer whose last document has no newline behind it is a one-shot client, unless it sends more soon. A request
        in flight may make it an observer.
        """
        if not self.takes_requests or self.is_busy:
            return None
        if self.rest:
            return 0.0
        if self.framer is None or not self.framer.unterminated or self.in_flight or self.observing:
            return None
        return self.last_heard + self.limits.one_shot_seconds

    # Events.

    def receive_data(self, data: bytes) -> bool:
        """Takes input. Returns whether there may be more to do than to read on."""
        if self.phase is not OPEN:
            return False
        now = self.clock()
        if self.piped is not False:
            self.piped = now - self.last_heard < self.limits.one_shot_seconds and data[0] != _NEWLINE
        self.last_heard = now
        if self.rest:
            # It was on its way when reading was paused.
            self.rest += data
            return False
        if self.framer is not None and self.framer.is_midway:
            frames, data = self.framer.finish_request(data)
            self._take_frames(frames)
        if data and self.takes_requests:
            self._take_lines(data)
        if (framer := self.framer) is not None and (self.rest or framer.unterminated or self.phase is not OPEN):
            return True
        # Not a call of `is_busy`, since every order comes this way.
        return self.unread_since is not None or self.in_flight >= self.limits.in_flight

    def receive_end(self) -> None:
        """Takes the end of the peer's side."""
        self._advance(PEER_ENDS)
        self._finish_input()

    def wake_up(self) -> None:
        """Takes the input that was left, or finishes the connection of a one-shot client."""
        if self.rest:
            data, self.rest = self.rest, b""
            self._take_pieces(data)
            self._finish_input()
        elif (due := self.wake_up_time) is not None and self.clock() >= due:
            self.finish()

    def count_answers(self, requests: int) -> bool:
        """Takes `requests` off those in flight. Returns whether there may be more to do than to read on."""
        self.in_flight -= requests
        if self.phase is OPEN:
            return self.framer is not None and self.framer.unterminated
        if not self.in_flight:
            self._advance(ALL_ANSWERED)
        return True

    def finish(self) -> None:
        """Takes no more requests; the stream ends once everything in flight is answered."""
        self.rest = b""
        self._advance(FINISH)
        if not self.can_half_close:
            self._advance(PEER_ENDS)
        if not self.in_flight:
            self._advance(ALL_ANSWERED)

    def close(self) -> None:
        """Ends the connection in whatever phase."""
        self.phase = CLOSED
        self.rest = b""
        self.take_block = self.take_frame = self.send = _ignore

    def _advance(self, event: dict[Phase, Phase]) -> None:
        self.phase = event.get(self.phase, self.phase)

    # Time limits.

    @property
    def is_passive(self) -> bool:
        """Whether the peer has sent nothing yet, or only waits for events."""
        return self.piped is None or self.observing

    def silence(self, now: float) -> float:
        """Returns for how many seconds the peer has asked nothing and waited for no answer."""
        return 0.0 if self.in_flight or self.rest else now - self.last_heard

    def is_stalled(self, now: float) -> bool:
        """Whether the peer has not read for too long, or has not ended its side after the server's end."""
        since = self.unread_since
        if since is None:
            since = now if self.takes_requests else self.last_heard
        return now - since > self.limits.stall_seconds

    def time_out(self, now: float) -> None:
        """Finishes the connection if the peer has been silent for too long, with an error unless it is a pipe."""
        limits, silent = self.limits, now - self.last_heard
        if not self.takes_requests or self.unread_since is not None or self.rest:
            return
        where = ""
        if self.framer is not None and self.framer.is_midway:
            # Not the end of a pipe: the network may be slow with the rest of a document.
            longest, where = limits.stall_seconds, " in the middle of a request"
        elif self.observing or self.in_flight:
            return
        elif self.piped and silent > limits.piped_seconds:
            # `echo ORDER | nc HOST PORT` keeps its side open for ever, and waits for the end of ours.
            self.finish()
            return
        else:
            longest = limits.idle_seconds
        if silent > longest:
            error = Timeout(f"nothing was sent for {longest:g} s{where}", hint="connect again")
            self.send(encode_line(error_reply(error)))
            self.finish()

    # Input.

    def _take_lines(self, data: bytes) -> None:
        """Complete lines go to the service as one block; what it declines is framed one by one."""
        cut = data.rfind(b"\n") + 1
        # A block within the limit cannot hold a document beyond it.
        if 0 < cut <= self.limits.document_bytes:
            requests = self.take_block(data if cut == len(data) else data[:cut])
            if requests:
                self.in_flight += requests
                data = data[cut:]
                if self.framer is not None:
                    self.framer.unterminated = False
                if not data:
                    return
        if self.framer is None:
            self.framer = Framer(document_bytes=self.limits.document_bytes, depth=self.limits.depth)
        self._take_pieces(data)

    def _take_pieces(self, data: bytes) -> None:
        """Frames the data piece by piece; what there is no time or no room for waits in `rest`."""
        assert self.framer is not None
        until = self.clock() + _SLICE_SECONDS
        for start in range(0, len(data), _PIECE_BYTES):
            if self.is_busy or self.clock() > until:
                self.rest = data[start:]
                return
            self._take_frames(self.framer.feed(data[start : start + _PIECE_BYTES]))
            if not self.takes_requests:
                return

    def _take_frames(self, frames: list[Frame]) -> None:
        assert self.framer is not None
        if replies := self.framer.take_replies():
            self.send(replies)
        for frame in frames:
            self.in_flight += 1
            self.take_frame(frame)
            if ends_stream(frame):
                self.finish()
            if not self.takes_requests:
                return

    def _finish_input(self) -> None:
        """Takes the last request of a peer that has ended its side, once everything before it is taken."""
        if self.phase is HALF_CLOSED and not self.rest:
            if self.framer is not None:
                self._take_frames(self.framer.end_stream())
            self.finish()
