"""Web apps: for every address below the prefix of an app, its index.html; the app shows the page of the address."""

import re
from collections.abc import Iterator
from pathlib import Path

from services.gateway.http.asgi import Receive, Scope, Send
from services.gateway.http.problems import MethodNotAllowed
from services.gateway.http.static_files import METHODS, StaticFile, StaticFiles, make_file, send_file
from shared.domain.errors import NotFound

# The pages' pictures are within their style sheets.
PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_IMPORT = re.compile(r"""\bfrom ?"(\.[^"]+)";""")
_STATIC = "{{static}}"
_MODULES = "  {{modules}}\n"


class WebApp:
    """Serves the app of `folder` below /NAME/, where NAME is that of the folder.

    In its index.html, `{{static}}` stands for the address of the static files of this version, and `{{modules}}` for
    links that ask at once for each module that main.js imports, directly and through others.
    """

    def __init__(self, folder: Path, files: StaticFiles) -> None:
        self.prefix = f"/{folder.name}"
        self._index = _load_index(folder, files.versioned_prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Raises NotFound and MethodNotAllowed."""
        path = scope["path"]
        if path != self.prefix and not path.startswith(f"{self.prefix}/"):
            raise NotFound("nothing is at this address", hint="/docs shows what there is")
        scope["route"] = f"{self.prefix}/"
        if path == self.prefix:
            await _redirect(f"{self.prefix}/", scope, send)
            return
        policy = (b"content-security-policy", PAGE_POLICY)
        await send_file(self._index, scope, send, [policy, (b"cache-control", b"no-cache")])


def find_modules(entry: Path) -> Iterator[Path]:
    """Yields the modules that a module imports, directly and through others, each once, but not those on demand."""
    seen = {entry}
    waiting = [entry]
    while waiting:
        module = waiting.pop()
        for name in _IMPORT.findall(module.read_text()):
            found = (module.parent / name).resolve()
            if found not in seen:
                seen.add(found)
                waiting.append(found)
                yield found


def _load_index(folder: Path, address: str) -> StaticFile:
    root = folder.parent.resolve()
    modules = sorted(path.relative_to(root).as_posix() for path in find_modules(folder.resolve() / "main.js"))
    links = "".join(f'  <link rel="modulepreload" href="{address}/{name}">\n' for name in modules)
    page = (folder / "index.html").read_text().replace(_MODULES, links).replace(_STATIC, address)
    return make_file(page.encode(), "text/html")


async def _redirect(address: str, scope: Scope, send: Send) -> None:
    if scope["method"] not in METHODS:
        raise MethodNotAllowed(list(METHODS))
    query = scope["query_string"]
    target = address.encode() + (b"?" + query if query else b"")
    await send({"type": "http.response.start", "status": 308, "headers": [(b"location", target)]})
    await send({"type": "http.response.body", "body": b""})
