"""Carts of guests: their tokens, and the merge into the cart of a user who signs in.

Programs send the token in the header X-Cart-Token. Browsers also get it in a cookie that scripts cannot read and other
sites cannot send, so that a page has nothing to keep.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import structlog
from msgspec import Meta, Struct

from clients.accounts.secret_tokens import digest_secret
from clients.persistence import PersistenceClient
from clients.shop.carts import merge_guest_cart
from services.gateway.http.routes import HttpRequest
from services.gateway.identity.cookies import set_cookie
from services.gateway.identity.headers import find_cookies, has_session_cookie
from services.gateway.upstream.backend import Backend
from shared.domain.carts import GUEST_SECONDS, guest_owner
from shared.domain.errors import ComandaError, ErrorReason, Unauthorized

_COOKIE: Final = "comanda_cart"
_FORM: Final = r"^[A-Za-z0-9_-]{43}\Z"
_TOKEN: Final = re.compile(_FORM)

CartToken = Annotated[str, Meta(pattern=_FORM, description="The cart of a guest, from the first addition")]


class GuestHeaders(Struct, frozen=True, rename={"token": "x-cart-token"}):
    """The token of a guest who signs in."""

    token: CartToken | None = None


class Guest(NamedTuple):
    """A visitor who is not signed in. A browser keeps its token in a cookie."""

    token: str
    is_browser: bool

    @property
    def owner(self) -> str:
        """Key of the guest's cart."""
        return guest_owner(digest_secret(self.token))


class MergedCartView(Struct, frozen=True):
    """A guest's cart that became a part of the user's: its lines, the books that found no room, and all copies now."""

    merged: int
    left_out: Sequence[str]
    total_items: int


class GuestCarts:
    """Reads and writes the tokens of guests. `encrypted` says whether clients reach the gateway with TLS."""

    def __init__(self, persistence: Backend[PersistenceClient], *, encrypted: bool) -> None:
        self._records = persistence
        self._encrypted = encrypted
        self._name = f"__Host-{_COOKIE}" if encrypted else _COOKIE
        self._log = structlog.get_logger()

    def check_session(self, request: HttpRequest) -> None:
        """Raises Unauthorized for credentials that are not valid any more: their cart is not a guest's."""
        sent = request.header(b"authorization") is not None
        sent = sent or has_session_cookie(request.raw_headers, encrypted=self._encrypted)
        if sent and request.principal.kind == "anonymous":
            raise Unauthorized(
                "these credentials are not valid any more",
                hint="sign in again; the cart is kept",
                reason=ErrorReason("session_ended"),
            )

    def find_guest(self, request: HttpRequest) -> Guest | None:
        """Returns the guest that a request names in its header, or else in its cookie."""
        token: str | None = request.headers.token
        if token is not None:
            return Guest(token, is_browser=False)
        name = self._name.encode()
        for header, value in request.raw_headers:
            if header == b"cookie" and name in value:
                for found in find_cookies(value, name):
                    # A cookie of another form was not set here, and is no reason to refuse the request.
                    if _TOKEN.match(text := found.decode("latin-1")):
                        return Guest(text, is_browser=True)
        return None

    def keep_token(self, token: str) -> tuple[bytes, bytes]:
        """Returns the header by which a browser keeps a token as long as its cart is kept."""
        return set_cookie(self._name, token, seconds=GUEST_SECONDS, encrypted=self._encrypted)

    def forget_token(self) -> tuple[bytes, bytes]:
        """Returns the header by which a browser forgets the token."""
        return set_cookie(self._name, "", seconds=0, encrypted=self._encrypted)

    async def merge(self, guest: Guest, tenant: str, user: str) -> MergedCartView | None:
        """Moves the cart of a guest to a user's. Returns None if that fails: it can be repeated."""
        try:
            merge = await merge_guest_cart(self._records.of(tenant).lookups, guest.owner, user)
        except ComandaError as error:
            # The user is signed in all the same. The guest's cart is still there.
            self._log.debug("guest_cart_not_merged", reason=error.message)
            return None
        return MergedCartView(merge.merged, merge.left_out, sum(line.quantity for line in merge.cart.lines.values()))
