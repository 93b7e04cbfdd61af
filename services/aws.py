"""Calls of AWS services with short time-outs, few attempts, and errors of one type."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from shared.domain.errors import ComandaError

_CONNECT_SECONDS = 3.0
_RESPONSE_SECONDS = 5.0
_ATTEMPTS = 2


class AwsError(ComandaError):
    """A failed call; `aws_code` is the service's error code, None if it did not answer.

    Without an answer it is unknown whether the call has taken effect.
    """

    code = "aws"

    def __init__(self, message: str, *, aws_code: str | None = None) -> None:
        super().__init__(message)
        self.aws_code = aws_code


class AwsClient:
    """A client of one AWS service. `error_types` are the errors of the libraries that it uses."""

    def __init__(self, client: Any, service: str, error_types: tuple[type[Exception], ...]) -> None:
        self._client = client
        self._service = service
        self._error_types = error_types

    async def call_operation(self, operation: str, **members: Any) -> Any:
        """Calls an operation by the name of its method. Raises AwsError."""
        try:
            return await getattr(self._client, operation)(**members)
        except self._error_types as error:
            raise _translate_error(f"{self._service} {operation}", error) from error

    async def read_chunks(self, body: Any, size: int) -> AsyncGenerator[bytes, None]:
        """Yields the body of an answer in chunks of at most `size` bytes. Raises AwsError."""
        async with body:
            try:
                while chunk := await body.read(size):
                    yield chunk
            except self._error_types as error:
                raise _translate_error(f"{self._service} body", error) from error


def _translate_error(request: str, error: Exception) -> AwsError:
    details = getattr(error, "response", {}).get("Error", {})
    if "Code" in details:
        return AwsError(f"{request}: {details['Code']}: {details.get('Message', '')}", aws_code=str(details["Code"]))
    return AwsError(f"{request}: {type(error).__name__}: {error}")


@contextlib.asynccontextmanager
async def open_aws_client(
    service: str, *, region: str | None, endpoint: str | None, response_seconds: float = _RESPONSE_SECONDS
) -> AsyncIterator[AwsClient]:
    """Opens a client of a service for the duration of the block.

    One attempt may take `response_seconds` without data. Raises AwsError if the client cannot be created.
    """
    # Loading takes half a second, which only installations with AWS need to spend.
    import aioboto3  # noqa: PLC0415
    from aiohttp import ClientError as HttpError  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    error_types = (BotoCoreError, ClientError, HttpError, OSError, TimeoutError)
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=response_seconds,
        # The defaults of botocore are a minute and several attempts.
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        # Servers other than AWS seldom have a host name for each bucket.
        s3={"addressing_style": "auto" if endpoint is None else "path"},
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            session = aioboto3.Session(region_name=region)
            client = await stack.enter_async_context(session.client(service, endpoint_url=endpoint, config=config))
        except (*error_types, ValueError) as error:
            raise _translate_error(service, error) from error
        yield AwsClient(client, service, error_types)
