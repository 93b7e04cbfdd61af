"""Metadata of a book's page in its first answer, for search engines and previews of links."""

import re
from typing import Any, Final

from clients.persistence import PersistenceClient
from clients.shop import books as shop
from services.gateway.api.shop.views import BookView, load_currency, show_book
from services.gateway.http.asgi import Scope
from services.gateway.http.responses import encode_json
from services.gateway.http.routes import HttpRequest
from services.gateway.http.web_apps import PageHead
from services.gateway.identity.authenticator import Authenticator
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.upstream.backend import Backend
from shared.domain.errors import ComandaError, NotFound

_BOOK: Final = re.compile(r"/shop/book/([^/]{1,64})")
_VOCABULARY: Final = "https://schema.org"


class BookHeads:
    """Finds the heads of the pages of books, in the shop of the visitor."""

    def __init__(
        self, authenticator: Authenticator, persistence: Backend[PersistenceClient], tenants: TenantDirectory
    ) -> None:
        self._authenticator = authenticator
        self._records = persistence
        self._tenants = tenants

    async def find_head(self, scope: Scope) -> PageHead | None:
        """Returns the title of a book and its description in the vocabulary of schema.org, as JSON-LD.

        The head of a book that does not exist has the status 404. None for other pages, where no tenant is named, and
        while the records cannot be read: the page itself says what is missing.
        """
        found = _BOOK.fullmatch(scope["path"])
        if found is None:
            return None
        try:
            tenant = (await self._authenticator.identify(HttpRequest(scope, scope["request_id"], {}))).tenant
        except ComandaError:
            return None
        try:
            stored = await shop.get_book(self._records.of(tenant).lookups, found[1])
            book = show_book(stored, tenant, await load_currency(self._tenants, tenant))
        except NotFound:
            return PageHead(404, None, None)
        except ComandaError:
            return None
        return PageHead(200, book.title, encode_json(_describe_book(book)).decode())


def _describe_book(book: BookView) -> dict[str, Any]:
    """Returns a book as schema.org describes it (https://schema.org/Book); members that are not known are left out."""
    names = [name.strip() for name in book.author.split(",") if name.strip()]
    in_stock = "InStock" if book.stock_quantity > 0 else "OutOfStock"
    members = {
        "@context": _VOCABULARY,
        "@type": "Book",
        "name": book.title,
        "author": [{"@type": "Person", "name": name} for name in names],
        "isbn": book.isbn,
        "inLanguage": book.language,
        "numberOfPages": book.pages,
        "publisher": {"@type": "Organization", "name": book.editorial} if book.editorial else None,
        "datePublished": str(book.publication_year) if (book.publication_year or 0) > 0 else None,
        "description": book.description,
        "image": book.cover_image_url,
        "aggregateRating": {"@type": "AggregateRating", "ratingValue": book.rating, "ratingCount": book.ratings}
        if book.ratings
        else None,
        "offers": {
            "@type": "Offer",
            "price": book.price,
            "priceCurrency": book.currency,
            "availability": f"{_VOCABULARY}/{in_stock}",
        }
        if book.price is not None
        else None,
    }
    return {name: value for name, value in members.items() if value not in (None, "")}
