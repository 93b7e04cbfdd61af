"""The command `token`: bearer tokens for the gateway."""

import time
from typing import Annotated

import jwt
from cyclopts import Parameter
from cyclopts.validators import Number

from clients.cli.output import Output
from clients.cli.targets import read_setting
from clients.errors import WrongUsage

ALGORITHM = "HS256"
"""Signature algorithm of the gateway's tokens."""

_SECRET_CHARACTERS = 32


def make_token(
    *,
    user: Annotated[int, Parameter(help="The user's number.")],
    seconds: Annotated[float, Parameter(validator=Number(gt=0), help="Seconds until it expires.")] = 3600.0,
    json: Annotated[bool, Parameter(negative="", show_default=False, help="As a JSON line.")] = False,
) -> int:
    """Make a bearer token for a user, signed with JWT_SECRET."""
    secret = read_setting("JWT_SECRET", "")
    if len(secret) < _SECRET_CHARACTERS:
        message = (
            "JWT_SECRET is not set" if not secret else f"JWT_SECRET is shorter than {_SECRET_CHARACTERS} characters"
        )
        raise WrongUsage(message, hint="set it as the gateway has it, in the environment or in .env")
    now = int(time.time())
    made = jwt.encode({"sub": str(user), "iat": now, "exp": now + int(seconds)}, secret, algorithm=ALGORITHM)
    if json:
        Output(json=True).print_members({"token": made, "expires": now + int(seconds)})
    else:
        print(made)  # noqa: T201
    return 0
