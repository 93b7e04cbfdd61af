"""The signed-in user: profile, preferences, sessions, everything that is stored, and its removal."""

from msgspec import UNSET, to_builtins

from clients.accounts.accounts import change_account, delete_account, load_hash, require_account
from clients.accounts.belongings import delete_belongings, export_belongings
from clients.accounts.sessions import Session, end_session, end_sessions, list_sessions
from clients.persistence import PersistenceClient
from services.gateway.api.account_bodies import (
    AccountRemoval,
    Export,
    Message,
    ProfileChange,
    PublicUser,
    SessionList,
    SessionView,
    listed_user,
    public_user,
)
from services.gateway.http.principal import SIGNED_IN, Principal
from services.gateway.http.responses import json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.account_services import AccountServices
from services.gateway.identity.cookies import clear_session_cookie
from shared.domain.accounts import Account, Preferences
from shared.domain.errors import ErrorReason, InvalidParams, NotFound
from shared.domain.passwords import normalize_password

_MAX_SESSIONS = 1000
_CHANGED = {200: ResponseSpec(Message, "It is stored")}


class ProfileRoutes:
    """Routes of the signed-in user."""

    def __init__(self, services: AccountServices) -> None:
        self._services = services

    @route(
        "GET",
        "/api/v1/users/profile",
        id="profile_get_users",
        access=SIGNED_IN,
        tag="users",
        summary="Look at the profile",
        responses={200: ResponseSpec(PublicUser, "The signed-in user")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _show_profile(self, request: HttpRequest) -> HttpResponse:
        account = await self._load_account(request.principal)
        return json_response(public_user(account, request.principal.tenant))

    @route(
        "PUT",
        "/api/v1/users/profile",
        id="profile_put_users",
        access=SIGNED_IN,
        tag="users",
        summary="Change the profile",
        body=ProfileChange,
        example={"first_name": "Ana", "last_name": "Paz"},
        responses=_CHANGED,
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _change_profile(self, request: HttpRequest) -> HttpResponse:
        body: ProfileChange = request.body
        members = {"first_name": body.first_name, "last_name": body.last_name}
        if body.preferences is not UNSET:
            members["preferences"] = to_builtins(body.preferences)
        await change_account(self._records_of(request.principal), _user_of(request.principal), members=members)
        return json_response(Message("Perfil actualizado exitosamente"))

    @route(
        "PUT",
        "/api/v1/users/preferences",
        id="preferences_put_users",
        access=SIGNED_IN,
        tag="users",
        summary="Replace the preferences",
        body=Preferences,
        example={"categories": ["Novela"], "language": "es"},
        responses=_CHANGED,
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _change_preferences(self, request: HttpRequest) -> HttpResponse:
        members = {"preferences": to_builtins(request.body)}
        await change_account(self._records_of(request.principal), _user_of(request.principal), members=members)
        return json_response(Message("Preferencias actualizadas exitosamente"))

    @route(
        "GET",
        "/api/v1/users/export",
        id="export_get_users",
        access=SIGNED_IN,
        tag="users",
        summary="Everything that is stored of the account",
        responses={200: ResponseSpec(Export, "The account, its sessions, and its lists")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _export(self, request: HttpRequest) -> HttpResponse:
        account = await self._load_account(request.principal)
        belongings = await export_belongings(self._records_of(request.principal), account.user)
        user = listed_user(account, request.principal.tenant)
        return json_response(Export(user, await self._list(request), belongings))

    @route(
        "DELETE",
        "/api/v1/users/me",
        id="remove_delete_users",
        access=SIGNED_IN,
        tag="users",
        summary="Remove the account",
        body=AccountRemoval,
        example={"password": "siete gatos verdes"},
        responses={200: ResponseSpec(Message, "The account is gone, and its address is free")},
        errors=("not_found", "rate_limited", *UPSTREAM_ERRORS),
    )
    async def _remove_account(self, request: HttpRequest) -> HttpResponse:
        principal = request.principal
        password = normalize_password(request.body.password)
        records = self._records_of(principal)
        with self._services.hashing.reserve() as place:
            account = await self._load_account(principal)
            attempt = await self._services.throttle.begin_attempt(records, account.email, request.address)
            stored = await load_hash(records, account.user)
            if not await place.verify(None if stored is None else stored.hash, password):
                raise InvalidParams(
                    "La contraseña no es correcta",
                    field="password",
                    hint="type it again",
                    reason=ErrorReason("password_wrong"),
                )
        await self._services.throttle.end_attempt(records, attempt)
        # The account goes last: until then the user can repeat this.
        await delete_belongings(records, account.user)
        await delete_account(records, account)
        self._services.credentials.forget(principal.tenant, account.user)
        # They are void already.
        await end_sessions(records, account.user, await list_sessions(records, account.user, limit=_MAX_SESSIONS))
        response = json_response(Message("Cuenta eliminada exitosamente"))
        response.headers.append(clear_session_cookie(encrypted=self._services.encrypted))
        return response

    @route(
        "GET",
        "/api/v1/sessions",
        id="list_get_sessions",
        access=SIGNED_IN,
        tag="users",
        summary="List the sessions of the user",
        responses={200: ResponseSpec(SessionList, "The sessions that are in force")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _list_sessions(self, request: HttpRequest) -> HttpResponse:
        return json_response(SessionList(await self._list(request)))

    @route(
        "DELETE",
        "/api/v1/sessions/{id}",
        id="end_delete_sessions",
        access=SIGNED_IN,
        tag="users",
        summary="End a session of the user",
        responses={204: ResponseSpec(None, "It has ended")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _end_session(self, request: HttpRequest) -> HttpResponse:
        principal = request.principal
        if all(one.session != request.id for one in await self._load_sessions(principal)):
            raise NotFound("there is no such session", field="id", reason=ErrorReason("session_unknown"))
        await end_session(self._records_of(principal), _user_of(principal), request.id)
        self._services.credentials.forget(principal.tenant, _user_of(principal), request.id)
        return HttpResponse(204, [], b"")

    @route(
        "DELETE",
        "/api/v1/sessions",
        id="end_others_delete_sessions",
        access=SIGNED_IN,
        tag="users",
        summary="End all other sessions of the user",
        responses={204: ResponseSpec(None, "Only this session is left")},
        errors=UPSTREAM_ERRORS,
    )
    async def _end_other_sessions(self, request: HttpRequest) -> HttpResponse:
        principal = request.principal
        others = [one for one in await self._load_sessions(principal) if one.session != principal.session]
        await end_sessions(self._records_of(principal), _user_of(principal), others)
        self._services.credentials.forget(principal.tenant, _user_of(principal))
        return HttpResponse(204, [], b"")

    async def _list(self, request: HttpRequest) -> list[SessionView]:
        current = request.principal.session
        account = await self._load_account(request.principal)
        return [
            SessionView(one.session, one.kind, one.agent, one.created_at, one.expires, one.session == current)
            for one in await self._load_sessions(request.principal)
            if one.generation == account.generation
        ]

    async def _load_sessions(self, principal: Principal) -> list[Session]:
        return list(await list_sessions(self._records_of(principal), _user_of(principal), limit=_MAX_SESSIONS))

    async def _load_account(self, principal: Principal) -> Account:
        return await require_account(self._records_of(principal), _user_of(principal))

    def _records_of(self, principal: Principal) -> PersistenceClient:
        return self._services.backend.lookups.of(principal.tenant)


def _user_of(principal: Principal) -> str:
    """Returns the user of a route that admits accounts only."""
    assert principal.user is not None
    return principal.user
