"""Access tokens: what is signed, what is refused, and the rotation of keys."""

import base64
import json
from typing import Any

import jwt
import pytest

from services.gateway.identity.tokens import TokenSigner, parse_keys
from shared.domain.errors import StartupError, Unauthorized

OLD, NEW = b"o" * 32, b"n" * 32
NOW = 1_800_000_000
USER = "01890000-0000-7000-8000-00000000000a"


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sign(signer: TokenSigner) -> str:
    token, expires = signer.sign(user=USER, tenant="main", session="s1", roles=["customer"], generation=3)
    assert expires == NOW + 3600
    return token


def claims(**changed: Any) -> dict[str, Any]:
    made = {
        "iss": "comanda",
        "sub": USER,
        "user_id": USER,
        "tenant": "main",
        "tenant_id": "main",
        "sid": "s1",
        "roles": ["customer"],
        "gen": 3,
        "iat": NOW,
        "exp": NOW + 3600,
        **changed,
    }
    return {name: value for name, value in made.items() if value is not None}


def test_a_token_has_the_claims_of_older_clients_too(clock: Clock) -> None:
    signer = TokenSigner({"a": NEW}, clock=clock)
    token = sign(signer)
    assert jwt.decode(token, options={"verify_signature": False}) == claims()
    found = signer.verify(token)
    assert (found.sub, found.tenant, found.sid, found.roles, found.gen) == (USER, "main", "s1", ["customer"], 3)


def test_a_token_is_valid_for_an_hour_whether_or_not_it_was_seen_before(clock: Clock) -> None:
    signer = TokenSigner({"a": NEW}, clock=clock)
    token = sign(signer)
    signer.verify(token)
    clock.now += 3600 + 9
    signer.verify(token)
    clock.now += 1
    for one in (signer, TokenSigner({"a": NEW}, clock=clock)):
        with pytest.raises(Unauthorized, match="expired"):
            one.verify(token)


def test_tokens_of_an_old_key_are_valid_while_it_is_listed(clock: Clock) -> None:
    token = sign(TokenSigner({"old": OLD}, clock=clock))
    TokenSigner({"new": NEW, "old": OLD}, clock=clock).verify(token)
    with pytest.raises(Unauthorized, match="key is not known"):
        TokenSigner({"new": NEW}, clock=clock).verify(token)
    with pytest.raises(Unauthorized):
        TokenSigner({"old": NEW}, clock=clock).verify(token)
    assert jwt.get_unverified_header(sign(TokenSigner({"new": NEW, "old": OLD}, clock=clock)))["kid"] == "new"


def test_the_secret_without_a_name_verifies_tokens_without_a_name(clock: Clock) -> None:
    signer = TokenSigner(parse_keys(None, "s" * 32), clock=clock)
    token = sign(signer)
    assert "kid" not in jwt.get_unverified_header(token)
    assert signer.verify(token).sub == USER


@pytest.mark.parametrize(
    ("changed", "key", "algorithm"),
    [
        ({"exp": None}, NEW, "HS256"),
        ({"iat": None}, NEW, "HS256"),
        ({"sub": None}, NEW, "HS256"),
        ({"tenant": None}, NEW, "HS256"),
        ({"sid": None}, NEW, "HS256"),
        ({"iss": "another"}, NEW, "HS256"),
        ({"iss": None}, NEW, "HS256"),
        ({"exp": NOW - 11}, NEW, "HS256"),
        ({"exp": "never"}, NEW, "HS256"),
        ({"iat": NOW + 60}, NEW, "HS256"),
        ({"roles": ["root"]}, NEW, "HS256"),
        ({"roles": "admin"}, NEW, "HS256"),
        ({"user_id": "other"}, NEW, "HS256"),
        ({"tenant_id": "other"}, NEW, "HS256"),
        ({"sub": 7, "user_id": 7}, NEW, "HS256"),
        ({"gen": True}, NEW, "HS256"),
        ({}, OLD, "HS256"),
        ({}, NEW * 2, "HS512"),
        ({}, None, "none"),
        ({}, NEW, "RS256"),
    ],
)
def test_a_token_that_is_not_of_this_server_is_refused(
    clock: Clock, changed: dict[str, Any], key: bytes | None, algorithm: str
) -> None:
    signer = TokenSigner({"a": NEW}, clock=clock)
    token = encode(claims(**changed), key, algorithm)
    with pytest.raises(Unauthorized) as refused:
        signer.verify(token)
    assert token not in refused.value.message


