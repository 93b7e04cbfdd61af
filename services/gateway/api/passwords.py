"""Passwords: changed by a signed-in user, and set by a link."""

from msgspec.structs import replace

from clients.accounts.accounts import load_account, load_hash, require_account, set_password
from clients.accounts.resets import load_reset, tenant_of_reset
from services.gateway.api.account_bodies import Message, PasswordChange, ResetConfirmation, ResetRequest, SignedInBody
from services.gateway.api.accounts import sign_in_response
from services.gateway.http.principal import INSTALLATION_PUBLIC, SIGNED_IN, Principal
from services.gateway.http.responses import json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.account_services import AccountServices
from services.gateway.identity.authenticator import Authenticator
from services.gateway.identity.sign_in import Client
from services.gateway.identity.tenant_limits import LOGIN, REGISTER
from shared.domain.accounts import normalize_email
from shared.domain.errors import ErrorReason, Gone, InvalidParams, Unauthorized
from shared.domain.passwords import normalize_password


class PasswordRoutes:
    """Routes below /users/password."""

    def __init__(self, services: AccountServices, authenticator: Authenticator) -> None:
        self._services = services
        self._authenticator = authenticator

    @route(
        "POST",
        "/api/v1/users/password",
        id="password_post_users",
        access=SIGNED_IN,
        tag="users",
        summary="Change the password",
        description="Ends all sessions of the user, and opens a new one of the same kind.",
        body=PasswordChange,
        example={"current_password": "siete gatos verdes", "new_password": "ocho perros azules"},
        responses={200: ResponseSpec(SignedInBody, "The password is changed")},
        errors=("conflict", "rate_limited", *UPSTREAM_ERRORS),
    )
    async def _change_password(self, request: HttpRequest) -> HttpResponse:
        services = self._services
        body: PasswordChange = request.body
        principal = request.principal
        assert principal.user is not None
        assert principal.session is not None
        records = services.backend.lookups.of(principal.tenant)
        current = normalize_password(body.current_password)
        with services.hashing.reserve() as place:
            account = await require_account(records, principal.user)
            password = services.check_password(body.new_password, account, principal.tenant, field="new_password")
            attempt = await services.throttle.begin_attempt(records, account.email, request.address)
            stored = await load_hash(records, account.user)
            if not await place.verify(None if stored is None else stored.hash, current):
                raise InvalidParams(
                    "La contraseña actual no es correcta",
                    field="current_password",
                    hint="type it again",
                    reason=ErrorReason("password_wrong"),
                )
            await services.throttle.end_attempt(records, attempt)
            active = await services.credentials.load_active_session(principal.tenant, account.user, principal.session)
            if active is None:
                raise Unauthorized("the session has ended", hint="sign in again", reason=ErrorReason("session_ended"))
            client = Client(request.address, active.session.agent, active.session.kind)
            renewed = replace(account, generation=account.generation + 1)
            opened = services.sign_ins.prepare_session(renewed, client)
            await set_password(records, account, await place.hash(password), also=[opened.action])
        services.credentials.forget(principal.tenant, account.user)
        signed_in = services.sign_ins.describe_session(principal.tenant, renewed, opened)
        return sign_in_response(request, "Contraseña cambiada exitosamente", signed_in, encrypted=services.encrypted)

    @route(
        "POST",
        "/api/v1/users/password/reset",
        id="reset_post_users",
        access=INSTALLATION_PUBLIC,
        limit_group=REGISTER,
        tag="users",
        summary="Ask for a link that sets a new password",
        description="The response is 202 whether or not the address has an account. Without a mail server nothing is "
        "sent: an administrator makes links with `user reset`.",
        body=ResetRequest,
        example={"email": "ana@example.com"},
        responses={202: ResponseSpec(Message, "If the address has an account, a message is on its way")},
        errors=("forbidden", "not_found", *UPSTREAM_ERRORS),
    )
    async def _ask_for_reset(self, request: HttpRequest) -> HttpResponse:
        services = self._services
        body: ResetRequest = request.body
        named = body.tenant_id if isinstance(body.tenant_id, str) else None
        tenant = await self._authenticator.resolve_tenant(request, named)
        email = normalize_email(body.email)
        if services.mail is not None:
            services.mail.put_reset(tenant, email)
        return json_response(Message("Si la dirección tiene una cuenta, le enviamos un mensaje"), status=202)

    @route(
        "POST",
        "/api/v1/users/password/reset/confirm",
        id="confirm_reset_post_users",
        access=INSTALLATION_PUBLIC,
        limit_group=LOGIN,
        tag="users",
        summary="Set a new password by the token of a link",
        description="A token is good once and for a limited time. All sessions of the user end.",
        body=ResetConfirmation,
        example={"token": "pr.main.…", "password": "ocho perros azules"},
        responses={200: ResponseSpec(Message, "The password is set")},
        errors=("gone", "conflict", "forbidden", "not_found", *UPSTREAM_ERRORS),
    )
    async def _confirm_reset(self, request: HttpRequest) -> HttpResponse:
        services = self._services
        body: ResetConfirmation = request.body
        named = tenant_of_reset(body.token)
        if named is None:
            raise _refuse_link()
        tenant = await self._authenticator.resolve_tenant(request, named)
        records = services.backend.lookups.of(tenant)
        with services.hashing.reserve() as place:
            reset = await load_reset(records, body.token)
            account = None if reset is None else await load_account(records, reset.user)
            if reset is None or account is None or account.generation != reset.generation:
                raise _refuse_link()
            # The audit log names whose password it is.
            request.principal = Principal(tenant=tenant, kind="account", user=account.user, name=account.email)
            password = services.check_password(body.password, account, tenant)
            await set_password(records, account, await place.hash(password), also=[reset.action])
        services.credentials.forget(tenant, account.user)
        await services.throttle.clear(records, account.email, request.address)
        return json_response(Message("Contraseña cambiada exitosamente"))


def _refuse_link() -> Gone:
    return Gone(
        "the link has expired or was used", field="token", hint="ask for a new one", reason=ErrorReason("link_used")
    )
