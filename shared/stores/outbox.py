"""The outbox of orders: what one transaction has done to them, as it is stored in that transaction."""

from collections.abc import Iterable

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


def told(details: Iterable[tuple[int, str | None]]) -> list[Told]:
    """Sequences with why, those next to each other and alike together."""
    found: list[Told] = []
    for sequence, why in sorted(details, key=lambda one: one[0]):
        if found and (first := found[-1])[0] + first[1] == sequence and first[2] == why:
            found[-1] = (first[0], first[1] + 1, why)
        else:
            found.append((sequence, 1, why))
    return found
