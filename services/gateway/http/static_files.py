"""Static files of the web pages, cached in memory and compressed for browsers that accept it."""

import gzip
import hashlib
import mimetypes
from pathlib import Path
from typing import NamedTuple

from services.gateway.http.asgi import Receive, Scope, Send
from services.gateway.http.problems import MethodNotAllowed
from shared.domain.errors import NotFound

_METHODS = ("GET", "HEAD")
# These do not become smaller.
_PACKED = {"image/png"}
_LEVEL = 6


class _File(NamedTuple):
    headers: list[tuple[bytes, bytes]]
    etag: bytes
    body: bytes
    packed: bytes | None


class StaticFiles:
    """Serves the files that `folder` has now below `prefix`; no other path leads anywhere."""

    def __init__(self, prefix: str, folder: Path) -> None:
        self.prefix = prefix
        self._paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        self._loaded: dict[str, _File] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Raises NotFound and MethodNotAllowed."""
        scope["route"] = self.prefix
        if scope["method"] not in _METHODS:
            raise MethodNotAllowed(list(_METHODS))
        file = self._load_file(scope["path"].removeprefix(self.prefix))
        asked = dict(scope["headers"])
        headers = list(file.headers)
        status, body = 200, file.body
        if asked.get(b"if-none-match") == file.etag:
            status, body = 304, b""
        elif file.packed is not None and b"gzip" in asked.get(b"accept-encoding", b""):
            body = file.packed
            headers.append((b"content-encoding", b"gzip"))
        if status == 200:
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _load_file(self, name: str) -> _File:
        found = self._loaded.get(name)
        if found is None:
            path = self._paths.get(name)
            if path is None:
                raise NotFound("there is no such file")
            found = self._loaded[name] = _read_file(path)
        return found


def _read_file(path: Path) -> _File:
    body = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "text/plain"
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'.encode()
    packed = None if kind in _PACKED else gzip.compress(body, _LEVEL, mtime=0)
    if packed is not None and len(packed) >= len(body):
        packed = None
    described = f"{kind}; charset=utf-8" if kind.startswith("text/") or "xml" in kind else kind
    headers = [(b"content-type", described.encode()), (b"etag", etag), (b"vary", b"accept-encoding")]
    return _File(headers, etag, body, packed)
