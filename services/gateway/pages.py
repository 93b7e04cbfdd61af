"""The API's description, and a page to read it and try it with; nothing of it comes from elsewhere."""

from collections.abc import Callable, Sequence
from pathlib import Path

from services.gateway.routing import Answer, Meant, Operation, Request

FILES = Path(__file__).parent / "static"
# The page's pictures are within its style sheet.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HTML = "text/html; charset=utf-8"


class PageRoutes:
    """/docs and /openapi.json; `description` gives the latter."""

    def __init__(self, description: Callable[[], bytes]) -> None:
        self._description = description
        self._page = (FILES / "docs.html").read_bytes()

    def operations(self) -> Sequence[Operation]:
        """What can be asked."""
        return [
            Operation(
                method="GET",
                path="/docs",
                serve=self._docs,
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

    async def _docs(self, _: Request) -> Answer:
        headers = [(b"content-type", _HTML.encode()), (b"content-security-policy", _POLICY)]
        return Answer(200, headers, self._page)

    async def _openapi(self, _: Request) -> Answer:
        return Answer(200, [(b"content-type", b"application/json")], self._description())
