"""Example secrets: those of docs and templates, which everybody knows and STAGE=prod does not accept."""

from collections.abc import Mapping

from shared.domain.errors import StartupError

# Words of example keys in docs and templates. Random keys do not contain them.
_EXAMPLE_WORDS = tuple(b"example change-me changeme change_me replace at-least password 0123456789".split())
_DISTINCT_BYTES = 8


def is_example(secret: bytes) -> bool:
    """Whether a secret is an example of docs or templates, or a repetition of few characters."""
    lowered = secret.lower()
    return len(set(secret)) < _DISTINCT_BYTES or any(word in lowered for word in _EXAMPLE_WORDS)


def check_no_examples(stage: str, secrets: Mapping[str, str | None]) -> None:
    """Raises StartupError with STAGE=prod if one of the secrets, by their settings, is an example."""
    if stage != "prod":
        return
    for setting, secret in secrets.items():
        if secret is not None and is_example(secret.encode()):
            raise StartupError(
                f"{setting} is an example that everybody knows",
                hint=f"set {setting} to a new one: openssl rand -hex 32",
            )
