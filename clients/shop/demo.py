"""A shop for a look: sample books, customers, their lists and their purchases, through the functions of the clients.

Everything is drawn from a seed, and made only if it is not there. So a second run with the same seed changes nothing,
and a run that was interrupted is completed by the next one.
"""

import datetime
import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from clients.accounts.accounts import build_account, create_account, find_account
from clients.accounts.resets import INVITATION_SECONDS, open_reset
from clients.persistence import PersistenceClient
from clients.shop.books import get_books
from clients.shop.carts import clear_cart, set_quantity
from clients.shop.checkout import CheckoutRequest, check_out, has_checked_out
from clients.shop.demo_books import complete_sample
from clients.shop.lists import add_favorite, add_wish, list_favorites, list_wishes
from clients.shop.loads import BookLoad, LoadDefaults
from clients.shop.purchases import list_purchases
from shared.csv.books import BookReader
from shared.domain.accounts import Account, Preferences
from shared.domain.books import is_for_sale
from shared.domain.errors import Conflict
from shared.domain.tables import BOOK_ISBNS
from shared.domain.tenants import TenantRecord

_CUSTOMERS: Final = (
    ("Ana", "Paz", "es"),
    ("Bruno", "Díaz", "es"),
    ("Carla", "Ruiz", "es"),
    ("David", "Miller", "en"),
    ("Elena", "Sosa", "es"),
    ("Frank", "Young", "en"),
)
FIRST_CUSTOMER: Final = "ana@example.com"
_CATEGORIES: Final = ("Novela", "Fantasía", "Clásicos", "Suspense", "Juvenil", "Ciencia ficción")
_FAVORITES: Final = 5
_WISHES: Final = 4
_PURCHASES: Final = 4
_MOST_LINES: Final = 4
_METHODS: Final = ("card", "card", "card", "cash_on_delivery", "simulated-declined")
_STREETS: Final = ("Mayor 1", "San Martín 820", "Urquiza 45", "25 de Mayo 1310", "Belgrano 77")
_MAX_DRAWN: Final = 1000
MAX_BYTES: Final = 2**20
"""Bytes of a sample."""


class DemoReport(Struct, frozen=True):
    """The number of items that a run has created; everything else existed."""

    books: int
    customers: int
    favorites: int
    wishes: int
    purchases: int

    def is_empty(self) -> bool:
        """Whether the run has made nothing."""
        return not (self.books or self.customers or self.favorites or self.wishes or self.purchases)


class Demo(NamedTuple):
    """The report of a run, and the token by which the first customer sets a password; None if she was there."""

    report: DemoReport
    token: str | None


async def fill_shop(
    records: PersistenceClient, shop: TenantRecord, sample: str, *, seed: int, progress: Callable[[str], None]
) -> Demo:
    """Fills the shop of a tenant; `sample` is a CSV of books. Calls `progress` with what is being made.

    Raises InvalidParams for a file that has no books.
    """
    progress("books")
    text = complete_sample(sample, seed, decimals=shop.exponent > 0).encode()
    books_made = await _add_books(records, shop, text)
    books = await _find_books(records, shop, text)
    made = {"customers": 0, "favorites": 0, "wishes": 0, "purchases": 0}
    token: str | None = None
    for number, (first_name, last_name, language) in enumerate(_CUSTOMERS):
        progress(f"{first_name} {last_name}")
        drawn = random.Random(f"{seed} {number}")
        account = await find_account(records, _address_of(first_name))
        if account is None:
            preferences = Preferences(categories=drawn.sample(_CATEGORIES, 2), language=language)
            account = build_account(_address_of(first_name), first_name, last_name, ["customer"], preferences)
            reset = open_reset(shop.tenant, account, seconds=INVITATION_SECONDS)
            await create_account(records, account, password_hash=None, also=[reset.action])
            made["customers"] += 1
            token = reset.token if number == 0 else token
        else:
            # The draws that follow are those of the first run.
            drawn.sample(_CATEGORIES, 2)
        made["favorites"] += await _add_favorites(records, account, drawn.sample(books, min(_FAVORITES, len(books))))
        made["wishes"] += await _add_wishes(records, account, drawn.sample(books, min(_WISHES, len(books))))
        # A key is kept for 30 days only.
        bought = len(await list_purchases(records, account.user, limit=_PURCHASES))
        for place in range(_PURCHASES if bought < _PURCHASES else 0):
            made["purchases"] += await _buy(records, shop, account, books, drawn, f"demo-{seed}-{place}")
    return Demo(DemoReport(books_made, **made), token)


def _address_of(first_name: str) -> str:
    return f"{first_name.lower()}@example.com"


async def _add_books(records: PersistenceClient, shop: TenantRecord, text: bytes) -> int:
    defaults = LoadDefaults()
    load = BookLoad(records, name="demo.csv", exponent=shop.exponent, max_bytes=2 * MAX_BYTES, defaults=defaults)
    load.feed(text)
    load.finish(partial=True)
    return (await load.add(lambda _: None)).new or 0


async def _find_books(records: PersistenceClient, shop: TenantRecord, text: bytes) -> list[str]:
    """Returns the ids of the first thousand books, in the order of the file."""
    reader = BookReader(exponent=shop.exponent, this_year=datetime.datetime.now(datetime.UTC).year)
    rows = [*reader.feed(text), *reader.finish()][:_MAX_DRAWN]
    claims = await records.get_items(BOOK_ISBNS.name, [{"isbn": row.claim} for row in rows])
    return [claim.item["book"] for claim in claims if claim.item is not None]


async def _add_favorites(records: PersistenceClient, account: Account, books: Sequence[str]) -> int:
    present = {entry.book for entry in await list_favorites(records, account.user)}
    missing = [book for book in books if book not in present]
    for book in missing:
        await add_favorite(records, account.user, book)
    return len(missing)


async def _add_wishes(records: PersistenceClient, account: Account, books: Sequence[str]) -> int:
    present = {entry.book for entry in await list_wishes(records, account.user)}
    missing = [(priority, book) for priority, book in enumerate(books, 1) if book not in present]
    for priority, book in missing:
        await add_wish(records, account.user, book, priority)
    return len(missing)


async def _buy(
    records: PersistenceClient,
    shop: TenantRecord,
    account: Account,
    books: Sequence[str],
    drawn: random.Random,
    key: str,
) -> int:
    """Makes one purchase, unless its key has made it before or its books are sold out. Returns the number made."""
    chosen = drawn.sample(books, min(drawn.randint(1, _MOST_LINES), len(books)))
    quantities = [drawn.choice((1, 1, 1, 2)) for _ in chosen]
    address = {"name": f"{account.first_name} {account.last_name}", "street": drawn.choice(_STREETS)}
    request = CheckoutRequest(drawn.choice(_METHODS), address, key=key)
    if await has_checked_out(records, account.user, key):
        return 0
    lines = [
        (stored.book.book, quantity)
        for stored, quantity in zip(await get_books(records, chosen), quantities, strict=True)
        if stored is not None and is_for_sale(stored.book, stored.stock, quantity)
    ]
    if not lines:
        return 0
    # A run that was interrupted may have left a cart.
    await clear_cart(records, account.user)
    for book, quantity in lines:
        await set_quantity(records, account.user, book, quantity)
    try:
        return int((await check_out(records, shop, account.user, request)).created)
    except Conflict:
        # Others have bought these copies meanwhile.
        return 0
