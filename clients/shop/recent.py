"""The carts and books that this process used last: writes begin with them, instead of reading first.

They may be old. So a write that relies on them has conditions that refuse it then, and is tried again with what is
stored; no customer is refused because of them.
"""

from msgspec import structs

from clients.persistence import PersistenceClient
from clients.shop.books import StoredBook
from shared.domain.carts import Cart


class RecentShop:
    """The carts and books of all tenants, at most `max_entries`; a cart counts as much as its lines.

    Descriptions of books are left out.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: dict[tuple[str, str, str], Cart | StoredBook] = {}
        """The one that was used last stands at the end."""
        self._size = 0

    def of(self, tenant: str, client: PersistenceClient) -> "RecentTenantShop":
        """Returns those of a tenant. `client`, a view of the tenant, sends writes that begin with them."""
        return RecentTenantShop(self, tenant, client)

    def find(self, key: tuple[str, str, str]) -> Cart | StoredBook | None:
        """Returns an entry, or None if it was not kept."""
        found = self._entries.pop(key, None)
        if found is not None:
            self._entries[key] = found
        return found

    def keep(self, key: tuple[str, str, str], entry: Cart | StoredBook) -> None:
        """Keeps an entry unless there is a newer one; those that were not used for longest leave."""
        before = self._entries.get(key)
        if before is not None and before.version > entry.version:
            return
        self.forget(key)
        self._entries[key] = entry
        self._size += _count(entry)
        while self._size > self._max_entries:
            self.forget(next(iter(self._entries)))

    def forget(self, key: tuple[str, str, str]) -> None:
        """Removes an entry, if it is there."""
        found = self._entries.pop(key, None)
        if found is not None:
            self._size -= _count(found)


class RecentTenantShop:
    """The carts and books of one tenant in a `RecentShop`."""

    __slots__ = ("_shop", "_tenant", "client")

    def __init__(self, shop: RecentShop, tenant: str, client: PersistenceClient) -> None:
        self.client = client
        self._shop = shop
        self._tenant = tenant

    def find_cart(self, owner: str) -> Cart | None:
        """Returns a cart as it was."""
        found = self._shop.find((self._tenant, "cart", owner))
        return found if isinstance(found, Cart) else None

    def keep_cart(self, cart: Cart) -> None:
        """Keeps a cart that was read or written."""
        self._shop.keep((self._tenant, "cart", cart.owner), cart)

    def forget_cart(self, owner: str) -> None:
        """Forgets a cart that is not there any more, or that is another one."""
        self._shop.forget((self._tenant, "cart", owner))

    def find_book(self, book: str) -> StoredBook | None:
        """Returns a book as it was, without its description."""
        found = self._shop.find((self._tenant, "book", book))
        return found if isinstance(found, StoredBook) else None

    def keep_book(self, stored: StoredBook) -> None:
        """Keeps a book that was read."""
        brief = stored._replace(book=structs.replace(stored.book, description=""))
        self._shop.keep((self._tenant, "book", stored.book.book), brief)

    def forget_book(self, book: str) -> None:
        """Forgets a book that is another one now."""
        self._shop.forget((self._tenant, "book", book))


def _count(entry: Cart | StoredBook) -> int:
    return 1 + len(entry.lines) if isinstance(entry, Cart) else 1
