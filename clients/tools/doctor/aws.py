"""Checks the access to DynamoDB."""

from clients.tools.doctor.findings import DoctorSettings, Finding
from shared.domain.errors import StoreError
from shared.stores.dynamodb.settings import DynamoSettings


async def check_dynamodb(settings: DoctorSettings) -> Finding:
    """Requests the description of the table of orders."""
    try:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - takes long to load, and is seldom needed

        from shared.stores.dynamodb.client import open_client  # noqa: PLC0415
        from shared.stores.dynamodb.order_tables import ORDERS  # noqa: PLC0415
    except ImportError as error:
        return Finding("error", "dynamodb", f"a package is missing: {error.name}", "install all of comanda")
    where = DynamoSettings(
        endpoint=settings.dynamodb_endpoint,
        region=settings.aws_region,
        prefix=settings.dynamodb_prefix,
        attempt_seconds=settings.store_seconds * 0.4,
        deadline_seconds=settings.store_seconds,
    )
    table = f"{settings.dynamodb_prefix}{ORDERS}"
    try:
        async with open_client(where) as client:
            await client.call("describe_table", TableName=table)
    except StoreError as error:
        if "ResourceNotFoundException" in error.message:
            told = f"answers, and has no table {table} yet"
            return Finding("warning", "dynamodb", told, "the first start creates it; or check DYNAMODB_PREFIX")
        cure = "check DYNAMODB_ENDPOINT, AWS_REGION and the credentials (aws sts get-caller-identity)"
        return Finding("error", "dynamodb", error.message, cure)
    except (BotoCoreError, OSError, ValueError) as error:
        cure = "set AWS_REGION and credentials, as for every AWS tool"
        return Finding("error", "dynamodb", f"cannot be asked: {error}", cure)
    return Finding("ok", "dynamodb", f"answers, and has the table {table}")
