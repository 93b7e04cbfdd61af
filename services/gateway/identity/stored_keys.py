"""Keys of access tokens in the Systems Manager of AWS: JWT_KEYS=ssm:/path."""

from msgspec.structs import replace

from services.gateway.settings import GatewaySettings
from shared.domain.errors import StartupError

_PREFIX = "ssm:"
_CONNECT_SECONDS = 5
_READ_SECONDS = 10


async def resolve_keys(settings: GatewaySettings) -> GatewaySettings:
    """Returns the settings with the keys themselves where JWT_KEYS says where they are. Raises StartupError."""
    if settings.jwt_keys is None or not settings.jwt_keys.startswith(_PREFIX):
        return settings
    name = settings.jwt_keys.removeprefix(_PREFIX)
    # Only here: it takes as long to load as the rest of the gateway to start.
    import aioboto3  # noqa: PLC0415
    from aiohttp import ClientError as HttpError  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    config = Config(connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, retries={"total_max_attempts": 3})
    session = aioboto3.Session(region_name=settings.aws_region)
    try:
        async with session.client("ssm", endpoint_url=settings.aws_endpoint_url, config=config) as client:
            found = await client.get_parameter(Name=name, WithDecryption=True)
    except (BotoCoreError, ClientError, HttpError, OSError, ValueError) as error:
        raise StartupError(
            f"the parameter {name} of JWT_KEYS cannot be read: {error}",
            hint="check its name, AWS_REGION and the permission ssm:GetParameter",
        ) from None
    return replace(settings, jwt_keys=str(found["Parameter"]["Value"]).strip())
