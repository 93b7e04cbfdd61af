"""Queries of tantivy, built from words and conditions; no text of a user is ever parsed as a query."""

from collections.abc import Collection, Iterable, Sequence

import tantivy
from tantivy import FieldType, Occur, Query

from shared.search.pages import Boundary
from shared.search.queries import (
    MISSPELT_WEIGHT,
    WORD_WEIGHTS,
    Condition,
    NameCondition,
    QueryText,
    QueryWord,
    spelling_distance,
)
from shared.search.tantivy.schema import (
    HEAD_LETTERS,
    HEADS,
    NAMED,
    POPULAR,
    POSITION_ID,
    TITLE_PARTS,
    YEAR_MISSING,
    number_title,
)


class QueryBuilder:
    """Builds queries for one schema."""

    def __init__(self, schema: tantivy.Schema) -> None:
        self._schema = schema

    def match_text(self, text: QueryText, *, misspelt: Collection[QueryWord] = (), scored: bool = False) -> Query:
        """Returns the query of the books that have all words, or the ISBN; what only counts needs no scores."""
        if text.isbn is not None:
            return self._match_term("isbn", text.isbn)
        if text.is_empty:
            return Query.empty_query()
        return _all_of(self._match_word(word, fuzzy=word in misspelt, scored=scored) for word in text.words)

    def match_named(self, text: QueryText) -> Query:
        """Returns the query of the books whose titles and authors have all words, or which have the ISBN."""
        if text.isbn is not None:
            return self._match_term("isbn", text.isbn)
        return _all_of(self._match_better(word) for word in text.words)

    def match_everything(self) -> Query:
        """Returns the query of all books."""
        position = self._match_term("book", POSITION_ID)
        return Query.boolean_query([(Occur.Must, Query.all_query()), (Occur.MustNot, position)])

    def narrow(self, query: Query, conditions: Sequence[Condition]) -> Query:
        """Returns a query of those books that meet all conditions too, with unchanged scores."""
        if not conditions:
            return query
        unscored = [Query.const_score_query(self._meet(condition), 0.0) for condition in conditions]
        return _all_of([query, *unscored])

    def exclude(self, query: Query, other: Query) -> Query:
        """Returns a query of the books of `query` that `other` does not find."""
        return Query.boolean_query([(Occur.Must, query), (Occur.MustNot, other)])

    def continue_behind(self, query: Query, field: str, boundary: Boundary, *, descending: bool) -> Query:
        """Returns a query of the books behind a boundary; with `by_title` also of those that begin like it."""
        if isinstance(boundary.key, str):
            return _all_of([query, self._begin_like_or_behind(boundary.key, descending=descending)])
        shown = Query.term_set_query(self._schema, "book", list(boundary.books))
        reached = self._be_behind(field, boundary.key, descending=descending, included=True)
        return Query.boolean_query([(Occur.Must, query), (Occur.Must, reached), (Occur.MustNot, shown)])

    def match_typed(self, words: Sequence[str], *, fuzzy: bool) -> list[Query]:
        """Returns the queries of the books that a text of which the last word is incomplete may lead to.

        Each query finds the most popular books of the next one, which need not be searched if these are enough.
        """
        *complete, last = words
        parts = [self._match_name(word, spelling_distance(word) if fuzzy else 0) for word in complete]
        if len(last) <= HEAD_LETTERS:
            marks = [*(mark for mark, _ in POPULAR), ""]
            return [_all_of([*parts, self._match_term(HEADS, mark + last)]) for mark in marks]
        return [_all_of([*parts, self._match_name(last, spelling_distance(last) if fuzzy else 0, prefix=True)])]

    def match_any(self, words: Iterable[str]) -> Query:
        """Returns the query of the books that have one of these words in their light forms; the score adds them up."""
        return _any_of(self._match_term("text_light", word) for word in words)

    def match_books(self, books: Sequence[str]) -> Query:
        """Returns the query of the books with these ids."""
        return Query.term_set_query(self._schema, "book", list(books))

    def match_position(self) -> Query:
        """Returns the query of the position's document."""
        return self._match_term("book", POSITION_ID)

    def _match_word(self, word: QueryWord, *, fuzzy: bool, scored: bool) -> Query:
        """Returns the query of the books with a word: `text_light` decides which, the other fields in what order."""
        found = self._match_term("text_light", word.light)
        if scored:
            found = Query.boolean_query([(Occur.Must, found), (Occur.Should, self._match_better(word))])
        if not fuzzy:
            return found
        misspelt = Query.fuzzy_term_query(self._schema, NAMED, word.folded, distance=word.distance)
        # tantivy scores misspelt words by a constant anyway (tantivy#563).
        return Query.disjunction_max_query([found, Query.const_score_query(misspelt, MISSPELT_WEIGHT)])

    def _match_better(self, word: QueryWord) -> Query:
        """Returns the query of the books with a word in their title or authors, where it counts more."""
        fields = [(field, weight) for field, weight in WORD_WEIGHTS if field != "text_light"]
        return Query.disjunction_max_query(
            [self._match_term(field, word.get_form(field), weight) for field, weight in fields]
        )

    def _match_name(self, word: str, distance: int, *, prefix: bool = False) -> Query:
        """Returns the query of the books with a word, or the beginning of one, in their title or authors."""
        if distance or prefix:
            return Query.fuzzy_term_query(self._schema, NAMED, word, distance=distance, prefix=prefix)
        return self._match_term(NAMED, word)

    def _match_term(self, field: str, term: str, boost: float = 1.0) -> Query:
        query = Query.term_query(self._schema, field, term, index_option="freq")
        return query if boost == 1.0 else Query.boost_query(query, boost)

    def _meet(self, condition: Condition) -> Query:
        if isinstance(condition, NameCondition):
            terms = [self._match_term(condition.field, key) for key in condition.keys]
            return terms[0] if len(terms) == 1 else _any_of(terms)
        kind, lowest = (FieldType.Integer, YEAR_MISSING + 1) if condition.field == "year" else (FieldType.Unsigned, 0)
        low = lowest if condition.low is None else max(condition.low, lowest)
        if condition.high is not None and condition.high < low:
            return Query.empty_query()
        return Query.range_query(self._schema, condition.field, kind, low, condition.high)

    def _be_behind(self, field: str, key: int, *, descending: bool, included: bool) -> Query:
        low, high = (None, key) if descending else (key, None)
        return Query.range_query(
            self._schema,
            field,
            FieldType.Unsigned,
            low,
            high,
            include_lower=included or low is None,
            include_upper=included or high is None,
        )

    def _begin_like_or_behind(self, key: str, *, descending: bool) -> Query:
        *parts, (field, number) = zip(TITLE_PARTS, number_title(key), strict=True)
        reached = self._be_behind(field, number, descending=descending, included=True)
        for field, number in reversed(parts):
            same = Query.range_query(self._schema, field, FieldType.Unsigned, number, number)
            later = self._be_behind(field, number, descending=descending, included=False)
            reached = _any_of([later, _all_of([same, reached])])
        return reached


def _all_of(queries: Iterable[Query]) -> Query:
    return Query.boolean_query([(Occur.Must, query) for query in queries])


def _any_of(queries: Iterable[Query]) -> Query:
    return Query.boolean_query([(Occur.Should, query) for query in queries])
