"""Ids of the books of pages, kept until a book is added to a shop or deleted.

A page of the newest books is merged from all partitions of an index, which takes ten milliseconds of the processor.
Each transaction that adds or deletes books also changes the count of listed books. So the version of that count, read
before a page is put together, tells whether the page still has these books.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

_PAGES: Final = 256
"""At 100 books, their ids take 2 MB."""


class ListedPage(NamedTuple):
    """Ids of the books of a page, its number, and whether there are others after it and before it."""

    books: Sequence[str]
    page: int
    following: bool
    before: bool


class ListedPages:
    """Pages of all shops, those that were asked for last."""

    def __init__(self) -> None:
        self._pages: OrderedDict[Hashable, tuple[int, ListedPage]] = OrderedDict()

    def find(self, query: Hashable, version: int) -> ListedPage | None:
        """Returns the page of a query, unless the books have changed since `version`."""
        kept = self._pages.get(query)
        if kept is None or kept[0] != version:
            return None
        self._pages.move_to_end(query)
        return kept[1]

    def keep(self, query: Hashable, version: int, page: ListedPage) -> None:
        """Keeps the page of a query, which was read after `version` was."""
        self._pages[query] = (version, page)
        self._pages.move_to_end(query)
        if len(self._pages) > _PAGES:
            self._pages.popitem(last=False)
