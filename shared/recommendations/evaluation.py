"""Measures the quality of recommendations on given baskets: hides each book of later baskets and looks for it."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from shared.domain.errors import InvalidParams
from shared.recommendations.scores import BasketCounts, rank_books, score_books

_KNOWN_SHARE: Final = 0.8
_SHOWN: Final = 10


class Evaluation(NamedTuple):
    """The result: `hit_at_10` is the share of hidden books among the first ten, `mrr_at_10` the mean of 1 / rank."""

    baskets: int
    cases: int
    hit_at_10: float
    mrr_at_10: float
    books_shown: int
    """Different books that were recommended."""
    popular_hit_at_10: float
    popular_mrr_at_10: float


def evaluate_baskets(baskets: Sequence[Sequence[str]]) -> Evaluation:
    """Counts the first 80 % of the baskets, and looks for each book of the others by the rest of its basket.

    Places that scores do not fill have the most frequent books, as recommendations do. Raises InvalidParams if no
    later basket has two books.
    """
    split = int(len(baskets) * _KNOWN_SHARE)
    counts = BasketCounts(baskets[:split])
    popular = [book for book, _ in sorted(counts.books.items(), key=lambda one: (-one[1], one[0]))]
    shown: set[str] = set()
    hits, ranks, popular_hits, popular_ranks, cases = 0, 0.0, 0, 0.0, 0
    for basket in baskets[split:]:
        books = list(dict.fromkeys(basket))
        if len(books) < 2:
            continue
        for hidden in books:
            known = dict.fromkeys((book for book in books if book != hidden), 1.0)
            ranked = rank_books(score_books(known, counts))
            ranked = list(dict.fromkeys([*ranked[:_SHOWN], *(book for book in popular if book not in known)]))[:_SHOWN]
            shown.update(ranked)
            cases += 1
            if hidden in ranked:
                hits += 1
                ranks += 1 / (ranked.index(hidden) + 1)
            others = [book for book in popular[: _SHOWN + len(known)] if book not in known][:_SHOWN]
            if hidden in others:
                popular_hits += 1
                popular_ranks += 1 / (others.index(hidden) + 1)
    if not cases:
        raise InvalidParams("the file has no baskets of two or more to evaluate with", hint="give more baskets")
    return Evaluation(
        len(baskets),
        cases,
        round(hits / cases, 4),
        round(ranks / cases, 4),
        len(shown),
        round(popular_hits / cases, 4),
        round(popular_ranks / cases, 4),
    )
