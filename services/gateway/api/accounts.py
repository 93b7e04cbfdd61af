"""Registration, sign-in, and the tokens of a signed-in user."""

import time

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from clients.accounts.accounts import build_account, create_account, find_user
from clients.accounts.secret_tokens import parse_token
from clients.accounts.sessions import end_session
from services.gateway.api.account_bodies import (
    Login,
    Message,
    Refresh,
    Registration,
    SignedInBody,
    TokenState,
    signed_in_body,
)
from services.gateway.api.shop.guest_carts import GuestCarts, GuestHeaders, MergedCartView
from services.gateway.http.principal import INSTALLATION_PUBLIC, Principal
from services.gateway.http.responses import json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.account_services import AccountServices
from services.gateway.identity.authenticator import Authenticator
from services.gateway.identity.cookies import clear_session_cookie, set_session_cookie
from services.gateway.identity.sign_in import REFRESH_PREFIX, Client, SignedIn
from services.gateway.identity.tenant_limits import LOGIN, REGISTER
from shared.domain.accounts import Account, normalize_email
from shared.domain.errors import Conflict, ErrorReason, Forbidden, InvalidParams, NotFound, Unauthorized

_SIGN_IN_ERRORS = ("unauthorized", "rate_limited", "forbidden", "not_found", *UPSTREAM_ERRORS)
_AGENT = b"user-agent"
_BEARER = "bearer "


