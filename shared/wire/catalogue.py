"""What can be asked of a server, by name: JSON documents and the verbs that are their short form."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from shared.domain.errors import InvalidParams, UnknownAction
from shared.wire.strict import decode_strictly, did_you_mean, explain, read_decimal, shortened

R = TypeVar("R", bound=Struct)


class Catalogue(Generic[R]):
    """The requests of one server.

    `verbs` has those that can be typed as a line, with the member that their argument fills; `synonyms` are
    other words for them.
    """

    def __init__(
        self, kinds: Sequence[type[R]], verbs: Mapping[str, str | None], synonyms: Mapping[str, str] | None = None
    ) -> None:
        self.kinds = {str(kind.__struct_config__.tag): kind for kind in kinds}
        """Every request by its name."""
        self._verbs = verbs
        self._synonyms = synonyms or {}

    def decode(self, document: bytes, name: object) -> R:
        """The request that a document of strict JSON makes; `name` is its member `action`.

        Raises UnknownAction or InvalidParams.
        """
        return decode_strictly(msgspec.json.Decoder(self._kind(name), float_hook=read_decimal), document)

    def convert(self, members: object) -> R:
        """The request that members make which came in another form than JSON. Raises UnknownAction or InvalidParams."""
        if not isinstance(members, dict) or not all(isinstance(name, str) for name in members):
            raise InvalidParams("a request is made of members with names", example={"action": "ping"})
        try:
            msgspec.json.encode(members, enc_hook=lambda _: None)
        except UnicodeEncodeError:
            # No store could keep it, and no answer name it.
            raise InvalidParams("a text has half of a surrogate pair, which UTF-8 cannot write") from None
        except (TypeError, RecursionError) as error:
            raise InvalidParams(f"this is no request: {error}") from None
        kind = self._kind(members.get("action"))
        try:
            return msgspec.convert(members, kind)
        except msgspec.ValidationError as error:
            raise explain(str(error), kind) from None

    def verb(self, text: str) -> R:
        """The request that a line makes. Raises UnknownAction or InvalidParams."""
        word, _, rest = text.partition(" ")
        name = self._synonyms.get(word.lower(), word.lower())
        if name not in self._verbs:
            shown = shortened(word)
            hint = did_you_mean(shown, [*self._verbs, *self._synonyms]) or "try: help"
            raise UnknownAction(f"there is no verb {shown!r}", hint=hint)
        members: dict[str, Any] = {"action": name}
        if argument := rest.strip():
            member = self._verbs[name]
            if member is None:
                raise InvalidParams(f"{name} takes no argument", hint=f"send just: {name}")
            members[member] = argument
        kind = self.kinds[name]
        try:
            return msgspec.convert(members, kind, strict=False)
        except msgspec.ValidationError as error:
            raise explain(str(error), kind) from None

    def _kind(self, name: object) -> type[R]:
        if not isinstance(name, str):
            raise InvalidParams("action must be text", field="action", example={"action": "ping"})
        kind = self.kinds.get(name)
        if kind is None:
            shown = shortened(name)
            hint = did_you_mean(shown, self.kinds) or f"known: {', '.join(self.kinds)}"
            raise UnknownAction(f"there is no action {shown!r}", field="action", hint=hint)
        return kind
