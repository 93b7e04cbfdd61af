"""Covers as objects of an S3 bucket, for gateways on several machines."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from services.aws import AwsClient, AwsError, open_aws_client
from services.gateway.images.covers import CoverFiles, CoverStore, no_image
from services.gateway.images.scaling import Cover
from services.gateway.settings import GatewaySettings
from shared.domain.covers import COVERS, cover_file, is_cover_name, small_cover
from shared.domain.errors import StartupError, StoreError
from shared.domain.tenants import check_tenant_name

_MAX_BYTES: Final = 8 * 2**20
"""More than any cover has: an object of another program is not read whole."""
_CHUNK_BYTES: Final = 256 * 1024
_MISSING: Final = frozenset({"404", "NoSuchKey"})


class CoverBucket:
    """Covers below the prefix `covers/` of a bucket."""

    def __init__(self, s3: AwsClient, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    async def save(self, tenant: str, name: str, cover: Cover) -> None:
        # The large one last: where it is, both are.
        for key, image in ((small_cover(name), cover.small), (name, cover.large)):
            await self._call(
                "put_object",
                Key=_key(tenant, key),
                Body=image,
                ContentType="image/webp",
                CacheControl="public, max-age=31536000, immutable",
            )

    async def load(self, tenant: str, name: str) -> bytes:
        try:
            answer = await self._call("get_object", Key=_key(tenant, name))
        except StoreError as error:
            if isinstance(error.__cause__, AwsError) and error.__cause__.aws_code in _MISSING:
                raise no_image() from None
            raise
        image = bytearray()
        try:
            async with contextlib.aclosing(self._s3.read_chunks(answer["Body"], _CHUNK_BYTES)) as chunks:
                async for chunk in chunks:
                    image += chunk
                    if len(image) > _MAX_BYTES:
                        raise no_image()
        except AwsError as error:
            raise _translate(error) from error
        return bytes(image)

    async def remove(self, tenant: str, name: str) -> None:
        for key in (name, small_cover(name)):
            await self._call("delete_object", Key=_key(tenant, key))

    async def _call(self, operation: str, **members: object) -> dict[str, object]:
        try:
            answer: dict[str, object] = await self._s3.call_operation(operation, Bucket=self._bucket, **members)
        except AwsError as error:
            raise _translate(error) from error
        return answer


@contextlib.asynccontextmanager
async def open_cover_store(settings: GatewaySettings) -> AsyncIterator[CoverStore]:
    """Opens the store that the settings name: the bucket COVERS_BUCKET, or the folder of data. Raises StartupError."""
    if settings.covers_bucket is None:
        yield CoverFiles(settings.covers_folder)
        return
    async with contextlib.AsyncExitStack() as stack:
        try:
            client = open_aws_client("s3", region=settings.aws_region, endpoint=settings.aws_endpoint_url)
            s3 = await stack.enter_async_context(client)
        except AwsError as error:
            raise StartupError(
                f"the bucket of COVERS_BUCKET cannot be used: {error.message}", hint="check AWS_REGION"
            ) from error
        yield CoverBucket(s3, settings.covers_bucket)


def _key(tenant: str, name: str) -> str:
    """Returns the key of an image. Raises NotFound for a name that is none, and InvalidParams for no tenant."""
    if not is_cover_name(name):
        raise no_image()
    return f"{COVERS}/{cover_file(check_tenant_name(tenant), name)}"


def _translate(error: AwsError) -> StoreError:
    return StoreError(f"the store of covers does not answer as it should: {error.aws_code or 'no answer'}")
