"""Books as the bookstore's routes show them: with prices in the shop's currency and their copies in stock."""

from decimal import Decimal
from typing import Final, NamedTuple

from msgspec import Struct

from clients.shop.books import StoredBook
from services.gateway.identity.tenants import TenantDirectory
from shared.domain.books import Obstacle, obstacle_to_sale
from shared.domain.covers import small_cover
from shared.domain.money import to_decimal
from shared.domain.tenants import TenantRecord

COVERS: Final = "/api/v1/covers"
"""Uploaded covers are below this path, each in the folder of its tenant."""


class Currency(NamedTuple):
    """The currency of a shop: its ISO 4217 code, and the digits of its minor unit."""

    code: str
    exponent: int


class BookView(Struct, frozen=True):
    """A book. `reason` says why it is not for sale: it has no price, or it is out of stock."""

    book_id: str
    tenant_id: str
    isbn: str | None
    title: str
    author: str
    editorial: str
    category: str
    subcategory: str
    price: Decimal | None
    currency: str
    description: str
    cover_image_url: str
    thumbnail_url: str
    stock_quantity: int
    publication_year: int | None
    language: str
    pages: int | None
    rating: Decimal
    ratings: int
    available: bool
    reason: Obstacle | None
    is_active: bool
    created_at: str
    updated_at: str


async def load_currency(tenants: TenantDirectory, tenant: str) -> Currency:
    """Returns the currency of a shop. Raises Unavailable while the tenants cannot be read."""
    record = await load_shop(tenants, tenant)
    return Currency(record.currency, record.exponent)


async def load_shop(tenants: TenantDirectory, tenant: str) -> TenantRecord:
    """Returns the settings of a shop. Raises Unavailable while the tenants cannot be read."""
    await tenants.refresh()
    return tenants.find(tenant) or TenantRecord(tenant, tenant)


def show_price(price: int | None, currency: Currency) -> Decimal | None:
    """Returns a price in the major unit, with all digits of the minor one; None for none."""
    return None if price is None else to_decimal(price, currency.exponent)


def cover_path(tenant: str, name: str) -> str:
    """Returns the address of an uploaded cover."""
    return f"{COVERS}/{tenant}/{name}"


def uploaded_name(url: str, tenant: str) -> str | None:
    """Returns the name of an uploaded cover by its address; None for an address elsewhere."""
    prefix = cover_path(tenant, "")
    return url.removeprefix(prefix) if url.startswith(prefix) else None


def show_thumbnail(url: str) -> str:
    """Returns the address of the small size of a cover; that of the cover itself if it was not uploaded."""
    return small_cover(url) if url.startswith(f"{COVERS}/") else url


def show_book(stored: StoredBook, tenant: str, currency: Currency) -> BookView:
    """Returns a book as routes show it."""
    book = stored.book
    obstacle = obstacle_to_sale(book, stored.stock)
    return BookView(
        book_id=book.book,
        tenant_id=tenant,
        isbn=book.isbn,
        title=book.title,
        author=book.author,
        editorial=book.editorial,
        category=book.category,
        subcategory=book.subcategory,
        price=show_price(book.price, currency),
        currency=currency.code,
        description=book.description,
        cover_image_url=book.cover_image_url,
        thumbnail_url=show_thumbnail(book.cover_image_url),
        stock_quantity=stored.stock,
        publication_year=book.publication_year,
        language=book.language,
        pages=book.pages,
        rating=book.rating,
        ratings=book.ratings,
        available=obstacle is None,
        reason=obstacle,
        is_active=book.active,
        created_at=book.created_at,
        updated_at=book.updated_at,
    )
