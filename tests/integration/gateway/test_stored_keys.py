"""Keys of access tokens in the Systems Manager of AWS."""

import aioboto3
import pytest

from services.gateway.identity.requirements import check_requirements
from services.gateway.identity.stored_keys import resolve_keys
from services.gateway.settings import GatewaySettings
from shared.domain.errors import StartupError
from tests.support.cloud import REGION
from tests.support.dynamodb import CREDENTIALS

KEYS = "2026a:cmVhbGx5IG5vdGhpbmcgdGhhdCBhbnlib2R5IGtub3dz"


def settings(jwt_keys: str, endpoint: str) -> GatewaySettings:
    return GatewaySettings(
        stage="prod",
        jwt_keys=jwt_keys,
        service_token="7f3a9c5e1b8d4260",
        aws_region=REGION,
        aws_endpoint_url=endpoint,
    )


async def test_keys_are_read_from_aws(dynamodb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    async with aioboto3.Session(region_name=REGION).client("ssm", endpoint_url=dynamodb) as ssm:
        await ssm.put_parameter(Name="/prod/jwt-keys", Value=f"{KEYS}\n", Type="SecureString")
    found = await resolve_keys(settings("ssm:/prod/jwt-keys", dynamodb))
    assert found.jwt_keys == KEYS
    check_requirements(found)
    with pytest.raises(StartupError, match="/prod/other of JWT_KEYS cannot be read"):
        await resolve_keys(settings("ssm:/prod/other", dynamodb))


async def test_without_aws_the_gateway_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match="cannot be read"):
        await resolve_keys(settings("ssm:/prod/jwt-keys", "http://127.0.0.1:9"))


async def test_keys_that_are_set_stay_as_they_are() -> None:
    given = settings(KEYS, "http://127.0.0.1:9")
    assert await resolve_keys(given) is given
