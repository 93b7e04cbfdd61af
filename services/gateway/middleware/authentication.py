"""Authentication: the user is the subject of a bearer token (RFC 7519), or in development the `user_id` sent."""

import jwt

from services.gateway.http.routes import HttpRequest
from shared.domain.errors import InvalidParams, Unauthorized

_ALGORITHM = "HS256"
_LEEWAY_SECONDS = 10
_HINT = "send a header Authorization: Bearer TOKEN; python -m clients token --user 1 makes one"


class Authenticator:
    """Authenticates users by tokens signed with `secret`; in `development` a plain `user_id` suffices."""

    def __init__(self, secret: str | None, *, development: bool) -> None:
        self._secret = secret
        self._development = development

    def require_user(self, request: HttpRequest, user_id: int | None) -> int:
        """Returns the user of a request, which may also name one.

        Raises Unauthorized, and InvalidParams where it is not said whose request it is.
        """
        user = self.named_user(request, user_id)
        if user is None:
            raise InvalidParams("user_id is missing", field="user_id", hint="name a user, or send a token")
        return user

    def named_user(self, request: HttpRequest, user_id: int | None) -> int | None:
        """Returns the user of a request; None where it names nobody, which goes in development only.

        Raises Unauthorized.
        """
        header = request.header(b"authorization")
        if header is None:
            if not self._development:
                raise Unauthorized("there is no bearer token", hint=_HINT)
            return user_id
        user = self._read_subject(header)
        if user_id is not None and user_id != user:
            raise Unauthorized(f"the token is user {user}'s, not user {user_id}'s", field="user_id", hint=_HINT)
        return user

    def _read_subject(self, header: str) -> int:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("the header Authorization is not a bearer token", field="Authorization", hint=_HINT)
        if self._secret is None:
            raise Unauthorized("tokens cannot be checked: JWT_SECRET is not set", hint="set it, or send a user_id")
        try:
            claims = jwt.decode(
                token.strip(),
                self._secret,
                algorithms=[_ALGORITHM],
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub"]},
            )
            user = int(claims["sub"])
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Unauthorized(f"the token is not valid: {error}", field="Authorization", hint=_HINT) from None
        except Exception:
            # A token is read before its signature is checked: it can hold anything, such as a thousand brackets.
            raise Unauthorized("the token is not valid", field="Authorization", hint=_HINT) from None
        if abs(user) > 10**15:
            raise Unauthorized("the token's subject is no user", field="Authorization", hint=_HINT)
        return user