class AccountRoutes:
    """Routes of users who are not signed in yet, and of their tokens."""

    def __init__(self, services: AccountServices, authenticator: Authenticator, guest_carts: GuestCarts) -> None:
        self._services = services
        self._guest_carts = guest_carts
        self._authenticator = authenticator

    @route(
        "POST",
        "/api/v1/users/register",
        id="register_post_users",
        access=INSTALLATION_PUBLIC,
        limit_group=REGISTER,
        tag="users",
        summary="Register",
        description="A guest's cart becomes the user's. Where mail is sent, the response is 202 whether or not the "
        "address has an account, and the account gets its password by a link in the message.",
        headers=GuestHeaders,
        body=Registration,
        example={"email": "ana@example.com", "password": "siete gatos verdes", "first_name": "Ana", "last_name": "Paz"},
        responses={
            200: ResponseSpec(SignedInBody, "The user is registered and signed in"),
            202: ResponseSpec(Message, "A message with the next step is on its way"),
        },
        errors=("conflict", *_SIGN_IN_ERRORS),
    )
    async def _register(self, request: HttpRequest) -> HttpResponse:
        services = self._services
        body: Registration = request.body
        tenant = await self._authenticator.resolve_tenant(request, _text_or_none(body.tenant_id))
        account, password = self._check_registration(body, tenant)
        if services.mail is not None:
            services.mail.put_welcome(tenant, account)
            return json_response(Message("Le enviamos un mensaje para terminar el registro"), status=202)
        records = services.backend.lookups.of(tenant)
        opened = services.sign_ins.prepare_session(account, _client_of(request, with_cookie=body.cookie))
        with services.hashing.reserve() as place:
            if await find_user(records, account.email) is not None:
                raise _refuse_taken()
            password_hash = await place.hash(password)
        try:
            await create_account(records, account, password_hash=password_hash, also=[opened.action])
        except Conflict:
            raise _refuse_taken() from None
        signed_in = services.sign_ins.describe_session(tenant, account, opened)
        return await self._respond_with_cart(request, "Usuario registrado exitosamente", signed_in)

    @route(
        "POST",
        "/api/v1/users/login",
        id="login_post_users",
        access=INSTALLATION_PUBLIC,
        limit_group=LOGIN,
        tag="users",
        summary="Sign in",
        description="The cart of a guest (X-Cart-Token, or the cookie of the cart) becomes the user's.",
        headers=GuestHeaders,
        body=Login,
        example={"email": "ana@example.com", "password": "siete gatos verdes"},
        responses={200: ResponseSpec(SignedInBody, "The user is signed in")},
        errors=_SIGN_IN_ERRORS,
    )
    async def _login(self, request: HttpRequest) -> HttpResponse:
        body: Login = request.body
        # First of all: refusing the surplus of a flood has to be cheap.
        with self._services.hashing.reserve() as place:
            tenant = await self._authenticator.resolve_tenant(request, _text_or_none(body.tenant_id))
            client = _client_of(request, with_cookie=body.cookie)
            signed_in = await self._services.sign_ins.sign_in(place, tenant, body.email, body.password, client)
        if body.cookie and request.header(b"authorization") is None:
            # The new cookie replaces the one that named this session.
            await self._end_session(request.principal)
        return await self._respond_with_cart(request, "Login exitoso", signed_in)

    @route(
        "POST",
        "/api/v1/users/refresh",
        id="refresh_post_users",
        access=INSTALLATION_PUBLIC,
        tag="users",
        summary="Replace the tokens of a session",
        description="For 60 seconds the old refresh token gives the same successor again. Later it ends the session.",
        body=Refresh,
        example={"refresh_token": "rt.main.…"},
        responses={200: ResponseSpec(SignedInBody, "The new tokens")},
        errors=_SIGN_IN_ERRORS,
    )
    async def _refresh(self, request: HttpRequest) -> HttpResponse:
        token = request.body.refresh_token
        parsed = parse_token(token, REFRESH_PREFIX, 2)
        if parsed is not None:
            await self._authenticator.resolve_tenant(request, parsed.tenant)
        return self._respond(request, "Token renovado", await self._services.sign_ins.refresh(token))

    @route(
        "POST",
        "/api/v1/users/logout",
        id="logout_post_users",
        access=INSTALLATION_PUBLIC,
        tag="users",
        summary="Sign out",
        description="Ends the session of the token or the cookie, and removes the cookie. 200 also without a session.",
        responses={200: ResponseSpec(Message, "The session has ended")},
        errors=UPSTREAM_ERRORS,
    )
    async def _logout(self, request: HttpRequest) -> HttpResponse:
        await self._end_session(request.principal)
        response = json_response(Message("Sesión cerrada"))
        response.headers.append(clear_session_cookie(encrypted=self._services.encrypted))
        return response

    @route(
        "POST",
        "/api/v1/users/validate-token",
        id="validate_token_post_users",
        access=INSTALLATION_PUBLIC,
        tag="users",
        summary="Is this access token valid?",
        description="200 for any token in the header Authorization; `valid` says whether it is in force.",
        responses={200: ResponseSpec(TokenState, "The state of the token")},
        errors=UPSTREAM_ERRORS,
    )
    async def _validate_token(self, request: HttpRequest) -> HttpResponse:
        header = request.header(b"authorization") or ""
        token = header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else header.strip()
        try:
            claims = self._services.credentials.read_claims(token)
            await self._authenticator.resolve_tenant(request, claims.tenant)
            await self._services.credentials.authenticate_token(token)
        except (Unauthorized, Forbidden, NotFound) as error:
            return json_response(TokenState(False, reason=error.message))
        return json_response(TokenState(True, claims.user_id, claims.tenant_id, claims.exp))

    async def _end_session(self, principal: Principal) -> None:
        """Ends the session of a principal, if it has one."""
        if principal.user is not None and principal.session is not None:
            await end_session(self._services.backend.lookups.of(principal.tenant), principal.user, principal.session)
            self._services.credentials.forget(principal.tenant, principal.user, principal.session)

    def _check_registration(self, body: Registration, tenant: str) -> tuple[Account, str]:
        """Returns the new account and its password. Raises InvalidParams, with the faults of both if both are wrong."""
        faults: list[InvalidParams] = []
        email, password = body.email, ""
        try:
            email = normalize_email(body.email)
        except InvalidParams as error:
            faults.append(error)
        account = build_account(email, body.first_name, body.last_name, ["customer"])
        try:
            password = self._services.check_password(body.password, account, tenant)
        except InvalidParams as error:
            faults.append(error)
        if faults:
            faults[0].faults = [*faults]
            raise faults[0]
        return account, password

    async def _respond_with_cart(self, request: HttpRequest, message: str, signed_in: SignedIn) -> HttpResponse:
        """Returns the response to a sign-in, after the merge of the guest's cart if there is one."""
        guest = self._guest_carts.find_guest(request)
        if guest is None:
            return self._respond(request, message, signed_in)
        cart = await self._guest_carts.merge(guest, signed_in.tenant, signed_in.account.user)
        response = sign_in_response(request, message, signed_in, encrypted=self._services.encrypted, cart=cart)
        if cart is not None and guest.is_browser:
            response.headers.append(self._guest_carts.forget_token())
        return response

    def _respond(self, request: HttpRequest, message: str, signed_in: SignedIn) -> HttpResponse:
        return sign_in_response(request, message, signed_in, encrypted=self._services.encrypted)


def sign_in_response(
    request: HttpRequest,
    message: str,
    signed_in: SignedIn,
    *,
    encrypted: bool,
    cart: MergedCartView | UnsetType | None = UNSET,
) -> HttpResponse:
    """Returns the response to a sign-in, with the cookie if the session has one."""
    account = signed_in.account
    # The audit log names the user who has signed in.
    request.principal = Principal(tenant=signed_in.tenant, kind="account", user=account.user, name=account.email)
    response = json_response(replace(signed_in_body(message, signed_in, time.time()), cart=cart))
    if signed_in.kind == "cookie":
        response.headers.append(set_session_cookie(signed_in.secret, seconds=signed_in.seconds, encrypted=encrypted))
    return response


def _refuse_taken() -> Conflict:
    return Conflict(
        "El usuario ya existe", field="email", hint="sign in, or set a new password", reason=ErrorReason("email_taken")
    )


def _client_of(request: HttpRequest, *, with_cookie: bool) -> Client:
    return Client(request.address, request.header(_AGENT) or "", "cookie" if with_cookie else "token")


def _text_or_none(value: str | UnsetType) -> str | None:
    return None if value is UNSET else value
