"""Entries of the outbox of orders: the changes of state of one transaction, stored in that transaction."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from shared.domain.states import CANCEL, DISCARD, FAIL, FINISH, REQUEUE, RETRY, START, Transition

Span = tuple[int, int]
"""Orders by the sequence of the first, and how many they are."""
DetailedSpan = tuple[int, int, str | None]
"""A span, and the detail of its change."""


class OutboxEntry(Struct, omit_defaults=True):
    """Orders by their transition (`TRANSITIONS_BY_MEMBER`); within one transaction in the order of these members."""

    done: list[Span] = []
    failed: list[DetailedSpan] = []
    requeued: list[DetailedSpan] = []
    reopened: list[Span] = []
    cancelled: list[Span] = []
    discarded: list[Span] = []
    started: list[Span] = []

    @property
    def last(self) -> int:
        """The highest sequence in the entry; 0 where it is empty."""
        plain = (self.done, self.reopened, self.cancelled, self.discarded, self.started)
        groups = (*plain, self.failed, self.requeued)
        return max((span[0] + span[1] - 1 for group in groups for span in group), default=0)


TRANSITIONS_BY_MEMBER: Mapping[str, Transition] = {
    "done": FINISH,
    "failed": FAIL,
    "requeued": REQUEUE,
    "reopened": RETRY,
    "cancelled": CANCEL,
    "discarded": DISCARD,
    "started": START,
}
"""The members of an entry, in their order. Orders are accepted without an entry: their table is their outbox."""

encode_entry = msgspec.json.Encoder().encode
decode_entry = msgspec.json.Decoder(OutboxEntry).decode


def spans(sequences: Iterable[int]) -> list[Span]:
    """Returns spans of sequences, which come in any order."""
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


def without_orders(entry: OutboxEntry, removed: Sequence[Span]) -> OutboxEntry:
    """Returns the entry without the removed orders, whose spans are disjoint and in ascending order."""
    firsts = [first for first, _ in removed]
    left: dict[str, Any] = {}
    for name in OutboxEntry.__struct_fields__:
        group: list[Any] = []
        for first, count, *detail in getattr(entry, name):
            begin, stop = first, first + count
            for cut, length in removed[max(bisect_right(firsts, first) - 1, 0) : bisect_left(firsts, stop)]:
                if cut > begin:
                    group.append((begin, cut - begin, *detail))
                begin = max(begin, cut + length)
            if begin < stop:
                group.append((begin, stop - begin, *detail))
        left[name] = group
    return OutboxEntry(**left)


def detailed_spans(details: Iterable[tuple[int, str | None]]) -> list[DetailedSpan]:
    """Returns spans of sequences that follow each other and have the same detail."""
    found: list[DetailedSpan] = []
    for sequence, detail in sorted(details, key=lambda one: one[0]):
        if found and (first := found[-1])[0] + first[1] == sequence and first[2] == detail:
            found[-1] = (first[0], first[1] + 1, detail)
        else:
            found.append((sequence, 1, detail))
    return found
