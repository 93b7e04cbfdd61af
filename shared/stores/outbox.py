"""The outbox of orders: what one transaction has done to them, as it is stored in that transaction."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

Span = tuple[int, int]
"""Orders by the sequence of the first, and how many they are."""
Told = tuple[int, int, str | None]
"""A span, and why."""


class Moves(Struct, omit_defaults=True):
    """Orders by what has happened to them; within one transaction in the order of these members."""

    done: list[Span] = []
    failed: list[Told] = []
    requeued: list[Told] = []
    """From `en proceso` back to `en cola`."""
    reopened: list[Span] = []
    """From `fallido` back to `en cola`."""
    cancelled: list[Span] = []
    """From `en cola`."""
    discarded: list[Span] = []
    """Cancelled when they were `fallido`."""
    started: list[Span] = []

    @property
    def last(self) -> int:
        """The highest sequence in it; 0 when there is none."""
        plain = (self.done, self.reopened, self.cancelled, self.discarded, self.started)
        groups = (*plain, self.failed, self.requeued)
        return max((span[0] + span[1] - 1 for group in groups for span in group), default=0)


encode_moves = msgspec.json.Encoder().encode
decode_moves = msgspec.json.Decoder(Moves).decode


def spans(sequences: Iterable[int]) -> list[Span]:
    """Sequences, which come in any order, as spans."""
    found: list[Span] = []
    first = count = 0
    for sequence in sorted(sequences):
        if count and sequence == first + count:
            count += 1
            continue
        if count:
            found.append((first, count))
        first, count = sequence, 1
    if count:
        found.append((first, count))
    return found


def without_orders(moves: Moves, removed: Sequence[Span]) -> Moves:
    """Returns the moves of all orders but the removed ones; those spans are disjoint and in ascending order."""
    firsts = [first for first, _ in removed]
    left: dict[str, Any] = {}
    for name in Moves.__struct_fields__:
        group: list[Any] = []
        for first, count, *why in getattr(moves, name):
            begin, stop = first, first + count
            for cut, length in removed[max(bisect_right(firsts, first) - 1, 0) : bisect_left(firsts, stop)]:
                if cut > begin:
                    group.append((begin, cut - begin, *why))
                begin = max(begin, cut + length)
            if begin < stop:
                group.append((begin, stop - begin, *why))
        left[name] = group
    return Moves(**left)


def told(details: Iterable[tuple[int, str | None]]) -> list[Told]:
    """Sequences with why, those next to each other and alike together."""
    found: list[Told] = []
    for sequence, why in sorted(details, key=lambda one: one[0]):
        if found and (first := found[-1])[0] + first[1] == sequence and first[2] == why:
            found[-1] = (first[0], first[1] + 1, why)
        else:
            found.append((sequence, 1, why))
    return found
