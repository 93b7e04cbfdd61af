"""Calls to services of AWS: a few seconds and few attempts each, and their errors in our words."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from shared.domain.errors import ComandaError

_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 5.0
_ATTEMPTS = 2


class AwsError(ComandaError):
    """A service did not do what it was asked; `reason` is its code for that, None when it did not answer.

    Whether a call without an answer has taken effect is unknown.
    """

    code = "aws"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class Aws:
    """One client of one service. `faults` are the errors of those that it is made of."""

    def __init__(self, client: Any, service: str, faults: tuple[type[Exception], ...]) -> None:
        self._client = client
        self._service = service
        self._faults = faults

    async def call(self, operation: str, **members: Any) -> Any:
        """Calls an operation by its method's name. Raises AwsError."""
        try:
            return await getattr(self._client, operation)(**members)
        except self._faults as fault:
            raise _error(f"{self._service} {operation}", fault) from fault

    async def parts(self, body: Any, size: int) -> AsyncGenerator[bytes, None]:
        """The body of an answer in parts of at most `size` bytes. Raises AwsError."""
        async with body:
            try:
                while part := await body.read(size):
                    yield part
            except self._faults as fault:
                raise _error(f"{self._service} body", fault) from fault


def _error(doing: str, fault: Exception) -> AwsError:
    told = getattr(fault, "response", {}).get("Error", {})
    if "Code" in told:
        return AwsError(f"{doing}: {told['Code']}: {told.get('Message', '')}", reason=str(told["Code"]))
    return AwsError(f"{doing}: {type(fault).__name__}: {fault}")


@contextlib.asynccontextmanager
async def aws(
    service: str, *, region: str | None, endpoint: str | None, answer_seconds: float = _ANSWER_SECONDS
) -> AsyncIterator[Aws]:
    """A client of a service, for as long as the block lasts; `answer_seconds` is how long one attempt may be silent.

    Raises AwsError where none can be made.
    """
    # Half a second to load, which only those who use AWS have to spend.
    import aioboto3  # noqa: PLC0415
    from aiohttp import ClientError as HttpError  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    faults = (BotoCoreError, ClientError, HttpError, OSError, TimeoutError)
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=answer_seconds,
        # botocore alone would wait for a minute, and ask several times.
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        # A server of one's own seldom has a name for each bucket.
        s3={"addressing_style": "auto" if endpoint is None else "path"},
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            session = aioboto3.Session(region_name=region)
            client = await stack.enter_async_context(session.client(service, endpoint_url=endpoint, config=config))
        except (*faults, ValueError) as fault:
            raise _error(service, fault) from fault
        yield Aws(client, service, faults)
