"""Bodies of requests and responses about accounts, as existing clients of the shop know them."""

import math
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from services.gateway.api.shop.guest_carts import MergedCartView
from services.gateway.identity.sign_in import SignedIn
from shared.domain.accounts import Account, Name, Preferences, Role
from shared.domain.tenants import TenantName

# Longer ones get an error that names the rule; this bounds what is parsed at all.
Email = Annotated[str, Meta(max_length=1000, description="E-mail address; case does not matter")]
Password = Annotated[str, Meta(max_length=10_000)]
NamedTenant = Annotated[
    TenantName | UnsetType, Meta(description="The tenant, if neither the host name nor X-Tenant-Id names it")
]
WithCookie = Annotated[bool, Meta(description="For browsers: a session cookie instead of tokens")]
Token = Annotated[str, Meta(max_length=1000)]


class Registration(Struct, frozen=True, forbid_unknown_fields=True):
    """A new account."""

    email: Email
    password: Password
    first_name: Name
    last_name: Name
    tenant_id: NamedTenant = UNSET
    cookie: WithCookie = False


class Login(Struct, frozen=True, forbid_unknown_fields=True):
    """A sign-in."""

    email: Email
    password: Password
    tenant_id: NamedTenant = UNSET
    cookie: WithCookie = False


class Refresh(Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token, which is replaced by its successor."""

    refresh_token: Token


class PasswordChange(Struct, frozen=True, forbid_unknown_fields=True):
    """A new password, and the present one."""

    current_password: Password
    new_password: Password


class ResetRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The address of a forgotten password."""

    email: Email
    tenant_id: NamedTenant = UNSET


class ResetConfirmation(Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a link, and the new password."""

    token: Token
    password: Password


class ProfileChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The names of a user, and the preferences if they change too."""

    first_name: Name
    last_name: Name
    preferences: Preferences | UnsetType = UNSET


class AccountRemoval(Struct, frozen=True, forbid_unknown_fields=True):
    """The password of the account that is to be removed."""

    password: Password


class RoleChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The role of an account."""

    role: Role


class BlockChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The block of an account, set or removed."""

    blocked: bool


class Message(Struct, frozen=True):
    """The outcome as text."""

    message: str


class PublicUser(Struct, frozen=True):
    """A user as clients see it."""

    user_id: str
    tenant_id: str
    email: str
    first_name: str
    last_name: str
    preferences: Preferences
    roles: list[Role]
    created_at: str


class ListedUser(PublicUser, frozen=True):
    """A user as administrators see it."""

    active: bool
    updated_at: str


class UserPage(Struct, frozen=True):
    """Users of a tenant; `cursor` leads to the next page."""

    data: list[ListedUser]
    cursor: str | None


class SessionView(Struct, frozen=True):
    """A session of the user; `current` is that of this request."""

    id: str
    kind: str
    agent: str
    created_at: str
    expires_at: int
    current: bool


class SessionList(Struct, frozen=True):
    """The sessions of the user, oldest first."""

    sessions: list[SessionView]


class Export(Struct, frozen=True):
    """Everything that is stored of an account, except for digests of secrets."""

    user: ListedUser
    sessions: list[SessionView]
    belongings: Annotated[dict[str, list[dict[str, Any]]], Meta(description="Items of the user by table")]


class SignedInBody(Struct, frozen=True):
    """A sign-in. With a session cookie there are no tokens in it."""

    message: str
    user_id: str
    user: PublicUser
    token: str | UnsetType = UNSET
    refresh_token: str | UnsetType = UNSET
    expires_in: Annotated[int | UnsetType, Meta(description="Seconds until `token` expires")] = UNSET
    cart: Annotated[
        MergedCartView | UnsetType | None,
        Meta(description="The guest's cart that became the user's; null if POST /api/v1/cart/merge has to repeat it"),
    ] = UNSET


class TokenState(Struct, frozen=True):
    """The validity of the request's access token, with the reason if it is invalid."""

    valid: bool
    user_id: str | UnsetType = UNSET
    tenant_id: str | UnsetType = UNSET
    expires_at: Annotated[int | UnsetType, Meta(description="Unix seconds")] = UNSET
    reason: str | UnsetType = UNSET


class ApiKeyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A new API key."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
    role: Role
    days: Annotated[float, Meta(gt=0, le=3650, description="Days until it expires")] = 90.0


class ApiKeyView(Struct, frozen=True):
    """An API key."""

    id: str
    name: str
    role: Role
    created_at: str
    created_by: str
    expires_at: int


class ShownApiKey(ApiKeyView, frozen=True):
    """A new API key with its text, which is not shown again."""

    api_key: str


class ApiKeyList(Struct, frozen=True):
    """The API keys of the tenant, oldest first."""

    api_keys: list[ApiKeyView]


def public_user(account: Account, tenant: str) -> PublicUser:
    """Returns a user as clients see it."""
    return PublicUser(
        user_id=account.user,
        tenant_id=tenant,
        email=account.email,
        first_name=account.first_name,
        last_name=account.last_name,
        preferences=account.preferences,
        roles=account.roles,
        created_at=account.created_at,
    )


def listed_user(account: Account, tenant: str) -> ListedUser:
    """Returns a user as administrators see it."""
    user = public_user(account, tenant)
    members = {name: getattr(user, name) for name in PublicUser.__struct_fields__}
    return ListedUser(**members, active=account.active, updated_at=account.updated_at)


def signed_in_body(message: str, signed_in: SignedIn, now: float) -> SignedInBody:
    """Returns the body of a response to a sign-in."""
    account = signed_in.account
    user = public_user(account, signed_in.tenant)
    if signed_in.kind == "cookie":
        return SignedInBody(message, account.user, user)
    seconds = math.ceil(signed_in.expires - now)
    return SignedInBody(message, account.user, user, signed_in.token, signed_in.secret, seconds)
