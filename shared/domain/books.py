"""Books of a shop: what clients send, what is stored, and when a book can be bought."""

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shared.domain.errors import ErrorReason, InvalidParams
from shared.domain.isbn import parse_isbn
from shared.domain.money import to_minor_units
from shared.domain.stock import MAX_COUNT, UNFIT

MAIN_STORE: Final = "Main"
"""The store of the inventory from which books are sold; a book's item has the book's id as its name."""
SHARDS: Final = 32
"""Partitions of the index over all books, so that no partition has all books of a shop."""

MAX_TITLE: Final = 500
MAX_AUTHOR: Final = 1000
MAX_NAME: Final = 200
MAX_CATEGORY: Final = 100
MAX_DESCRIPTION: Final = 20_000
MAX_URL: Final = 2000
MAX_PAGES: Final = 100_000
MAX_RATING: Final = 5
FIRST_YEAR: Final = -5000
LAST_YEAR: Final = 3000

Obstacle = Literal["not_listed", "no_price", "out_of_stock"]
"""The reason why a book cannot be bought: it was deleted, has no price, or there are not enough copies."""

Title = Annotated[str, Meta(min_length=1, max_length=MAX_TITLE)]
Author = Annotated[str, Meta(min_length=1, max_length=MAX_AUTHOR, description="One author, or several with commas")]
Editorial = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, description="The publisher")]
Category = Annotated[str, Meta(min_length=1, max_length=MAX_CATEGORY)]
Subcategory = Annotated[str, Meta(max_length=MAX_CATEGORY)]
Price = Annotated[Decimal, Meta(description="In the shop's currency, more than 0")]
StockQuantity = Annotated[int, Meta(ge=0, le=MAX_COUNT, description=f"Copies in the store {MAIN_STORE}")]
Description = Annotated[str, Meta(max_length=MAX_DESCRIPTION)]
CoverUrl = Annotated[str, Meta(max_length=MAX_URL, description="An http or https address, or empty")]
Year = Annotated[int, Meta(ge=FIRST_YEAR, le=LAST_YEAR, description="Negative before Christ")]
Language = Annotated[
    str, Meta(pattern=r"^([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4})?\Z", description="ISO 639, for example es or en-US")
]
Pages = Annotated[int, Meta(ge=1, le=MAX_PAGES)]
Rating = Annotated[Decimal, Meta(description=f"From 0 to {MAX_RATING}, with at most 2 decimals")]
IsbnText = Annotated[str, Meta(max_length=40, description="10 or 13 digits, with or without hyphens")]
TenantId = Annotated[str, Meta(max_length=64, description="If it is there, the tenant of the request")]

_URL = re.compile(r"https?://[^\s<>\"\\]+|/[^/\s<>\"\\][^\s<>\"\\]*", re.IGNORECASE)
_LAYOUT = {ord("\t"): " ", ord("\n"): " ", ord("\r"): " "}
_UNCERTAIN_YEARS = 2
_RATING_STEPS = 100


class NewBook(Struct, frozen=True, forbid_unknown_fields=True):
    """A book as a client sends it."""

    isbn: IsbnText
    title: Title
    author: Author
    editorial: Editorial
    category: Category
    price: Price
    stock_quantity: StockQuantity
    subcategory: Subcategory = ""
    description: Description = ""
    cover_image_url: CoverUrl = ""
    publication_year: Year | None = None
    language: Language = "es"
    pages: Pages | None = None
    rating: Rating = Decimal(0)
    tenant_id: TenantId | None = None


class BookChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Members of a book that a client changes; the others stay. The ISBN of a book never changes."""

    title: Title | UnsetType = UNSET
    author: Author | UnsetType = UNSET
    editorial: Editorial | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    stock_quantity: StockQuantity | UnsetType = UNSET
    subcategory: Subcategory | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    cover_image_url: CoverUrl | UnsetType = UNSET
    publication_year: Year | UnsetType | None = UNSET
    language: Language | UnsetType = UNSET
    pages: Pages | UnsetType | None = UNSET
    rating: Rating | UnsetType = UNSET
    tenant_id: TenantId | None = None


class Book(Struct, frozen=True, kw_only=True):
    """A book as it is stored in the table `Books`."""

    book: str
    """Its id, a UUIDv7."""
    title: str
    author: str = ""
    isbn: str | None = None
    """13 digits; None if the book has no ISBN, or none is known."""
    price: int | None = None
    """In minor units of the shop's currency; None if no price is known."""
    editorial: str = ""
    category: str = ""
    subcategory: str = ""
    description: str = ""
    cover_image_url: str = ""
    publication_year: int | None = None
    language: str = ""
    pages: int | None = None
    rating: Decimal = Decimal(0)
    ratings: int = 0
    """The number of ratings of which `rating` is the mean; 0 if it is not known."""
    seq: int = 0
    """The number of the book in its shop, from 1, in the order of insertion: a tie-breaker for sorting."""
    shard: int = 0
    active: bool = True
    """False once the book was deleted; it stays readable for purchases and lists."""
    claim: str | None = None
    """Its key in the table `BookIsbns`, which is the ISBN, or stands for the title and the author without one."""
    created_at: str = ""
    updated_at: str = ""


def read_book(item: Mapping[str, Any]) -> Book:
    """Returns a stored book. Raises InvalidParams for a record that another program has written and is no book."""
    try:
        return msgspec.convert(item, Book)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"the record is not a book: {error}") from None


