"""Static files of the web pages, cached in memory and compressed for browsers that accept it."""

import gzip
import hashlib
import mimetypes
import re
from pathlib import Path
from typing import NamedTuple

from services.gateway.http.asgi import Receive, Scope, Send
from services.gateway.http.problems import MethodNotAllowed
from shared.domain.errors import NotFound

METHODS = ("GET", "HEAD")
# These do not become smaller.
_PACKED = {"image/png"}
_LEVEL = 9
_DIGEST_CHARACTERS = 16
_OWN = ("lib/", "admin/", "shop/")
_COMMENTS = re.compile(rb"^[ \t]*(?://.*|/\*(?s:.*?)\*/)[ \t]*$", re.MULTILINE)
"""Comments on lines of their own, of scripts and style sheets: a quarter of what a first visit would transfer."""
_IMMUTABLE = (b"cache-control", b"public, max-age=31536000, immutable")


class StaticFile(NamedTuple):
    """A response that is ready to be sent, also compressed if that is smaller."""

    headers: list[tuple[bytes, bytes]]
    etag: bytes
    body: bytes
    packed: bytes | None


class StaticFiles:
    """Serves the files that `folder` has now below `prefix`; no other path leads anywhere.

    Below PREFIX/DIGEST/ the same files may be kept for good: the digest is of all of them together. A page whose first
    file has the digest in its address gets all others, which import one another by relative paths, of one version.
    """

    def __init__(self, prefix: str, folder: Path) -> None:
        self.prefix = prefix
        self._paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        self._loaded: dict[str, StaticFile] = {}
        self.digest = _digest_files(self._paths)

    @property
    def versioned_prefix(self) -> str:
        """The address below which browsers may keep the files for good, without a slash at its end."""
        return f"{self.prefix}{self.digest}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Raises NotFound and MethodNotAllowed."""
        scope["route"] = self.prefix
        name = scope["path"].removeprefix(self.prefix)
        found = name.removeprefix(f"{self.digest}/")
        await send_file(self._load_file(found), scope, send, [] if found == name else [_IMMUTABLE])

    def _load_file(self, name: str) -> StaticFile:
        found = self._loaded.get(name)
        if found is None:
            path = self._paths.get(name)
            if path is None:
                raise NotFound("there is no such file")
            kind = mimetypes.guess_type(path.name)[0] or "text/plain"
            body = path.read_bytes()
            if name.startswith(_OWN) and path.suffix in (".js", ".css"):
                # Their lines stay, so that places in errors are those of the file.
                body = _COMMENTS.sub(lambda found: b"\n" * found[0].count(b"\n"), body)
            found = self._loaded[name] = make_file(body, kind)
        return found


def make_file(body: bytes, kind: str) -> StaticFile:
    """Returns the response for content of a media type."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'.encode()
    packed = None if kind in _PACKED else gzip.compress(body, _LEVEL, mtime=0)
    if packed is not None and len(packed) >= len(body):
        packed = None
    described = f"{kind}; charset=utf-8" if kind.startswith("text/") or "xml" in kind else kind
    headers = [(b"content-type", described.encode()), (b"vary", b"accept-encoding")]
    return StaticFile(headers, etag, body, packed)


async def send_file(
    file: StaticFile, scope: Scope, send: Send, added: list[tuple[bytes, bytes]], *, status: int = 200
) -> None:
    """Sends a file with `added` headers, or 304 to a client that has it. Raises MethodNotAllowed."""
    if scope["method"] not in METHODS:
        raise MethodNotAllowed(list(METHODS))
    asked = dict(scope["headers"])
    headers = [*file.headers, *added]
    if _IMMUTABLE not in added:
        headers.append((b"etag", file.etag))
    body = file.body
    if status == 200 and asked.get(b"if-none-match") == file.etag:
        status, body = 304, b""
    elif file.packed is not None and b"gzip" in asked.get(b"accept-encoding", b""):
        body = file.packed
        headers.append((b"content-encoding", b"gzip"))
    if status != 304:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _digest_files(paths: dict[str, Path]) -> str:
    """Returns a digest of the names and the content of all files."""
    digest = hashlib.sha256()
    for name in sorted(paths):
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.sha256(paths[name].read_bytes()).digest())
    return digest.hexdigest()[:_DIGEST_CHARACTERS]