def encode(payload: dict[str, Any], key: bytes | None, algorithm: str) -> str:
    # By hand where PyJWT would refuse to sign.
    if isinstance(payload.get("sub"), int) or algorithm in ("none", "RS256"):
        parts = [{"alg": algorithm, "typ": "JWT", "kid": "a"}, payload]
        signed = ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts)
        signature = b"" if key is None else jwt.algorithms.HMACAlgorithm("sha256").sign(signed.encode(), key)  # type: ignore[arg-type]
        return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    return jwt.encode(payload, key or b"", algorithm=algorithm, headers={"kid": "a"})


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", "..", "\x00", "é", "[" * 4000, "x" * 8192, "eyJhbGciOiJIUzI1NiIsImtpZCI6e319.e30.x"],
)
def test_anything_else_is_refused_without_an_exception_of_the_library(clock: Clock, token: str) -> None:
    with pytest.raises(Unauthorized):
        TokenSigner({"a": NEW}, clock=clock).verify(token)


def test_verified_tokens_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.identity.tokens._MAX_VERIFIED", 20)
    signer = TokenSigner({"a": NEW}, clock=clock)
    for number in range(25):
        signer.verify(signer.sign(user=USER, tenant="main", session=str(number), roles=[], generation=0)[0])
    assert len(signer._verified) == 20


def test_keys_are_read_in_order_with_their_names() -> None:
    named = f"2026b:{base64.b64encode(NEW).decode()}, 2026a:{base64.urlsafe_b64encode(OLD).decode()}"
    assert list(parse_keys(named, "s" * 32).items()) == [("2026b", NEW), ("2026a", OLD), (None, b"s" * 32)]
    assert parse_keys(None, None) == {}


@pytest.mark.parametrize(
    "text", ["hunter2", "a:hunter2!", "a:aHVudGVyMg==", ":aHVudGVyMg==", f"a:{'x' * 44},a:{'y' * 44}", f"ä:{'x' * 44}"]
)
def test_wrong_keys_stop_the_start_and_are_not_shown(text: str) -> None:
    with pytest.raises(StartupError, match="JWT_KEYS") as refused:
        parse_keys(text, None)
    assert "hunter2" not in f"{refused.value.message} {refused.value.hint}"
    assert "aHVudGVy" not in f"{refused.value.message} {refused.value.hint}"


def test_one_key_under_two_names_is_refused() -> None:
    with pytest.raises(StartupError, match="JWT_SECRET"):
        parse_keys(f"a:{base64.b64encode(OLD).decode()}", OLD.decode())


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": "..", "tenant_id": ".."},
        {"tenant": "main\n", "tenant_id": "main\n"},
        {"tenant": "", "tenant_id": ""},
        {"sub": "", "user_id": ""},
        {"sub": "x" * 41, "user_id": "x" * 41},
        {"sid": ""},
        {"sid": "s1\n"},
        {"sid": "\ud83d"},
        {"sid": "\x00"},
    ],
)
def test_claims_that_name_nothing_stored_are_refused(clock: Clock, changed: dict[str, str]) -> None:
    # Signed by the right key: else the store would refuse the names, with an answer that is not about the token.
    token = jwt.encode(claims(**changed), NEW, algorithm="HS256", headers={"kid": "a"})
    with pytest.raises(Unauthorized):
        TokenSigner({"a": NEW}, clock=clock).verify(token)
