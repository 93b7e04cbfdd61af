"""Notices to the user who is signed in: purchases that have ended, and books that are cheaper or in stock again."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from clients.persistence import PersistenceClient
from clients.shop import notices
from services.gateway.api.account_bodies import Message
from services.gateway.api.shop.envelope import ListQuery, Pagination, TenantQuery, cut_page, own_account
from services.gateway.api.shop.views import Currency, load_currency, show_price
from services.gateway.http.principal import SIGNED_IN
from services.gateway.http.responses import json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.upstream.backend import Backend
from shared.domain.notices import MAX_NOTICES, NOTICE_DAYS, Notice, NoticeKind

_PATH: Final = "/api/v1/users/notices"


class NoticeView(Struct, frozen=True):
    """A notice. The prices are those of the day of the notice, and null unless it is about a price.

    One about a purchase has its id, and the first of its books.
    """

    notice_id: str
    user_id: str
    tenant_id: str
    kind: NoticeKind
    book_id: str
    title: str
    price: Decimal | None
    price_before: Decimal | None
    purchase_id: str | None
    reason: str | None
    currency: str
    created_at: str


class NoticePage(Struct, frozen=True):
    """Notices, newest first."""

    data: Sequence[NoticeView]
    pagination: Pagination


class NoticeRoutes:
    """Notices of the user who is signed in."""

    def __init__(self, persistence: Backend[PersistenceClient], tenants: TenantDirectory) -> None:
        self._records = persistence
        self._tenants = tenants

    @route(
        "GET",
        _PATH,
        id="list_get_notices",
        tag="lists",
        access=SIGNED_IN,
        summary="List notices about your purchases and your wishlist, newest first",
        description=f"A user has the last {MAX_NOTICES} of {NOTICE_DAYS} days.",
        query=ListQuery,
        responses={200: ResponseSpec(NoticePage, "A page of notices")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_notices(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        currency = await load_currency(self._tenants, tenant)
        found = await notices.list_notices(self._records.of(tenant).lists, user)
        scope = {"list": "notices", "tenant": tenant, "user": user}
        shown, pagination = cut_page(request.query, scope, found, lambda one: one.notice, descending=True)
        return json_response(NoticePage([_show_notice(one, tenant, currency) for one in shown], pagination))

    @route(
        "DELETE",
        f"{_PATH}/{{id}}",
        id="remove_delete_notices",
        tag="lists",
        access=SIGNED_IN,
        summary="Remove a notice",
        query=TenantQuery,
        responses={200: ResponseSpec(Message, "It is not in the list")},
        errors=UPSTREAM_ERRORS,
    )
    async def _remove_notice(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        await notices.delete_notice(self._records.of(tenant).lookups, user, request.id)
        return json_response(Message("Aviso eliminado"))


def _show_notice(notice: Notice, tenant: str, currency: Currency) -> NoticeView:
    return NoticeView(
        notice.notice,
        notice.user,
        tenant,
        notice.kind,
        notice.book,
        notice.title,
        show_price(notice.price, currency),
        show_price(notice.price_before, currency),
        notice.purchase,
        notice.reason,
        currency.code,
        notice.at,
    )
