"""Splits a byte stream into requests: JSON documents, by their brackets, and lines with verbs.

The framer does no I/O: it takes bytes and returns frames. It scans each byte once, whatever the chunk boundaries.
It only tracks brackets and strings; the decoder checks that a document is valid JSON. If the brackets or strings
of a document are broken, the framer returns one `BrokenRequest` and skips to the next line that can begin a
request, so one bad document causes one error.
"""

import enum
import re
from typing import NamedTuple

from shared.domain.errors import DocumentPosition, InvalidJson, RequestError, TooLarge
from shared.wire.telnet import SPECIAL, Interrupt, TelnetFilter


class Document(NamedTuple):
    """One complete JSON object or array, as received."""

    data: bytes


class TextLine(NamedTuple):
    """One line that is not JSON, without its line end."""

    text: str


class HttpRequestLine(NamedTuple):
    """The first line of an HTTP request, sent to this port by mistake."""

    text: str


class BrokenRequest(NamedTuple):
    """A request that cannot be framed; after a `fatal` one the rest of the stream is unusable."""

    error: RequestError
    fatal: bool = False


Frame = Document | TextLine | HttpRequestLine | BrokenRequest | Interrupt


def ends_stream(frame: Frame) -> bool:
    """Whether the stream after a frame must not be parsed as requests."""
    return isinstance(frame, HttpRequestLine) or (isinstance(frame, BrokenRequest) and frame.fatal)


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
    """The framer of one connection. `document_bytes` and `depth` limit the size and nesting of a document."""

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
        """True if the last frame was a document and no newline has followed it."""
        self._frames: list[Frame] = []
        self._reset_state()

    def _reset_state(self) -> None:
        self._state = _State.BETWEEN
        self._buffer: bytes | bytearray = b""
        self._stack = b""
        self._in_text = False
        self._last = 0
        self._skip = 0

    @property
    def is_midway(self) -> bool:
        """Whether the framer holds bytes of an unfinished request."""
        return self._state is not _State.BETWEEN or (self._telnet is not None and self._telnet.is_midway)

    def take_replies(self) -> bytes:
        """Returns replies to telnet negotiation, to be sent at once."""
        if self._telnet is None or not self._telnet.replies:
            return b""
        replies = bytes(self._telnet.replies)
        self._telnet.replies.clear()
        return replies

    def feed(self, data: bytes) -> list[Frame]:
        """Returns all frames that `data` completes."""
        frames = self._frames = []
        if self._telnet is None and SPECIAL.search(data):
            self._telnet = TelnetFilter()
        pieces: list[bytes | Interrupt] = [data] if self._telnet is None else self._telnet.split_stream(data)
        for piece in pieces:
            if isinstance(piece, Interrupt):
                self._reset_state()
                frames.append(piece)
                continue
            position = 0
            while position < len(piece):
                position = self._scan_step(piece, position)
        self._frames = []
        return frames

    def finish_request(self, data: bytes) -> tuple[list[Frame], bytes]:
        """Completes the unfinished request; returns its frame and the bytes after it."""
        if self._telnet is not None or SPECIAL.search(data):
            return self.feed(data), b""
        frames = self._frames = []
        position = 0
        while position < len(data) and self._state is not _State.BETWEEN:
            position = self._scan_step(data, position)
        self._frames = []
        return frames, data[position:]

    def end_stream(self) -> list[Frame]:
        """Returns the frame that the end of the stream completes, or the error of one that it truncates."""
        frames = self._frames = []
        if self._state is _State.LINE:
            self._emit_line(bytes(self._buffer))
        elif self._state is _State.DOCUMENT:
            frames.append(
                BrokenRequest(InvalidJson("the stream ended inside a document", **self._current_position(b"")))
            )
        self._reset_state()
        return frames

    def _scan_step(self, data: bytes, position: int) -> int:
        match self._state:
            case _State.BETWEEN:
                return self._scan_blank(data, position)
            case _State.DOCUMENT:
                return self._scan_document(data, position)
            case _State.LINE:
                return self._scan_line(data, position)
            case _State.SKIP_LINE:
                end = data.find(b"\n", position)
                if end < 0:
                    return len(data)
                self._state = _State.LINE_START
                return end + 1
            case _State.LINE_START:
                self._state = _State.BETWEEN if data[position] in _BEGINS_REQUEST else _State.SKIP_LINE
                return position

    def _scan_blank(self, data: bytes, position: int) -> int:
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

    def _scan_line(self, data: bytes, position: int) -> int:
        found = _LINE_END.search(data, position)
        if self._buffer[-1:] == b"\r" and data[position] == 0:
            # The line end is split over two chunks.
            stop, end = position, position + 1
        elif found is not None:
            stop, end = found.span()
        else:
            stop, end = len(data), -1
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray()
        self._buffer += data[position:stop]
        if self._buffer.startswith(_BOM):
            # The byte-order mark was split over chunks: scan the bytes after it again.
            rest = len(self._buffer) - len(_BOM)
            self._reset_state()
            return stop - rest
        if len(self._buffer) > self._document_bytes:
            self._reject_too_large()
            return len(data)
        if end < 0:
            return stop
        held = bytes(self._buffer)
        self._reset_state()
        self._emit_line(held)
        return end

    def _emit_line(self, held: bytes) -> None:
        self.unterminated = False
        text = held.replace(b"\0", b"").decode("utf-8", "replace").strip()
        if text:
            self._frames.append(HttpRequestLine(text) if _HTTP.fullmatch(text) else TextLine(text))

    def _scan_document(self, data: bytes, start: int) -> int:  # noqa: C901, PLR0912 -- a call for each token would cost as much as the scan
        """Scans a document from `start`; returns the position at which the scan continues."""
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
                    return self._reject_document(
                        data, start, position - 1, "a text is not closed before the end of its line"
                    )
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
                # Inside an object only a colon can precede a bracket. Otherwise the document before was not closed,
                # and a bracket at the beginning of a line begins the next document.
                if stack and stack[-1] == 0x7B and last != 0x3A:
                    return self._reject_document(data, start, found.start(), "a document was not closed")
                if len(stack) == self._depth:
                    return self._reject_document(
                        data, start, found.start(), f"a document is nested deeper than {self._depth}"
                    )
                stack += data[found.start() : position]
            elif char in b"}]":
                if stack[-1] != _OPENING[char]:
                    return self._reject_document(
                        data, start, found.start(), f"{chr(char)!r} closes a {chr(stack[-1])!r}"
                    )
                stack = stack[:-1]
                if not stack:
                    return self._complete_document(data, start, position)
            last = char
        if len(self._buffer) + size - start > self._document_bytes:
            self._reject_too_large()
            return size
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray()
        self._buffer += data[start:]
        self._stack, self._last, self._in_text = stack, last, in_text
        self._skip = position - size
        return size

    def _complete_document(self, data: bytes, start: int, end: int) -> int:
        document = data[start:end] if not self._buffer else bytes(self._buffer) + data[start:end]
        self._reset_state()
        if len(document) > self._document_bytes:
            self._reject_too_large()
        else:
            self._frames.append(Document(document.replace(b"\r\0", b"\r")))
            self.unterminated = True
        return end

    def _reject_document(self, data: bytes, start: int, position: int, message: str) -> int:
        read = bytes(self._buffer) + data[start:position]
        error = InvalidJson(message, **self._current_position(data[start:position]))
        self._frames.append(BrokenRequest(error))
        self._reset_state()
        self.unterminated = False
        at_line_start = read.endswith(b"\n") and data[position] in b"{["
        self._state = _State.BETWEEN if at_line_start else _State.SKIP_LINE
        return position

    def _current_position(self, tail: bytes) -> DocumentPosition:
        """Returns line and column after the scanned bytes, relative to the document; columns count characters."""
        read = bytes(self._buffer) + tail
        last = read[read.rfind(b"\n") + 1 :].decode("utf-8", "replace")
        return {"line": read.count(b"\n") + 1, "column": len(last) + 1}

    def _reject_too_large(self) -> None:
        self._reset_state()
        limit = self._document_bytes
        self._frames.append(
            BrokenRequest(
                TooLarge(
                    f"a request is larger than {limit} bytes",
                    hint="send fewer orders in one array; the limit is the setting MAX_DOCUMENT_BYTES",
                ),
                fatal=True,
            )
        )
