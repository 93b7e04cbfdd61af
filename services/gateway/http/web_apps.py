"""Web apps: for every address below the prefix of an app, its index.html; the app shows the page of the address."""

import html
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

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
_TITLE = "<title>Comanda</title>"


class PageHead(NamedTuple):
    """The metadata of a page in its first answer, without its scripts: the status, the title, and JSON-LD."""

    status: int
    title: str | None
    data: str | None


FindHead = Callable[[Scope], Awaitable[PageHead | None]]
"""Returns the head of the page of a request, or None for one that says nothing of itself."""


class WebApp:
    """Serves the app of `folder` below /NAME/, where NAME is that of the folder.

    In its index.html, `{{static}}` stands for the address of the static files of this version, and `{{modules}}` for
    links that ask at once for each module that main.js imports, directly and through others. `find_head` puts what is
    known of single pages into their first answer.
    """

    def __init__(self, folder: Path, files: StaticFiles, find_head: FindHead | None = None) -> None:
        self.prefix = f"/{folder.name}"
        self._page = _load_index(folder, files.versioned_prefix)
        self._index = make_file(self._page.encode(), "text/html")
        self._find_head = find_head

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
        added = [policy, (b"cache-control", b"no-cache")]
        head = None if self._find_head is None else await self._find_head(scope)
        if head is None:
            await send_file(self._index, scope, send, added)
        else:
            await send_file(self._add_head(head), scope, send, added, status=head.status)

    def _add_head(self, head: PageHead) -> StaticFile:
        """Returns the index with the title and the data of a page."""
        if head.title is None:
            return self._index
        lines = f"<title>{html.escape(head.title)} · Comanda</title>"
        if head.data is not None:
            # No text in the data may end the element.
            data = head.data.replace("<", "\\u003c")
            lines += f'\n  <script type="application/ld+json">{data}</script>'
        return make_file(self._page.replace(_TITLE, lines).encode(), "text/html")


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


def _load_index(folder: Path, address: str) -> str:
    root = folder.parent.resolve()
    modules = sorted(path.relative_to(root).as_posix() for path in find_modules(folder.resolve() / "main.js"))
    links = "".join(f'  <link rel="modulepreload" href="{address}/{name}">\n' for name in modules)
    return (folder / "index.html").read_text().replace(_MODULES, links).replace(_STATIC, address)


async def _redirect(address: str, scope: Scope, send: Send) -> None:
    if scope["method"] not in METHODS:
        raise MethodNotAllowed(list(METHODS))
    query = scope["query_string"]
    target = address.encode() + (b"?" + query if query else b"")
    await send({"type": "http.response.start", "status": 308, "headers": [(b"location", target)]})
    await send({"type": "http.response.body", "body": b""})
