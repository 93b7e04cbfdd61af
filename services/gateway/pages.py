"""The API's description, and a page to read it and try it with; nothing of it comes from elsewhere."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from litestar import MediaType, Response, get
from litestar.handlers import BaseRouteHandler
from litestar.router import Router
from litestar.static_files import create_static_files_router

FILES = Path(__file__).parent / "static"
# The page's pictures are within its style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_routes(description: Callable[[], bytes]) -> Sequence[BaseRouteHandler | Router]:
    """/docs and /openapi.json; `description` gives the latter."""
    page = (FILES / "docs.html").read_bytes()

    @get("/docs", include_in_schema=False, media_type=MediaType.HTML)
    async def docs() -> Response[bytes]:
        return Response(page, media_type=MediaType.HTML, headers={"Content-Security-Policy": _POLICY})

    @get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response[Any]:
        return Response(description(), media_type="application/json")

    files = create_static_files_router("/static", [FILES], include_in_schema=False, cache_control=None)
    return [docs, openapi, files]
