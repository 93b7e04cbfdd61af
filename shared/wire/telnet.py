"""Removes telnet's control bytes from a stream (RFC 854, RFC 1143).

It supports the commands that telnet clients send on their own initiative: it declines negotiation, skips
sub-negotiation and reports "interrupt process" (Ctrl-C). 0xFF never occurs in valid UTF-8, so JSON documents
pass unchanged.
"""

import enum
import re

IAC = 0xFF
CTRL_C = 0x03
_DONT, _DO, _WONT, _WILL, _SB, _SE = 0xFE, 0xFD, 0xFC, 0xFB, 0xFA, 0xF0
_INTERRUPT_PROCESS, _BREAK = 0xF4, 0xF3

SPECIAL = re.compile(bytes((ord("["), IAC, CTRL_C, ord("]"))))
"""Matches the first byte that belongs to telnet and not to the user's text."""


class Interrupt:
    """Marks the position in the stream at which the user pressed Ctrl-C."""


class _Expect(enum.Enum):
    DATA = enum.auto()
    COMMAND = enum.auto()
    OPTION = enum.auto()
    SUB = enum.auto()
    SUB_COMMAND = enum.auto()


class TelnetFilter:
    """Splits a stream into plain bytes and interrupts, whatever the chunk boundaries."""

    __slots__ = ("_expect", "_verb", "replies")

    def __init__(self) -> None:
        self._expect = _Expect.DATA
        self._verb = 0
        self.replies = bytearray()
        """Bytes to send back at once; the caller clears them."""

    @property
    def is_midway(self) -> bool:
        """Whether a command is incomplete."""
        return self._expect is not _Expect.DATA

    def split_stream(self, data: bytes) -> list[bytes | Interrupt]:
        """Returns the plain bytes of `data` in order, with an `Interrupt` for each Ctrl-C."""
        pieces: list[bytes | Interrupt] = []
        plain = bytearray()

        position = 0
        while position < len(data):
            if self._expect is _Expect.DATA:
                special = SPECIAL.search(data, position)
                stop = len(data) if special is None else special.start()
                plain += data[position:stop]
                position = stop
                if special is None:
                    break
            if self._take_special(data[position]):
                if plain:
                    pieces.append(bytes(plain))
                    plain.clear()
                pieces.append(Interrupt())
            position += 1
        if plain:
            pieces.append(bytes(plain))
        return pieces

    def _take_special(self, byte: int) -> bool:
        """Whether a byte that is no plain data means Ctrl-C."""
        match self._expect:
            case _Expect.DATA:
                if byte != IAC:
                    return True
                self._expect = _Expect.COMMAND
            case _Expect.COMMAND:
                return self._take_command(byte)
            case _Expect.OPTION:
                self._expect = _Expect.DATA
                # Refusals need no answer; answering them would let two peers loop.
                if self._verb == _DO:
                    self.replies += bytes((IAC, _WONT, byte))
                elif self._verb == _WILL:
                    self.replies += bytes((IAC, _DONT, byte))
            case _Expect.SUB:
                if byte == IAC:
                    self._expect = _Expect.SUB_COMMAND
            case _Expect.SUB_COMMAND:
                self._expect = _Expect.DATA if byte == _SE else _Expect.SUB
        return False

    def _take_command(self, byte: int) -> bool:
        self._expect = _Expect.DATA
        if byte in (_DO, _DONT, _WILL, _WONT):
            self._verb = byte
            self._expect = _Expect.OPTION
        elif byte == _SB:
            self._expect = _Expect.SUB
        return byte in (_INTERRUPT_PROCESS, _BREAK)
