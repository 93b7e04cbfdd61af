"""Covers of books: uploaded by the shop's staff, scaled, and served under names whose content never changes."""

import asyncio
from contextlib import aclosing
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from clients.persistence import PersistenceClient
from clients.shop import books as shop
from services.gateway.api.shop.books import BookChanged, etag_of, seen_versions
from services.gateway.api.shop.envelope import TenantQuery, check_tenant
from services.gateway.api.shop.views import BookView, cover_path, load_currency, show_book, uploaded_name
from services.gateway.http.parameters import Match, NoneMatch
from services.gateway.http.principal import PUBLIC, STAFF
from services.gateway.http.responses import is_named, json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.http.uploads import FORM, FileBody
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.images.covers import CoverStore, name_cover, remove_unused
from services.gateway.images.scaling import CoverScaler
from services.gateway.upstream.backend import Backend
from services.gateway.upstream.deadlines import long_request_client
from shared.domain.books import MAX_URL, TenantId
from shared.domain.covers import is_cover_name, is_small_cover
from shared.domain.errors import ErrorReason, InvalidParams, NotFound, RequestError, Timeout, TooLarge, Unavailable

_MEDIA_TYPES: Final = ("image/jpeg", "image/png", "image/webp", "application/octet-stream", FORM)
_IMAGE: Final = "image/webp"
# What a form may have around its file.
_FORM_BYTES: Final = 65_536
_DONE: Final = "Portada actualizada exitosamente"
_FOR_GOOD: Final = (b"cache-control", b"public, max-age=31536000, immutable")

CoverAddress = Annotated[str, Meta(min_length=1, max_length=MAX_URL, description="The address of an uploaded cover")]


class ChosenCover(Struct, frozen=True, forbid_unknown_fields=True):
    """A cover that was uploaded before."""

    cover_image_url: CoverAddress
    tenant_id: TenantId | None = None


class CoverChosen(Struct, frozen=True):
    """A book with its new cover."""

    message: str
    book_id: str
    cover_image_url: str
    book: BookView


