"""What STAGE=prod needs before anything is served."""

import base64
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from services.distributed.settings import DistributedSettings
from services.example_secrets import is_example
from services.gateway.identity.requirements import check_requirements
from services.gateway.settings import GatewaySettings
from services.intake.settings import IntakeSettings
from services.persistence.settings import PersistenceSettings
from services.settings import Stage
from shared.domain.errors import StartupError

ROOT = Path(__file__).parents[3]
KEY = base64.b64encode(bytes(range(100, 132))).decode()
TOKEN = "7f3a9c5e1b8d4260"


def gateway(**settings: str | None) -> GatewaySettings:
    return GatewaySettings(**{"stage": "prod", "jwt_keys": f"a:{KEY}", "service_token": TOKEN, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"jwt_keys": None}, "JWT_KEYS is not set"),
        ({"jwt_keys": ""}, "JWT_KEYS is not set"),
        ({"jwt_keys": KEY}, "JWT_KEYS: the key number 1"),
        ({"jwt_keys": f"a:{KEY},"}, "JWT_KEYS: the key number 2"),
        ({"jwt_keys": "a:" + base64.b64encode(bytes(range(31))).decode()}, "JWT_KEYS: the key a is not"),
        ({"jwt_keys": f"a:{KEY},b:!!"}, "JWT_KEYS: the key b is not"),
        ({"jwt_keys": "a:" + base64.b64encode(b"a" * 32).decode()}, "JWT_KEYS: the key a is an example"),
        ({"jwt_keys": "a:" + base64.b64encode(b"An-Example-Key-of-32-bytes-......").decode()}, "is an example"),
        ({"service_token": None}, "SERVICE_TOKEN is not set"),
        ({"service_token": "change-me-please-now"}, "SERVICE_TOKEN is an example"),
        ({"jwt_secret": "0123456789abcdef0123456789abcdef"}, "JWT_SECRET is an example"),
        ({"intake_read_token": "change-me-please-now"}, "INTAKE_READ_TOKEN is an example"),
    ],
)
def test_production_does_not_start_without_good_secrets(settings: dict[str, str | None], named: str) -> None:
    with pytest.raises(StartupError, match=re.escape(named)) as refused:
        check_requirements(gateway(**settings))
    for secret in filter(None, settings.values()):
        assert secret not in f"{refused.value.message} {refused.value.hint}"
    for stage in ("dev", "test"):
        check_requirements(gateway(**{**settings, "stage": stage}))


def test_production_starts_with_good_secrets() -> None:
    check_requirements(gateway())
    check_requirements(gateway(jwt_keys=f"2026b:{KEY}, 2026a:{KEY.rstrip('=').replace('+', '-')}"))


def test_secrets_that_are_written_in_the_project_are_examples() -> None:
    files = [*ROOT.glob(".env*"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "compose.yaml"]
    secret = re.compile(r"\b(?:JWT_KEYS|JWT_SECRET|SERVICE_TOKEN|INTAKE_READ_TOKEN)=\"?([^\s\"`']+)")
    written = [found for file in files for found in secret.findall(file.read_text())]
    literal = [one for one in written if "$" not in one and not one.startswith("ssm:") and ":BASE64" not in one]
    assert not [one for one in literal if not is_example(one.encode())]


@pytest.mark.parametrize("kind", [DistributedSettings, IntakeSettings, PersistenceSettings])
@pytest.mark.parametrize("setting", ["service_token", "intake_read_token", "pickle_key"])
def test_no_server_of_production_accepts_an_example(kind: Any, setting: str) -> None:
    if setting not in kind.__struct_fields__:
        pytest.skip("it has no such setting")
    example = {setting: "change-me-please-now-to-a-random-text"}
    with pytest.raises(StartupError, match=f"{setting.upper()} is an example"):
        kind(stage="prod", **example).check_secrets()
    for chosen in (kind(stage="prod", **{setting: TOKEN * 2}), kind(stage="dev", **example), kind(stage="prod")):
        chosen.check_secrets()


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"stage": "prod"}, True),
        ({"stage": "prod", "intake_read_token": TOKEN}, False),
        ({"stage": "prod", "open_internal_ports": True}, False),
        ({"stage": "test"}, False),
        ({"stage": "dev"}, False),
    ],
)
def test_strangers_do_not_read_orders_in_production(settings: dict[str, str | bool], refused: bool) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        chosen = IntakeSettings(**settings)  # type: ignore[arg-type]
        if refused:
            with pytest.raises(StartupError, match="without authentication"):
                chosen.check_exposure([listener])
        else:
            chosen.check_exposure([listener])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        IntakeSettings(stage="prod").check_exposure([listener])


@pytest.mark.parametrize(
    ("stage", "prefix", "expected"),
    [
        ("prod", "comanda-", "comanda-"),
        ("dev", "comanda-", "comanda-"),
        ("test", "comanda-", "comanda-test-"),
        ("test", "mine-", "mine-"),
        ("test", "", ""),
    ],
)
def test_a_test_installation_has_tables_of_its_own(stage: Stage, prefix: str, expected: str) -> None:
    settings = PersistenceSettings(stage=stage, dynamodb_prefix=prefix)
    assert settings.dynamo_settings().prefix == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "http://localhost:5000"),
        ({"main_server_port": 5050}, "http://localhost:5050"),
        ({"main_server_port": 5050, "tls_key": "key.pem"}, "https://localhost:5050"),
        ({"main_server_port": 5050, "public_url": "https://shop.example/orders"}, "https://shop.example/orders"),
    ],
)
def test_links_lead_to_this_gateway_unless_an_address_is_set(settings: dict[str, Any], expected: str) -> None:
    assert GatewaySettings(**settings).link_base == expected
