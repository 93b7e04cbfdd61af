"""The web pages: the dashboard, and the API's description to read and try; nothing of them comes from elsewhere."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from services.gateway.http.responses import answer
from services.gateway.http.router import Answer, Meant, Operation, Request
from shared import VERSION

FILES = Path(__file__).parents[1] / "static"
# The page's pictures are within its style sheet.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HTML = "text/html; charset=utf-8"


class Welcome(Struct, frozen=True):
    """What is here."""

    message: str


class PageRoutes:
    """The dashboard, /docs and /openapi.json; `description` gives the last."""

    def __init__(self, description: Callable[[], bytes]) -> None:
        self._description = description
        self._dashboard = _page("app/index.html")
        self._docs = _page("docs.html")

    def operations(self) -> Sequence[Operation]:
        """What can be asked."""
        return [
            Operation(
                method="GET",
                path="/",
                serve=self._root,
                tag="pages",
                summary="What is here",
                answers={200: Meant(Welcome, "To programs; browsers get the dashboard")},
                limited=False,
            ),
            Operation(
                method="GET",
                path="/docs",
                serve=self._show_docs,
                tag="pages",
                summary="The API in a browser",
                answers={200: Meant(str, "The page", _HTML)},
                listed=False,
            ),
            Operation(
                method="GET",
                path="/openapi.json",
                serve=self._openapi,
                tag="pages",
                summary="The API for programs",
                answers={200: Meant(dict, "Its description")},
                listed=False,
            ),
        ]

    async def _root(self, request: Request) -> Answer:
        if "text/html" in (request.header(b"accept") or ""):
            found = self._dashboard
        else:
            found = answer(Welcome(f"Comanda {VERSION}: orders, stock, scores and tasks. How to use it is at /docs"))
        return found._replace(headers=[*found.headers, (b"vary", b"accept")])

    async def _show_docs(self, _: Request) -> Answer:
        return self._docs._replace(headers=list(self._docs.headers))

    async def _openapi(self, _: Request) -> Answer:
        return Answer(200, [(b"content-type", b"application/json")], self._description())


def _page(name: str) -> Answer:
    """A page among the files."""
    headers = [(b"content-type", _HTML.encode()), (b"content-security-policy", _POLICY)]
    return Answer(200, headers, (FILES / name).read_bytes())