class CoverRoutes:
    """Covers of books. An image has at most `max_bytes` and `upload_seconds`; `max_uploads` are held at once."""

    def __init__(
        self,
        persistence: Backend[PersistenceClient],
        tenants: TenantDirectory,
        covers: CoverStore,
        scaler: CoverScaler,
        *,
        max_bytes: int,
        max_uploads: int,
        upload_seconds: float,
        request_seconds: float,
    ) -> None:
        self._records = persistence
        self._tenants = tenants
        self._covers = covers
        self._scaler = scaler
        self._max_bytes = max_bytes
        self._room = asyncio.Semaphore(max_uploads)
        self._upload_seconds = upload_seconds
        self._request_seconds = request_seconds

    @route(
        "POST",
        "/api/v1/books/{id}/cover",
        id="upload_post_covers",
        tag="books",
        access=STAFF,
        summary="Upload the cover of a book",
        description="A JPEG, PNG or WebP image, whatever its name says. It is scaled, turned upright, and stored "
        "without the details that a camera adds.",
        query=TenantQuery,
        headers=Match,
        upload=_MEDIA_TYPES,
        responses={200: ResponseSpec(BookChanged, "The book with its cover")},
        errors=("not_found", "precondition_failed", "conflict", *UPSTREAM_ERRORS),
    )
    async def _upload_cover(self, request: HttpRequest) -> HttpResponse:
        tenant = request.principal.tenant
        check_tenant(tenant, request.query.tenant_id)
        seen = seen_versions(request.headers.if_match)
        records = long_request_client(self._records.of(tenant), request.request_id, seconds=self._request_seconds)
        currency = await load_currency(self._tenants, tenant)
        before = await shop.get_book(records, request.id)
        old = uploaded_name(before.book.cover_image_url, tenant)
        try:
            # Others wait with what they have not sent yet.
            async with asyncio.timeout(self._request_seconds):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable(
                "other images are read still",
                hint="send it again later; nothing was stored",
                reason=ErrorReason("images_busy"),
            ) from None
        try:
            cover = await self._scaler.scale(await self._read_image(request))
        finally:
            self._room.release()
        name = name_cover(request.id, cover)
        await self._covers.save(tenant, name, cover)
        change = {"cover_image_url": cover_path(tenant, name)}
        try:
            stored = await shop.change_book(records, request.id, change, seen=seen)
        except RequestError:
            # The book has not changed, so nothing refers to the new image.
            if name != old:
                await remove_unused(self._covers, tenant, request.id, name)
            raise
        if old is not None and old != name:
            await remove_unused(self._covers, tenant, request.id, old)
        view = show_book(stored, tenant, currency)
        return json_response(BookChanged(_DONE, view), etag=etag_of(stored))

    @route(
        "PUT",
        "/api/v1/books/{id}/image",
        id="choose_put_covers",
        tag="books",
        access=STAFF,
        summary="Give a book a cover that was uploaded before",
        description="For clients that send the address of an image. Images elsewhere are not fetched: upload them.",
        body=ChosenCover,
        query=TenantQuery,
        headers=Match,
        example={"cover_image_url": f"/api/v1/covers/main/{'0' * 40}.webp"},
        responses={200: ResponseSpec(CoverChosen, "The book with its cover")},
        errors=("not_found", "precondition_failed", "conflict", *UPSTREAM_ERRORS),
    )
    async def _choose_cover(self, request: HttpRequest) -> HttpResponse:
        sent: ChosenCover = request.body
        tenant = request.principal.tenant
        check_tenant(tenant, request.query.tenant_id, sent.tenant_id)
        seen = seen_versions(request.headers.if_match)
        records = self._records.of(tenant).lookups
        currency = await load_currency(self._tenants, tenant)
        before = await shop.get_book(records, request.id)
        old = uploaded_name(before.book.cover_image_url, tenant)
        name = _read_address(sent.cover_image_url, tenant, request.header(b"host"))
        try:
            await self._covers.load(tenant, name)
        except NotFound:
            raise _unfit_address("there is no cover with this address") from None
        url = cover_path(tenant, name)
        stored = await shop.change_book(records, request.id, {"cover_image_url": url}, seen=seen)
        if old is not None and old != name:
            await remove_unused(self._covers, tenant, request.id, old)
        view = show_book(stored, tenant, currency)
        return json_response(CoverChosen(_DONE, view.book_id, url, view), etag=etag_of(stored))

    async def _read_image(self, request: HttpRequest) -> bytes:
        length = request.header(b"content-length")
        if length is not None and int(length) > self._max_bytes + _FORM_BYTES:
            raise self._too_large()
        image = bytearray()
        body = FileBody(request.header(b"content-type") or "", request.body)
        try:
            async with asyncio.timeout(self._upload_seconds), aclosing(body.parts()) as parts:
                async for part in parts:
                    image += part
                    if len(image) > self._max_bytes:
                        raise self._too_large()
        except TimeoutError:
            message = f"the image did not come within {self._upload_seconds:g} s"
            raise Timeout(message, hint="send a smaller one; the limit is UPLOAD_SECONDS") from None
        if not image:
            raise InvalidParams(
                "there is no image",
                field="image",
                hint="curl --data-binary @COVER.jpg …",
                reason=ErrorReason("required"),
            )
        return bytes(image)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the image is larger than {self._max_bytes} bytes",
            hint="the limit is MAX_COVER_BYTES",
            reason=ErrorReason("too_large", max_bytes=self._max_bytes),
        )

    @route(
        "GET",
        "/api/v1/covers/{tenant}/{name}",
        id="show_get_covers",
        tag="books",
        access=PUBLIC.for_installation(),
        summary="Get the image of a cover",
        description="A name never has another content, so it may be kept for good. An image of a page sends no "
        "tenant, so the path has it.",
        headers=NoneMatch,
        responses={200: ResponseSpec(bytes, "The image", _IMAGE), 304: ResponseSpec(None, "It is there already")},
        errors=("not_found", "invalid_params", "db_error"),
    )
    async def _show_cover(self, request: HttpRequest) -> HttpResponse:
        name = request.path_values["name"]
        etag = f'"{name}"'
        headers = [(b"etag", etag.encode("ascii", "replace")), _FOR_GOOD]
        image = await self._covers.load(request.path_values["tenant"], name)
        if is_named(etag, request.headers.if_none_match):
            return HttpResponse(304, headers, b"")
        return HttpResponse(200, [(b"content-type", _IMAGE.encode()), *headers], image)


def _read_address(url: str, tenant: str, host: str | None) -> str:
    """Returns the name of an uploaded cover by its address: a path, or a URL at `host`. Raises InvalidParams."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _unfit_address("cover_image_url is not an address") from None
    own = not (parts.scheme or parts.netloc) or (parts.scheme in ("http", "https") and parts.netloc == host)
    name = uploaded_name(parts.path, tenant) if own and not (parts.query or parts.fragment) else None
    if name is None or not is_cover_name(name) or is_small_cover(name):
        raise _unfit_address("cover_image_url is not the address of a cover that was uploaded to this shop")
    return name


def _unfit_address(message: str) -> InvalidParams:
    return InvalidParams(
        message,
        field="cover_image_url",
        hint="images elsewhere are not fetched; upload the image: POST /api/v1/books/{id}/cover",
    )
