"""StaticFiles of stock that come in over HTTP, and all imports: looked at, and taken back."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

from msgspec import Meta, Struct

from clients.inventory import imports
from clients.inventory.imports import Import
from clients.inventory.upload import Report, Upload, file_too_large_error
from clients.persistence import PersistenceClient
from services.gateway.http.parameters import Cursor, Limit
from services.gateway.http.principal import OPERATORS, VIEWERS
from services.gateway.http.responses import json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.http.uploads import MEDIA_TYPES, FileBody
from services.gateway.upstream.backend import Backend
from services.gateway.upstream.deadlines import long_request_client
from shared.domain.errors import ComandaError, Timeout, Unavailable
from shared.domain.stock import ImportState

_PATH = "/imports"
_SOURCE = "http"
_UNNAMED = "stock.csv"
# What a form may have around its file.
_FORM_BYTES = 65_536
# Small files are in force when they are answered.
_WAIT_SECONDS = 2.0


class UploadQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of an upload."""

    dry_run: Annotated[bool, Meta(description="Tell what would change, and change nothing")] = False
    partial: Annotated[bool, Meta(description="Take the good rows of a file that has bad ones")] = False
    again: Annotated[bool, Meta(description="Take a file that went in already")] = False
    name: Annotated[str, Meta(min_length=1, max_length=1000, description="What the file is called")] | None = None


class ImportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Position and size of a page."""

    limit: Limit = 50
    cursor: Cursor | None = None


class ImportPage(Struct, frozen=True):
    """Imports, newest first; `cursor` leads to the next page."""

    imports: Sequence[Import]
    cursor: str | None


class ImportRoutes:
    """POST /items/upload, and all of /imports. A file has at most `max_bytes`; `max_uploads` are read at once."""

    def __init__(
        self,
        persistence: Backend[PersistenceClient],
        *,
        max_bytes: int,
        max_uploads: int,
        upload_seconds: float,
        request_seconds: float,
    ) -> None:
        self._records = persistence
        self._max_bytes = max_bytes
        self._room = asyncio.Semaphore(max_uploads)
        self._upload_seconds = upload_seconds
        self._request_seconds = request_seconds

    @route(
        "POST",
        "/items/upload",
        id="upload_post_imports",
        tag="imports",
        access=OPERATORS,
        summary="Bring in a CSV file of stock",
        description="Lines of store,item,count below such a header; delimiter and encoding are found out. What is "
        "answered with 201 or 202 goes into force as a whole. A file with bad rows is refused, and a "
        "`report` tells every one of them.",
        query=UploadQuery,
        upload=MEDIA_TYPES,
        responses={
            200: ResponseSpec(Report, "What a dry run has found"),
            201: ResponseSpec(Import, "The file is in force"),
            202: ResponseSpec(Import, "The file is accepted, and goes into force: look at it under Location"),
        },
        errors=("conflict", *UPSTREAM_ERRORS),
    )
    async def _upload_file(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        query: UploadQuery = request.query
        length = request.header(b"content-length")
        if length is not None and int(length) > self._max_bytes + _FORM_BYTES:
            raise file_too_large_error(self._max_bytes)
        try:
            # Others wait with what they have not sent yet.
            async with asyncio.timeout(self._request_seconds):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable("other files are read still", hint="send it again later; nothing was stored") from None
        try:
            found = await self._read_file(request, query)
        finally:
            self._room.release()
        if isinstance(found, Report):
            return json_response(found)
        found = await imports.wait_for_import(records.lookups, found.id, seconds=_WAIT_SECONDS)
        done = found.state is not ImportState.ACCEPTED
        return json_response(found, status=201 if done else 202, location=f"{_PATH}/{found.id}")

    async def _read_file(self, request: HttpRequest, query: UploadQuery) -> Import | Report:
        records = long_request_client(
            self._records.of(request.principal.tenant), request.request_id, seconds=self._request_seconds
        )
        body = FileBody(request.header(b"content-type") or "", request.body)
        upload: Upload | None = None
        try:
            async with asyncio.timeout(self._upload_seconds), aclosing(body.parts()) as parts:
                async for part in parts:
                    # The name of a form's file is known by now.
                    upload = upload or self._begin_upload(records, query, body)
                    await upload.feed(part)
        except (ComandaError, TimeoutError) as error:
            if upload is not None:
                await upload.drop()
            if isinstance(error, ComandaError):
                raise
            message = f"the file did not come within {self._upload_seconds:g} s"
            raise Timeout(message, hint="send it in parts; the limit is UPLOAD_SECONDS") from None
        upload = upload or self._begin_upload(records, query, body)
        return await upload.finish(again=query.again)

    def _begin_upload(self, records: PersistenceClient, query: UploadQuery, body: FileBody) -> Upload:
        name = query.name or body.name or _UNNAMED
        return Upload(
            records,
            name=name[:200],
            source=_SOURCE,
            max_bytes=self._max_bytes,
            dry_run=query.dry_run,
            partial=query.partial,
        )

    @route(
        "GET",
        _PATH,
        id="list_get_imports",
        tag="imports",
        access=VIEWERS,
        summary="List imports, newest first",
        query=ImportQuery,
        responses={200: ResponseSpec(ImportPage, "A page of imports")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_imports(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        query: ImportQuery = request.query
        page = await imports.list_imports(records.lists, limit=query.limit, cursor=query.cursor)
        return json_response(ImportPage(page.imports, page.cursor))

    @route(
        "GET",
        "/imports/{id}",
        id="show_get_imports",
        tag="imports",
        access=VIEWERS,
        summary="Look at an import",
        description="`applied` of its `rows` are in force.",
        responses={200: ResponseSpec(Import, "The import")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _show_import(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        return json_response(await imports.get_import(records.lookups, request.id))

    @route(
        "POST",
        "/imports/{id}/undo",
        id="undo_post_imports",
        tag="imports",
        access=OPERATORS,
        summary="Take an import back",
        description="Counts change back by what the import has changed; what was sold meanwhile stays sold.",
        responses={200: ResponseSpec(Import, "It was taken back"), 202: ResponseSpec(Import, "It is being taken back")},
        errors=("not_found", "conflict", *UPSTREAM_ERRORS),
    )
    async def _undo_import(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        found = await imports.undo_import(records.lookups, request.id)
        if found.state is ImportState.UNDOING:
            found = await imports.wait_for_import(records.lookups, request.id, seconds=_WAIT_SECONDS)
        return json_response(found, status=202 if found.state is ImportState.UNDOING else 200)
