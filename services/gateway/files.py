"""The files of the web pages."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from services.gateway.asgi import App, Receive, Scope, Send
from services.gateway.problems import MethodNotAllowed
from shared.domain.errors import NotFound

_NOT_ALLOWED = 405


class Files:
    """Serves those of `folder` below `prefix`; everything else is for `app`."""

    def __init__(self, app: App, prefix: str, folder: Path) -> None:
        self._app = app
        self._prefix = prefix
        self._files = StaticFiles(directory=folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Raises NotFound and MethodNotAllowed."""
        if not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        scope["route"] = self._prefix
        try:
            await self._files({**scope, "root_path": self._prefix.rstrip("/")}, receive, send)
        except HTTPException as error:
            if error.status_code == _NOT_ALLOWED:
                raise MethodNotAllowed(["GET", "HEAD"]) from None
            raise NotFound("there is no such file") from None
