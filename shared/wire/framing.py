"""Finds requests in a byte stream: JSON documents by their brackets, and lines that are verbs.

Bytes in, frames out; no sockets. Every byte is looked at once, however the stream is cut. The scanner
only follows brackets and texts: whether a document is valid JSON is the decoder's business. Where a
document is broken beyond following, it gives one `Broken` and skips to the next line that can begin a
request, so that one bad document costs one error.
"""

import enum
import re
from typing import NamedTuple

from shared.domain.errors import InvalidJson, Place, RequestError, TooLarge
from shared.wire.telnet import SPECIAL, Interrupt, TelnetFilter


class Document(NamedTuple):
    """One complete JSON object or array, as it came."""

    data: bytes


class Line(NamedTuple):
    """One line that is not JSON, without its end."""

    text: str


class HttpRequest(NamedTuple):
    """The first line of an HTTP request: somebody took this port for a web server."""

    text: str


class Broken(NamedTuple):
    """A request that cannot be followed; after a `fatal` one the stream is lost."""

    error: RequestError
    fatal: bool = False


Frame = Document | Line | HttpRequest | Broken | Interrupt


def ends_stream(frame: Frame) -> bool:
    """Whether what follows a frame must not be taken for requests."""
    return isinstance(frame, HttpRequest) or (isinstance(frame, Broken) and frame.fatal)


class _State(enum.Enum):
    BETWEEN = enum.auto()
    DOCUMENT = enum.auto()
    LINE = enum.auto()
    SKIP_LINE = enum.auto()
    LINE_START = enum.auto()


