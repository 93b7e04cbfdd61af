"""Settings of the services that use the search of books, and the index that they name."""

from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta

from services.settings import NeighbourSettings
from shared.domain.errors import StartupError
from shared.runtime.settings import Count, Seconds, SecretUrl
from shared.search.port import BookIndex
from shared.search.tantivy.index import TantivyBookIndex, TantivyOptions
from shared.wire.cursors import Cursors

SearchEngine = Literal["tantivy", "opensearch"]

_FOLDER: Final = "search"
_PREFIX: Final = "comanda-books-"
# The key keeps a cursor to its query. It is no secret: a cursor opens nothing that the query does not.
_CURSORS: Final = Cursors(b"comanda-search")


class SearchSettings(NeighbourSettings, frozen=True):
    """Settings of the search by the lower-case names of their environment variables; times are seconds."""

    data_dir: str = "data"
    search: SearchEngine = "tantivy"
    search_url: SecretUrl | None = None
    search_seconds: Seconds = 5.0
    search_threads: Annotated[int, Meta(ge=1, le=64)] = 2
    max_searches: Count = 256
    max_open_indexes: Count = 256
    max_index_writers: Count = 16

    def open_book_index(self) -> BookIndex:
        """Returns the search index of all tenants; nothing is read or connected yet. Raises StartupError."""
        if self.search == "tantivy":
            options = TantivyOptions(
                search_threads=self.search_threads,
                waiting_searches=self.max_searches,
                open_readers=self.max_open_indexes,
                open_writers=self.max_index_writers,
            )
            return TantivyBookIndex(Path(self.data_dir) / _FOLDER, _CURSORS, options)
        if self.search_url is None or not self.search_url.startswith(("http://", "https://")):
            raise StartupError(
                "SEARCH=opensearch needs SEARCH_URL", hint="the address of the search server, http://… or https://…"
            )
        # The HTTP client takes a fifth of the gateway's start, which only installations with a search server need.
        from shared.search.opensearch.client import SearchServerClient  # noqa: PLC0415
        from shared.search.opensearch.index import OpenSearchBookIndex  # noqa: PLC0415

        return OpenSearchBookIndex(SearchServerClient(self.search_url, self.search_seconds), _CURSORS, _PREFIX)
