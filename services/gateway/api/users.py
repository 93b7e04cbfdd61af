"""Users and API keys of a tenant, for its administrators."""

from typing import Annotated

from msgspec import Meta, Struct

from clients.accounts import api_keys
from clients.accounts.accounts import change_account, list_accounts
from services.gateway.api.account_bodies import (
    ApiKeyList,
    ApiKeyRequest,
    ApiKeyView,
    BlockChange,
    ListedUser,
    RoleChange,
    ShownApiKey,
    UserPage,
    listed_user,
)
from services.gateway.http.parameters import Cursor
from services.gateway.http.principal import ADMINS, Principal
from services.gateway.http.responses import json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.account_services import AccountServices
from shared.domain.errors import Conflict, ErrorReason

_DAY_SECONDS = 86_400
_CHANGED = {200: ResponseSpec(ListedUser, "The user")}


class UserQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page of users."""

    limit: Annotated[int, Meta(ge=1, le=100, description="How many, at most")] = 20
    cursor: Cursor | None = None


class UserRoutes:
    """Routes of administrators about users and API keys of their tenant."""

    def __init__(self, services: AccountServices) -> None:
        self._services = services

    @route(
        "GET",
        "/api/v1/users",
        id="list_get_users",
        access=ADMINS,
        tag="users",
        summary="List the users of the tenant",
        query=UserQuery,
        responses={200: ResponseSpec(UserPage, "A page of users")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_users(self, request: HttpRequest) -> HttpResponse:
        query: UserQuery = request.query
        tenant = request.principal.tenant
        page = await list_accounts(self._services.backend.lists.of(tenant), limit=query.limit, cursor=query.cursor)
        return json_response(UserPage([listed_user(account, tenant) for account in page.accounts], page.cursor))

    @route(
        "PUT",
        "/api/v1/users/{id}/role",
        id="role_put_users",
        access=ADMINS,
        tag="users",
        summary="Give a user a role",
        description="In force everywhere within 10 seconds. Administrators cannot change their own role.",
        body=RoleChange,
        example={"role": "staff"},
        responses=_CHANGED,
        errors=("not_found", "conflict", *UPSTREAM_ERRORS),
    )
    async def _change_role(self, request: HttpRequest) -> HttpResponse:
        principal = request.principal
        _check_other(principal, request.id)
        records = self._services.backend.lookups.of(principal.tenant)
        account = await change_account(records, request.id, roles=[request.body.role])
        self._services.credentials.forget(principal.tenant, request.id)
        return json_response(listed_user(account, principal.tenant))

    @route(
        "PUT",
        "/api/v1/users/{id}/block",
        id="block_put_users",
        access=ADMINS,
        tag="users",
        summary="Block a user, or end that",
        description="All sessions of the user end. Administrators cannot block themselves.",
        body=BlockChange,
        example={"blocked": True},
        responses=_CHANGED,
        errors=("not_found", "conflict", *UPSTREAM_ERRORS),
    )
    async def _block(self, request: HttpRequest) -> HttpResponse:
        principal = request.principal
        _check_other(principal, request.id)
        records = self._services.backend.lookups.of(principal.tenant)
        account = await change_account(records, request.id, active=not request.body.blocked)
        self._services.credentials.forget(principal.tenant, request.id)
        return json_response(listed_user(account, principal.tenant))

    @route(
        "GET",
        "/api/v1/api-keys",
        id="list_get_api_keys",
        access=ADMINS,
        tag="users",
        summary="List the API keys of the tenant",
        responses={200: ResponseSpec(ApiKeyList, "The keys that have not expired, without their texts")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_keys(self, request: HttpRequest) -> HttpResponse:
        found = await api_keys.list_api_keys(self._services.backend.lists.of(request.principal.tenant))
        return json_response(ApiKeyList([_public_key(one) for one in found]))

    @route(
        "POST",
        "/api/v1/api-keys",
        id="add_post_api_keys",
        access=ADMINS,
        tag="users",
        summary="Make an API key",
        body=ApiKeyRequest,
        example={"name": "caja 1", "role": "staff", "days": 90},
        responses={201: ResponseSpec(ShownApiKey, "The key; its text is not shown again")},
        errors=("conflict", *UPSTREAM_ERRORS),
    )
    async def _add_key(self, request: HttpRequest) -> HttpResponse:
        body: ApiKeyRequest = request.body
        principal = request.principal
        made = await api_keys.create_api_key(
            self._services.backend.lookups.of(principal.tenant),
            principal.tenant,
            name=body.name,
            role=body.role,
            seconds=int(body.days * _DAY_SECONDS),
            created_by=principal.name,
        )
        key = _public_key(made.key)
        members = {name: getattr(key, name) for name in ApiKeyView.__struct_fields__}
        return json_response(
            ShownApiKey(**members, api_key=made.text), status=201, location=f"/api/v1/api-keys/{key.id}"
        )

    @route(
        "DELETE",
        "/api/v1/api-keys/{id}",
        id="remove_delete_api_keys",
        access=ADMINS,
        tag="users",
        summary="Remove an API key",
        responses={204: ResponseSpec(None, "It is not valid any more: here at once, elsewhere within 10 seconds")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _remove_key(self, request: HttpRequest) -> HttpResponse:
        tenant = request.principal.tenant
        await api_keys.delete_api_key(self._services.backend.lookups.of(tenant), request.id)
        self._services.credentials.forget(tenant, request.id)
        return HttpResponse(204, [], b"")


def _check_other(principal: Principal, user: str) -> None:
    """Raises Conflict for an administrator's own account: one administrator has to remain."""
    if principal.user == user:
        raise Conflict(
            "this is your own account",
            field="id",
            hint="another administrator has to do this",
            reason=ErrorReason("own_account"),
        )


def _public_key(key: api_keys.ApiKey) -> ApiKeyView:
    return ApiKeyView(key.key, key.name, key.role, key.created_at, key.created_by, key.expires)
