"""The lake's files as objects of an S3 bucket, and the storage that the settings name."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from clients.lake.location import LakeLocation
from services.aws import AwsClient, AwsError, open_aws_client
from shared.domain.errors import StartupError, StoreError
from shared.lake.storage import FolderStorage, LakeStorage

_CHUNK_BYTES: Final = 1024 * 1024
_RESPONSE_SECONDS: Final = 30.0
_MISSING: Final = frozenset({"404", "NoSuchKey"})


class BucketStorage:
    """Implements `LakeStorage` with a bucket: an object is replaced as a whole."""

    def __init__(self, s3: AwsClient, bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix

    async def write(self, path: str, data: bytes) -> None:
        """See `LakeStorage`."""
        await self._call("put_object", Key=self._prefix + path, Body=data)

    async def read(self, path: str) -> bytes | None:
        """See `LakeStorage`."""
        content = bytearray()
        try:
            answer = await self._s3.call_operation("get_object", Bucket=self._bucket, Key=self._prefix + path)
            async with contextlib.aclosing(self._s3.read_chunks(answer["Body"], _CHUNK_BYTES)) as chunks:
                async for chunk in chunks:
                    content += chunk
        except AwsError as error:
            if error.aws_code in _MISSING:
                return None
            raise _translate(error) from error
        return bytes(content)

    async def list_files(self, folder: str) -> list[str]:
        """See `LakeStorage`."""
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            answer = await self._call("list_objects_v2", Prefix=self._prefix + folder, **more)
            found += [str(one["Key"]).removeprefix(self._prefix) for one in answer.get("Contents", ())]
            if not answer.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def remove(self, path: str) -> None:
        """See `LakeStorage`."""
        await self._call("delete_object", Key=self._prefix + path)

    async def _call(self, operation: str, **members: object) -> Any:
        try:
            return await self._s3.call_operation(operation, Bucket=self._bucket, **members)
        except AwsError as error:
            raise _translate(error) from error


@contextlib.asynccontextmanager
async def open_storage(
    location: LakeLocation, *, region: str | None, endpoint: str | None
) -> AsyncIterator[LakeStorage]:
    """Opens the storage at a place for the duration of the block. Raises StartupError."""
    if location.bucket is None:
        yield FolderStorage(Path(location.root))
        return
    async with contextlib.AsyncExitStack() as stack:
        try:
            client = open_aws_client("s3", region=region, endpoint=endpoint, response_seconds=_RESPONSE_SECONDS)
            s3 = await stack.enter_async_context(client)
        except AwsError as error:
            raise StartupError(
                f"the bucket of LAKE_URL cannot be used: {error.message}", hint="check AWS_REGION"
            ) from error
        yield BucketStorage(s3, location.bucket_name, location.prefix)


def _translate(error: AwsError) -> StoreError:
    return StoreError(f"the lake's bucket does not answer as it should: {error.aws_code or 'no answer'}")
