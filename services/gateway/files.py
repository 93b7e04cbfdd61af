"""The files of the web pages."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from services.gateway.asgi import Receive, Scope, Send
from services.gateway.problems import MethodNotAllowed
from shared.domain.errors import NotFound

_NOT_ALLOWED = 405


class Files:
    """Serves the files of `folder` below `prefix`."""

    def __init__(self, prefix: str, folder: Path) -> None:
        self.prefix = prefix
        self._files = StaticFiles(directory=folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Raises NotFound and MethodNotAllowed."""
        scope["route"] = self.prefix
        try:
            await self._files({**scope, "root_path": self.prefix.rstrip("/")}, receive, send)
        except HTTPException as error:
            if error.status_code == _NOT_ALLOWED:
                raise MethodNotAllowed(["GET", "HEAD"]) from None
            raise NotFound("there is no such file") from None
