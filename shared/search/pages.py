"""Pages of results: by number, or by a cursor that leads forward or backward.

A cursor by relevance is an offset, since scores are comparable within one query only. In all other orders it is the
value and the id of a book, so that edits between two pages neither repeat nor skip a book.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from shared.domain.errors import InvalidParams
from shared.search.port import MAX_DEPTH, MAX_LIMIT, BookSearch, Facets, Found, Hit
from shared.search.queries import check_limit, choose_order
from shared.wire.cursors import Cursors

Key = int | str


class Boundary(NamedTuple):
    """The last book before a page: its value, its id, and the ids of other books before it with the same value."""

    key: Key
    books: tuple[str, ...]


class Window(NamedTuple):
    """The part of the results that a page needs."""

    page: int
    offset: int
    """Results to skip; 0 with a boundary."""
    boundary: Boundary | None = None
    backward: bool = False
    """Whether the page ends before the boundary; the engine searches in the opposite direction then."""


class Pager:
    """Finds the window of a query, and makes the cursors of its page."""

    def __init__(self, cursors: Cursors, tenant: str, query: BookSearch, *, sorts_ids: bool = False) -> None:
        """Raises InvalidParams for a cursor of another query, and for a page that is too deep or too large.

        `sorts_ids` says that the engine sorts books with the same value by their ids, so that a cursor needs one id.
        Without it hardly any books have the same value, as a cursor has the ids of all of them.
        """
        check_limit(query.limit, MAX_LIMIT)
        self._cursors = cursors
        self._query = query
        self._sorts_ids = sorts_ids
        self._by_offset = choose_order(query)[0] == "relevance"
        self._scope: Any = [
            tenant,
            msgspec.to_builtins(msgspec.structs.replace(query, page=1, cursor=None, facets=())),
        ]
        self.window = self._open_window()

    @property
    def hits_wanted(self) -> int:
        """The number of hits to request: one more than a page has shows whether another page follows."""
        return self._query.limit + 1

    def make_page(
        self, hits: Sequence[Hit], total: int, *, corrected: bool = False, facets: Facets | None = None
    ) -> Found:
        """Returns the page of the hits that an engine has found in the window, in the direction of its search."""
        window, limit = self.window, self._query.limit
        more, shown = len(hits) > limit, list(hits[:limit])
        if window.backward:
            shown.reverse()
        page = 1 if window.backward and not more else window.page
        after = bool(shown) if window.backward else more
        before = more if window.backward else window.boundary is not None or window.offset > 0
        return Found(
            hits=tuple(shown),
            total=total,
            page=page,
            next_cursor=self._encode_cursor(shown, page + 1, backward=False) if after else None,
            previous_cursor=self._encode_cursor(shown, max(page - 1, 1), backward=True) if before and shown else None,
            corrected=corrected,
            facets=facets or Facets(),
        )

    def _open_window(self) -> Window:
        query = self._query
        if query.cursor is None:
            return self._open_offset((query.page - 1) * query.limit)
        place = self._cursors.decode_cursor(self._scope, query.cursor)
        if self._by_offset:
            return self._open_offset(int(place[0]))
        direction, page, key, *books = place
        value: Key = key if choose_order(query)[0] == "title" else int(key)
        return Window(int(page), 0, Boundary(value, tuple(books)), backward=direction == "b")

    def _open_offset(self, offset: int) -> Window:
        limit = self._query.limit
        if offset < 0:
            raise InvalidParams("pages are counted from 1", field="page")
        if offset + limit > MAX_DEPTH:
            raise InvalidParams(
                f"the page ends after {offset + limit} results, which is too deep",
                field="page",
                hint=f"pages end at {MAX_DEPTH} results; add a filter, or sort by another order and follow next_cursor",
            )
        return Window(offset // limit + 1, offset)

    def _encode_cursor(self, shown: Sequence[Hit], page: int, *, backward: bool) -> str | None:
        if self._by_offset:
            offset = (page - 1) * self._query.limit
            reachable = offset + self._query.limit <= MAX_DEPTH
            return self._cursors.encode_cursor(self._scope, [str(offset)]) if reachable else None
        edge = shown[0] if backward else shown[-1]
        same = [] if self._sorts_ids else self._list_same(shown, edge, backward=backward)
        place = ["b" if backward else "f", str(page), str(edge.key), *same, edge.book]
        return self._cursors.encode_cursor(self._scope, place)

    def _list_same(self, shown: Sequence[Hit], edge: Hit, *, backward: bool) -> list[str]:
        """Returns the ids of the other books before a boundary that have its value."""
        same = [hit.book for hit in shown if hit.key == edge.key and hit.book != edge.book]
        boundary, continues = self.window.boundary, self.window.backward == backward
        if boundary is not None and continues and boundary.key == edge.key:
            same += boundary.books
        return list(dict.fromkeys(same))
