"""The requirements of STAGE=prod on secrets: they are set, long enough, and none of the examples."""

import base64
import binascii

from services.example_secrets import check_no_examples, is_example
from services.gateway.settings import GatewaySettings
from shared.domain.errors import StartupError

_KEY_BYTES = 32
_MAKE_KEYS = 'set JWT_KEYS="2026a:$(openssl rand -base64 32)"; or STAGE=dev, which needs none on one machine'


def check_requirements(settings: GatewaySettings) -> None:
    """Raises StartupError with STAGE=prod if a secret is missing or is an example. No message repeats a secret."""
    if settings.stage != "prod":
        return
    if not settings.jwt_keys:
        raise StartupError("JWT_KEYS is not set, so users could not authenticate", hint=_MAKE_KEYS)
    for number, word in enumerate(settings.jwt_keys.split(","), start=1):
        kid, _, encoded = word.strip().partition(":")
        key = _decode_key(encoded)
        if key is None or len(key) < _KEY_BYTES:
            name = kid if encoded else f"number {number}"
            raise StartupError(
                f"JWT_KEYS: the key {name} is not the Base64 of at least {_KEY_BYTES} bytes", hint=_MAKE_KEYS
            )
        if is_example(key) or is_example(encoded.encode()):
            raise StartupError(f"JWT_KEYS: the key {kid} is an example that everybody knows", hint=_MAKE_KEYS)
    if settings.service_token is None:
        raise StartupError(
            "SERVICE_TOKEN is not set, so every program of this machine could read credentials and sessions",
            hint="set SERVICE_TOKEN to the same random text for all servers: openssl rand -hex 32",
        )
    check_no_examples(
        settings.stage,
        {
            "SERVICE_TOKEN": settings.service_token,
            "JWT_SECRET": settings.jwt_secret,
            "INTAKE_READ_TOKEN": settings.intake_read_token,
        },
    )


def _decode_key(encoded: str) -> bytes | None:
    """Returns the bytes of a key in Base64, also in that of URLs and without padding, or None."""
    text = encoded.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
