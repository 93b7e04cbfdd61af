"""Bodies of searches, built from words and conditions; no text of a user is ever parsed as a query."""

from collections.abc import Sequence
from typing import Any

from shared.search.facets import NAME_FACETS, group_facets, list_bands
from shared.search.fields import KEY_FIELDS
from shared.search.pages import Window
from shared.search.port import BookSearch
from shared.search.queries import (
    MISSPELT_FIELDS,
    MISSPELT_WEIGHT,
    WORD_WEIGHTS,
    Condition,
    NameCondition,
    QueryText,
    QueryWord,
    choose_order,
    spelling_distance,
)

Body = dict[str, Any]

_EXPANSIONS = 100
"""Different words that a misspelt one may stand for."""
_NAMED_WEIGHT = 1000
"""More than twice what all words together score: books whose titles and authors have all words come first."""
_SIMILAR_WORDS = 10
_AGGREGATED = {"author": "author_name"}


def match_text(text: QueryText | None, *, fuzzy: bool) -> Body:
    """Returns the query of the books that have all words, or the ISBN; None matches all books."""
    if text is None:
        return {"match_all": {}}
    if text.isbn is not None:
        return {"term": {"isbn": text.isbn}}
    if text.is_empty:
        return {"match_none": {}}
    named = {"bool": {"filter": [_match_name(word) for word in text.words]}}
    return {
        "bool": {
            "must": [_match_word(word, fuzzy=fuzzy) for word in text.words],
            "should": [{"constant_score": {"filter": named, "boost": _NAMED_WEIGHT}}],
        }
    }


def make_search(query: BookSearch, window: Window, matched: Body, conditions: Sequence[Condition]) -> Body:
    """Returns the body of a search for a window, and one hit more; its total counts all pages."""
    sort = _sort(query, window)
    body: Body = {"size": query.limit + 1, "track_total_hits": True, "_source": False, "sort": sort}
    filters = [_meet(condition) for condition in conditions]
    if window.boundary is None:
        body["from"] = window.offset
    else:
        body["search_after"] = [window.boundary.key, window.boundary.books[-1]]
    if choose_order(query)[0] == "relevance":
        matched = {
            "function_score": {
                "query": matched,
                "field_value_factor": {"field": "weight", "missing": 1},
                "boost_mode": "multiply",
            }
        }
    body["query"] = {"bool": {"must": [matched], "filter": filters}}
    return body


def make_counts(query: BookSearch, matched: Body, conditions: Sequence[Condition]) -> Body:
    """Returns the body of a search for the facets of a query, which has no hits."""
    return {"size": 0, "query": matched, "aggs": _count_facets(query, conditions)}


def make_completion(words: Sequence[str], limit: int, *, fuzzy: bool) -> Body:
    """Returns the body of a search for books whose titles or authors the words begin."""
    *complete, last = words
    begun = [{"prefix": {field: {"value": last}}} for field in MISSPELT_FIELDS]
    if fuzzy and spelling_distance(last):
        begun = [_match_misspelt(field, last) for field in MISSPELT_FIELDS]
    parts: list[Body] = [{"bool": {"should": begun, "minimum_should_match": 1}}]
    for word in complete:
        choices = [{"term": {field: word}} for field in MISSPELT_FIELDS]
        if fuzzy and spelling_distance(word):
            choices = [_match_misspelt(field, word) for field in MISSPELT_FIELDS]
        parts.append({"bool": {"should": choices, "minimum_should_match": 1}})
    return {
        "size": limit,
        "_source": ["shown_title", "author_name"],
        "query": {"bool": {"filter": parts}},
        "sort": [{KEY_FIELDS["popularity"]: "desc"}, {"book": "asc"}],
    }


def make_similar(words: Sequence[str], limit: int) -> Body:
    """Returns the body of a search for books that have the rarest of some words."""
    similar = {
        "fields": ["text_light"],
        "like": " ".join(words),
        "min_term_freq": 1,
        "min_doc_freq": 1,
        "max_query_terms": _SIMILAR_WORDS,
        "minimum_should_match": 1,
    }
    return {"size": limit, "_source": False, "query": {"more_like_this": similar}}


def exclude(query: Body, other: Body) -> Body:
    """Returns the query of the books of `query` that `other` does not find."""
    return {"bool": {"must": [query], "must_not": [other]}}


def _match_word(word: QueryWord, *, fuzzy: bool) -> Body:
    alternatives: list[Body] = [
        {"term": {field: {"value": word.get_form(field), "boost": weight}}} for field, weight in WORD_WEIGHTS
    ]
    if fuzzy and word.distance:
        alternatives += [
            {"constant_score": {"filter": _match_misspelt(field, word.folded), "boost": MISSPELT_WEIGHT}}
            for field in MISSPELT_FIELDS
        ]
    return {"dis_max": {"queries": alternatives}}


def _match_name(word: QueryWord) -> Body:
    """Returns the query of the books with a word in their title or authors."""
    fields = [field for field, _ in WORD_WEIGHTS if field != "text_light"]
    return {"bool": {"should": [{"term": {field: word.get_form(field)}} for field in fields]}}


def _match_misspelt(field: str, word: str) -> Body:
    distance = spelling_distance(word)
    return {"fuzzy": {field: {"value": word, "fuzziness": distance, "max_expansions": _EXPANSIONS}}}


def _meet(condition: Condition) -> Body:
    if isinstance(condition, NameCondition):
        return {"terms": {condition.field: condition.keys}}
    bounds = {"gte": condition.low, "lte": condition.high}
    return {"range": {condition.field: {name: bound for name, bound in bounds.items() if bound is not None}}}


def _sort(query: BookSearch, window: Window) -> list[Body]:
    sort, descending = choose_order(query)
    if sort == "relevance":
        return [{"_score": "desc"}, {"book": "asc"}]
    direction = "desc" if descending ^ window.backward else "asc"
    return [{KEY_FIELDS[sort]: direction}, {"book": direction}]


def _count_facets(query: BookSearch, conditions: Sequence[Condition]) -> Body:
    counted: Body = {}
    for number, group in enumerate(group_facets(query.facets, conditions)):
        dimensions: Body = {}
        for dimension in group.dimensions:
            if dimension in NAME_FACETS:
                field = _AGGREGATED.get(dimension, dimension)
                dimensions[dimension] = {"terms": {"field": field, "size": query.facet_values}}
            else:
                bands = enumerate(list_bands(dimension, query.price_bands))
                ranges = [_make_band(index, low, high) for index, (low, high) in bands]
                dimensions[dimension] = {"range": {"field": dimension, "ranges": ranges}}
        filters = [_meet(condition) for condition in group.conditions]
        counted[str(number)] = {"filter": {"bool": {"filter": filters}}, "aggs": dimensions}
    return counted


def _make_band(index: int, low: int | None, high: int | None) -> Body:
    bounds = {"from": low, "to": high}
    return {"key": str(index), **{name: bound for name, bound in bounds.items() if bound is not None}}