_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\n|\r\0")
_BLANK = re.compile(rb"[ \t\r\n\0]*")
_TOKEN = re.compile(rb'["{}\[\]:,]|[^\s"{}\[\]:,]+')
_IN_TEXT = re.compile(rb'["\\\n]')
_HTTP = re.compile(r"[A-Z]+ \S+ HTTP/\d\.\d")
_OPENING = {ord("}"): ord("{"), ord("]"): ord("[")}
_BEGINS_REQUEST = frozenset(b"{[ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Framer:
    """The scanner of one connection. `document_bytes` and `depth` bound what one document may be."""

    __slots__ = (
        "_buffer",
        "_depth",
        "_document_bytes",
        "_frames",
        "_in_text",
        "_last",
        "_skip",
        "_stack",
        "_state",
        "_telnet",
        "unterminated",
    )

    def __init__(self, *, document_bytes: int, depth: int) -> None:
        self._document_bytes = document_bytes
        self._depth = depth
        self._telnet: TelnetFilter | None = None
        self.unterminated = False
        """Whether the last frame was a document and no newline has followed it."""
        self._frames: list[Frame] = []
        self._reset()

    def _reset(self) -> None:
        self._state = _State.BETWEEN
        self._buffer: bytes | bytearray = b""
        self._stack = b""
        self._in_text = False
        self._last = 0
        self._skip = 0

    @property
    def midway(self) -> bool:
        """Whether bytes of an unfinished request are held back."""
        return self._state is not _State.BETWEEN or (self._telnet is not None and self._telnet.midway)

    def take_replies(self) -> bytes:
        """Telnet's answers to negotiation, to be sent at once."""
        if self._telnet is None or not self._telnet.replies:
            return b""
        replies = bytes(self._telnet.replies)
        self._telnet.replies.clear()
        return replies

    def feed(self, data: bytes) -> list[Frame]:
        """All requests that `data` completes."""
        frames = self._frames = []
        if self._telnet is None and SPECIAL.search(data):
            self._telnet = TelnetFilter()
        pieces: list[bytes | Interrupt] = [data] if self._telnet is None else self._telnet.split(data)
        for piece in pieces:
            if isinstance(piece, Interrupt):
                self._reset()
                frames.append(piece)
                continue
            position = 0
            while position < len(piece):
                position = self._step(piece, position)
        self._frames = []
        return frames

    def finish(self, data: bytes) -> tuple[list[Frame], bytes]:
        """Completes the request that is midway; gives its frame and the bytes behind it."""
        if self._telnet is not None or SPECIAL.search(data):
            return self.feed(data), b""
        frames = self._frames = []
        position = 0
        while position < len(data) and self._state is not _State.BETWEEN:
            position = self._step(data, position)
        self._frames = []
        return frames, data[position:]

    def end(self) -> list[Frame]:
        """What the end of the stream completes, or cuts off."""
        frames = self._frames = []
        if self._state is _State.LINE:
            self._emit_line(bytes(self._buffer))
        elif self._state is _State.DOCUMENT:
            frames.append(Broken(InvalidJson("the stream ended inside a document", **self._where(b""))))
        self._reset()
        return frames

    def _step(self, data: bytes, position: int) -> int:
        match self._state:
            case _State.BETWEEN:
                return self._between(data, position)
            case _State.DOCUMENT:
                return self._document(data, position)
            case _State.LINE:
                return self._line(data, position)
            case _State.SKIP_LINE:
                end = data.find(b"\n", position)
                if end < 0:
                    return len(data)
                self._state = _State.LINE_START
                return end + 1
            case _State.LINE_START:
                self._state = _State.BETWEEN if data[position] in _BEGINS_REQUEST else _State.SKIP_LINE
                return position

    def _between(self, data: bytes, position: int) -> int:
        blank = _BLANK.match(data, position)
        assert blank is not None
        if self.unterminated and b"\n" in blank.group():
            self.unterminated = False
        position = blank.end()
        if position == len(data):
            return position
        if data.startswith(_BOM, position):
            return position + len(_BOM)
        if data[position] in b"{[":
            self._state = _State.DOCUMENT
        else:
            self._state = _State.LINE
        return position

    def _line(self, data: bytes, position: int) -> int:
        found = _LINE_END.search(data, position)
        if self._buffer[-1:] == b"\r" and data[position] == 0:
            # The end of the line, cut in two.
            stop, end = position, position + 1
        elif found is not None:
            stop, end = found.span()
        else:
            stop, end = len(data), -1
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray()
        self._buffer += data[position:stop]
        if self._buffer.startswith(_BOM):
            # A byte-order mark that came in pieces: what follows it starts afresh.
            rest = len(self._buffer) - len(_BOM)
            self._reset()
            return stop - rest
        if len(self._buffer) > self._document_bytes:
            self._too_large()
            return len(data)
        if end < 0:
            return stop
        held = bytes(self._buffer)
        self._reset()
        self._emit_line(held)
        return end

    def _emit_line(self, held: bytes) -> None:
        self.unterminated = False
        text = held.replace(b"\0", b"").decode("utf-8", "replace").strip()
        if text:
            self._frames.append(HttpRequest(text) if _HTTP.fullmatch(text) else Line(text))

    def _document(self, data: bytes, start: int) -> int:  # noqa: C901, PLR0912 -- a call for each token would cost as much as the scan
        """Follows a document from `start`; gives where the scan goes on."""
        position = start + self._skip
        self._skip = 0
        stack, last, in_text = self._stack, self._last, self._in_text
        size = len(data)
        while position < size:
            if in_text:
                found = _IN_TEXT.search(data, position)
                if found is None:
                    position = size
                    break
                position = found.end()
                char = data[position - 1]
                if char == 0x22:
                    in_text = False
                elif char == 0x5C:
                    position += 1
                else:
                    return self._broken(data, start, position - 1, "a text is not closed before the end of its line")
                continue
            found = _TOKEN.search(data, position)
            if found is None:
                position = size
                break
            position = found.end()
            char = data[found.start()]
            if char == 0x22:
                in_text = True
            elif char in b"{[":
                # Inside an object only a colon can stand before a bracket: without it the document
                # before was never closed, and a bracket that begins a line begins the next one.
                if stack and stack[-1] == 0x7B and last != 0x3A:
                    return self._broken(data, start, found.start(), "a document was not closed")
                if len(stack) == self._depth:
                    return self._broken(data, start, found.start(), f"a document is nested deeper than {self._depth}")
                stack += data[found.start() : position]
            elif char in b"}]":
                if stack[-1] != _OPENING[char]:
                    return self._broken(data, start, found.start(), f"{chr(char)!r} closes a {chr(stack[-1])!r}")
                stack = stack[:-1]
                if not stack:
                    return self._complete(data, start, position)
            last = char
        if len(self._buffer) + size - start > self._document_bytes:
            self._too_large()
            return size
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray()
        self._buffer += data[start:]
        self._stack, self._last, self._in_text = stack, last, in_text
        self._skip = position - size
        return size

    def _complete(self, data: bytes, start: int, end: int) -> int:
        document = data[start:end] if not self._buffer else bytes(self._buffer) + data[start:end]
        self._reset()
        if len(document) > self._document_bytes:
            self._too_large()
        else:
            self._frames.append(Document(document.replace(b"\r\0", b"\r")))
            self.unterminated = True
        return end

    def _broken(self, data: bytes, start: int, position: int, message: str) -> int:
        read = bytes(self._buffer) + data[start:position]
        error = InvalidJson(message, **self._where(data[start:position]))
        self._frames.append(Broken(error))
        self._reset()
        self.unterminated = False
        at_line_start = read.endswith(b"\n") and data[position] in b"{["
        self._state = _State.BETWEEN if at_line_start else _State.SKIP_LINE
        return position

    def _where(self, tail: bytes) -> Place:
        """Line and column just behind what was read, counted from the document's start; columns count characters."""
        read = bytes(self._buffer) + tail
        last = read[read.rfind(b"\n") + 1 :].decode("utf-8", "replace")
        return {"line": read.count(b"\n") + 1, "column": len(last) + 1}

    def _too_large(self) -> None:
        self._reset()
        limit = self._document_bytes
        self._frames.append(
            Broken(
                TooLarge(
                    f"a request is larger than {limit} bytes",
                    hint="send fewer orders in one array; the limit is the setting MAX_DOCUMENT_BYTES",
                ),
                fatal=True,
            )
        )