def obstacle_to_sale(book: Book, stock: int, quantity: int = 1) -> Obstacle | None:
    """Returns the reason why `quantity` copies of a book cannot be sold with this stock; None if they can."""
    if not book.active:
        return "not_listed"
    if not book.price:
        return "no_price"
    return None if stock >= quantity else "out_of_stock"


def is_for_sale(book: Book, stock: int, quantity: int = 1) -> bool:
    """Whether `quantity` copies of a book can be bought. Lists, carts and checkouts decide by this function alone."""
    return obstacle_to_sale(book, stock, quantity) is None


def split_authors(author: str) -> list[str]:
    """Returns the authors of a book one by one.

    >>> split_authors("J.K. Rowling, Mary GrandPré")
    ['J.K. Rowling', 'Mary GrandPré']
    """
    names = (name.strip() for name in re.split("[,;]", author))
    return list(dict.fromkeys(name for name in names if name))


def shard_of(book: str) -> int:
    """Returns the partition of a book in the index over all books; the last digits of its id are random."""
    return int(book[-2:], 16) % SHARDS


def check_new_book(sent: NewBook, *, exponent: int, this_year: int) -> dict[str, Any]:
    """Returns the members of a new book's record: checked, in normal form, without those that the store assigns.

    The shop's currency has `exponent` decimals. Raises InvalidParams naming the field.
    """
    members = {name: getattr(sent, name) for name in _CHECKED}
    return {"isbn": parse_isbn(sent.isbn), **_check_members(members, exponent=exponent, this_year=this_year)}


def check_book_change(sent: BookChange, *, exponent: int, this_year: int) -> dict[str, Any]:
    """Returns the members of a book's record that a client changes: checked and in normal form.

    Raises InvalidParams naming the field.
    """
    members = {name: value for name in _CHECKED if (value := getattr(sent, name)) is not UNSET}
    return _check_members(members, exponent=exponent, this_year=this_year)


def _check_members(members: dict[str, Any], *, exponent: int, this_year: int) -> dict[str, Any]:
    for name, limit in _TEXTS.items():
        if name in members:
            members[name] = clean_text(members[name], name, limit, required=name in _REQUIRED)
    if "author" in members and not split_authors(members["author"]):
        raise InvalidParams("author has no name", field="author", hint="several names are separated by commas")
    if "description" in members:
        members["description"] = clean_text(members["description"], "description", MAX_DESCRIPTION, lines=True)
    if (url := members.get("cover_image_url")) and not _URL.fullmatch(url):
        raise InvalidParams(
            "cover_image_url is not an address",
            field="cover_image_url",
            hint="https://…, a path, or an empty text",
            reason=ErrorReason("url_invalid"),
        )
    if "price" in members:
        members["price"] = check_price(members["price"], exponent)
    if "rating" in members:
        members["rating"] = check_rating(members["rating"])
    if (year := members.get("publication_year")) is not None:
        check_year(year, this_year)
    return members


def clean_text(text: str, field: str, limit: int, *, required: bool = False, lines: bool = False) -> str:
    """Returns a text in NFC, trimmed; with `lines` it may have line breaks and tabs.

    Raises InvalidParams for control characters, for more than `limit` characters, and for an empty `required` text.
    """
    text = unicodedata.normalize("NFC", text.strip())
    if unfit := UNFIT.search(text.translate(_LAYOUT) if lines else text):
        raise InvalidParams(
            f"{field} has the character U+{ord(unfit[0]):04X}",
            field=field,
            hint="leave it out",
            reason=ErrorReason("character", character=f"U+{ord(unfit[0]):04X}"),
        )
    if required and not text:
        raise InvalidParams(f"{field} must not be blank", field=field, reason=ErrorReason("required"))
    if len(text) > limit:
        raise InvalidParams(
            f"{field} has more than {limit} characters", field=field, reason=ErrorReason("max_length", max=limit)
        )
    return text


def check_price(price: Decimal, exponent: int) -> int:
    """Returns a price in minor units. Raises InvalidParams unless it is more than 0."""
    amount = to_minor_units(price, exponent, field="price")
    if not amount:
        raise InvalidParams("price must be more than 0", field="price", reason=ErrorReason("price_zero"))
    return amount


def check_rating(rating: Decimal) -> Decimal:
    """Returns a rating from 0 to 5 with at most two decimals. Raises InvalidParams."""
    if not rating.is_finite() or not 0 <= rating <= MAX_RATING:
        raise InvalidParams(
            f"rating must be a number from 0 to {MAX_RATING}",
            field="rating",
            reason=ErrorReason("range", min=0, max=MAX_RATING),
        )
    hundredths = to_minor_units(rating, 2, field="rating")
    return Decimal(hundredths) / _RATING_STEPS


def check_year(year: int, this_year: int) -> int:
    """Returns a year of publication. Raises InvalidParams for one that is far in the future."""
    if not FIRST_YEAR <= year <= this_year + _UNCERTAIN_YEARS:
        last = this_year + _UNCERTAIN_YEARS
        raise InvalidParams(
            f"publication_year must be from {FIRST_YEAR} to {last}",
            field="publication_year",
            reason=ErrorReason("range", min=FIRST_YEAR, max=last),
        )
    return year


_TEXTS: Final = {
    "title": MAX_TITLE,
    "author": MAX_AUTHOR,
    "editorial": MAX_NAME,
    "category": MAX_CATEGORY,
    "subcategory": MAX_CATEGORY,
}
_REQUIRED: Final = frozenset({"title", "author", "editorial", "category"})
_CHECKED: Final = (
    *_TEXTS,
    "description",
    "cover_image_url",
    "price",
    "publication_year",
    "language",
    "pages",
    "rating",
)
