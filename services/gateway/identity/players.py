"""Players: the whole-number users of scores and notifications, by tokens signed with JWT_SECRET (RFC 7519)."""

import jwt

from services.gateway.http.principal import Principal
from shared.domain.errors import InvalidParams, Unauthorized

_ALGORITHM = "HS256"
_LEEWAY_SECONDS = 10
_MAX_USER = 10**15
HINT = "send a header Authorization: Bearer TOKEN; python -m clients token --user 1 makes one"


class PlayerTokens:
    """Verifies the tokens of players, which `python -m clients token` makes with the same `secret`."""

    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    def verify(self, token: str) -> int:
        """Returns the player of a token. Raises Unauthorized."""
        if self._secret is None:
            raise Unauthorized(
                "the token is not one of an account, and tokens of players cannot be checked: JWT_SECRET is not set",
                field="Authorization",
                hint="sign in again, or set JWT_SECRET",
            )
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub"]},
            )
            user = int(claims["sub"])
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Unauthorized(f"the token is not valid: {error}", field="Authorization", hint=HINT) from None
        except Exception:
            # A token is read before its signature is checked: it can hold anything, such as a thousand brackets.
            raise Unauthorized("the token is not valid", field="Authorization", hint=HINT) from None
        if abs(user) > _MAX_USER:
            raise Unauthorized("the token's subject is no user", field="Authorization", hint=HINT)
        return user


def require_player(principal: Principal, user_id: int | None) -> int:
    """Returns the player of a request, which may also name one as `user_id`.

    Raises Unauthorized for another player than the token's, and InvalidParams where no player is named.
    """
    user = named_player(principal, user_id)
    if user is None:
        raise InvalidParams("user_id is missing", field="user_id", hint="name a user, or send a token")
    return user


def named_player(principal: Principal, user_id: int | None) -> int | None:
    """Returns the player of a request, or None where none is named. Raises Unauthorized.

    Only accounts of the installation, and developers, may name any player.
    """
    if principal.player is None:
        return user_id
    if user_id is not None and user_id != principal.player:
        raise Unauthorized(f"the token is user {principal.player}'s, not user {user_id}'s", field="user_id", hint=HINT)
    return principal.player
