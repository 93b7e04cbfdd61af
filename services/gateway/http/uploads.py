"""Uploaded files: the body of the request itself, or the one file of a form."""

from collections.abc import AsyncGenerator, AsyncIterator

from python_multipart.multipart import MultipartParser, parse_options_header

from shared.domain.errors import InvalidParams

FORM = "multipart/form-data"
MEDIA_TYPES = ("text/csv", "text/plain", "application/octet-stream", "application/vnd.ms-excel", FORM)
"""Media types of uploads."""


class FileBody:
    """The file in a request body; `name` is its name in the form, known after its first part."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        self.name: str | None = None
        self._body = body
        self._form: _Form | None = None
        if content_type.partition(";")[0].strip().lower() == FORM:
            try:
                _, options = parse_options_header(content_type)
                self._form = _Form(options[b"boundary"])
            except Exception:
                raise InvalidParams(
                    "the form has no boundary", field="Content-Type", hint="curl -F file=@FILE.csv …"
                ) from None

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yields the parts of the file. Raises InvalidParams for a form without exactly one complete file."""
        async for data in self._body:
            if self._form is None:
                yield data
                continue
            self._form.feed(data)
            self.name = self._form.name
            if file := self._form.take():
                yield file
        if self._form is not None and not self._form.ended:
            raise InvalidParams("the form is cut off before its end", hint="send it once more")
        if self._form is not None and not self._form.files:
            raise InvalidParams("there is no file in the form", hint="curl -F file=@FILE.csv …")


class _Form:
    """Extracts the file from a form while it arrives; other fields are ignored."""

    def __init__(self, boundary: bytes) -> None:
        self.name: str | None = None
        self.files = 0
        self.ended = False
        self._field = b""
        self._value = b""
        self._in_file = False
        self._parts: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end_form,
            },
        )

    def feed(self, data: bytes) -> None:
        """Parses the next part of the body. Raises InvalidParams."""
        try:
            self._parser.write(data)
        except Exception:
            # The headers of a part are as odd as a client makes them.
            raise InvalidParams(
                "the form cannot be read", hint="send the file itself: --data-binary @FILE.csv"
            ) from None
        if self.files > 1:
            raise InvalidParams("there is more than one file in the form", hint="send them one by one")

    def take(self) -> bytes:
        """Returns the bytes of the file that arrived since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            if b"filename" in options:
                self._in_file = True
                self.files += 1
                self.name = options[b"filename"].decode("utf-8", "replace")
        self._field = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._parts.append(data[start:end])

    def _part_end(self) -> None:
        self._in_file = False

    def _end_form(self) -> None:
        self.ended = True
