"""The action registry: an action is declared once, with its request type, verb, help lines and handler.

A server has one `ActionRegistry`, and declares its actions with the registry's decorators:

    @ACTIONS.immediate(Unwatch, verb=Verb(), usage=[("unwatch", "ends the events")])
    def unwatch(server: Server, request: Unwatch, connection: Connection) -> Members: ...

The JSON name is the tag of the request type. The decorator says how the dispatcher carries the action out:
`immediate` from memory, `batched` together with all that arrived in the same turn, `aside` in a task of its own.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from shared.domain.errors import InvalidParams, UnknownAction
from shared.domain.orders import DeadlineMs, RequestId, Trace, UserName
from shared.net.connection import Connection
from shared.wire.replies import encode_line
from shared.wire.strict_json import decode_strictly, did_you_mean, read_decimal, shorten_text, translate_error

Members = Mapping[str, Any]
"""The members of an answer."""


class Request(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action", kw_only=True):
    """A request with an action; `request_id` comes back in the answer."""

    request_id: RequestId | None = None
    trace: Trace | None = None
    deadline_ms: DeadlineMs | None = None
    user: UserName | None = None
    """On whose behalf it is sent, for the audit log."""


class Followed(NamedTuple):
    """An answer, and what happens directly after it has been sent."""

    members: Members
    then: Callable[[], None]


Reply = Members | Followed
HelpLine = tuple[str, str]
"""What to type, and what it does; a line that continues the one above has nothing to type."""

Usage = Sequence[HelpLine]

Audited = Callable[[Any, Any], Members | None]
"""Returns what a request changes, from the server and the request; None for a request that needs no audit entry.

The members may contain no secrets.
"""

S = TypeVar("S")
R = TypeVar("R", bound=Request)
F = TypeVar("F", bound=Callable[..., Any])
Immediate = Callable[[S, R, Connection], Reply]
Aside = Callable[[S, R, Connection], Awaitable[Reply]]


class Verb(NamedTuple):
    """The short form of an action that can be typed as a line; its name is that of the action."""

    argument: str | None = None
    """The member that the rest of the line fills; None where nothing may follow the verb."""
    synonyms: Sequence[str] = ()
    parse: Callable[[str], dict[str, Any]] | None = None
    """Makes members of the rest of the line, where one argument is not enough. Raises InvalidParams."""
    encode: Callable[[Members], bytes] = encode_line
    """Writes the answer for whoever typed the line."""


class Action(Struct, frozen=True, kw_only=True, eq=False):
    """One declared action; made by the decorators of an `ActionRegistry`."""

    name: str
    request: type[Request]
    handler: Callable[..., Any]
    decoder: Any
    verb: Verb | None
    usage: Usage
    example: Members | None
    """Shown with an error about its request."""
    is_immediate: bool = False
    is_aside: bool = False
    is_batched: bool = False
    """Whether the batch of the turn has a part in it."""
    reads: bool = False
    """Whether it sees what the batch has written, so that no later write of its connection may be in its turn."""
    is_page: Callable[[Any], bool] | None = None
    """Says of a request whether its answer may be large."""
    weigh: Callable[[Any], int] | None = None
    """Returns the part of a turn that a request takes; without it each takes 1."""
    prepare: Callable[..., Any] | None = None
    """The part that the batch of the turn has in an action that is answered aside."""
    audited: Audited | None = None
    """Makes the members of the audit entry about a request that was carried out."""


class ParsedRequest(Struct, frozen=True, gc=False):
    """A request, its action, and the encoding of its answer."""

    action: Action
    request: Any
    encode: Callable[[Members], bytes] = encode_line


class ActionRegistry(Generic[S]):
    """The actions of a server whose handlers get an `S` as their first argument."""

    def __init__(self, refuse: "Callable[[ActionRegistry[Any], str, str], UnknownAction] | None" = None) -> None:
        self._refuse = refuse or _refuse
        self.actions: dict[str, Action] = {}
        """Every action by its name."""
        self.verbs: dict[str, Action] = {}
        """Those that can be typed, by their names and synonyms."""
        self.by_type: dict[type[Request], Action] = {}
        """Every action by the type of its request, with those that have no name of their own."""

    # Declarations.

    def immediate(
        self,
        request: type[R],
        *,
        verb: Verb | None = None,
        usage: Usage = (),
        example: Members | None = None,
        audited: Audited | None = None,
    ) -> Callable[[Immediate[S, R]], Immediate[S, R]]:
        """Declares an action that is answered from memory, as soon as all before it on its connection are answered.

        Its handler gets the server, the request and the connection.
        """
        return self._declare(request, verb, usage, example, is_immediate=True, audited=audited)

    def batched(
        self,
        request: type[Request],
        *,
        verb: Verb | None = None,
        usage: Usage = (),
        example: Members | None = None,
        reads: bool = False,
        is_page: Callable[[Any], bool] | None = None,
        weigh: Callable[[Any], int] | None = None,
        audited: Audited | None = None,
    ) -> Callable[[F], F]:
        """Declares an action that is carried out together with all that arrived in the same turn.

        The batch of the server calls its handler, with arguments of its choice.
        """
        return self._declare(
            request,
            verb,
            usage,
            example,
            is_batched=True,
            reads=reads,
            is_page=is_page,
            weigh=weigh,
            audited=audited,
        )

    def aside(
        self,
        request: type[R],
        *,
        verb: Verb | None = None,
        usage: Usage = (),
        example: Members | None = None,
        prepare: Callable[..., Any] | None = None,
        is_named: bool = True,
        audited: Audited | None = None,
    ) -> Callable[[Aside[S, R]], Aside[S, R]]:
        """Declares an action that a task of its own carries out, while later requests of its connection wait.

        Its handler gets the server, the request and the connection. The batch of the turn calls `prepare` first, and
        may refuse it. An action that is not named can only be asked for in another dialect.
        """
        return self._declare(
            request, verb, usage, example, is_named=is_named, is_aside=True, prepare=prepare, audited=audited
        )

    def include(self, other: "ActionRegistry[S]") -> None:
        """Adds the actions of another registry."""
        self.by_type.update(other.by_type)
        for action in other.actions.values():
            self._add(action)

    def _declare(
        self,
        request: type[Request],
        verb: Verb | None,
        usage: Usage,
        example: Members | None,
        *,
        is_named: bool = True,
        **traits: Any,
    ) -> Callable[[Any], Any]:
        name = str(request.__struct_config__.tag)

        def declare(handler: Callable[..., Any]) -> Callable[..., Any]:
            action = Action(
                name=name,
                request=request,
                handler=handler,
                decoder=msgspec.json.Decoder(request, float_hook=read_decimal),
                verb=verb,
                usage=usage,
                example=None if example is None else {"action": name, **example},
                **traits,
            )
            self.by_type[request] = action
            if is_named:
                self._add(action)
            return handler

        return declare

    def _add(self, action: Action) -> None:
        names = [action.name, *(action.verb.synonyms if action.verb else ())]
        if taken := next((name for name in names if name in self.actions or name in self.verbs), None):
            raise ValueError(f"the action {taken} is declared twice")
        self.actions[action.name] = action
        if action.verb is not None:
            self.verbs.update(dict.fromkeys(names, action))

    # Requests.

    def help_lines(self, column: int) -> list[str]:
        """Returns the help lines of all actions as they were declared, with the explanations in this column."""
        return [
            f"{usage:<{column}}{text}".rstrip() if len(usage) < column else f"{usage}   {text}".rstrip()
            for action in self.actions.values()
            for usage, text in action.usage
        ]

    def decode(self, document: bytes, name: object) -> ParsedRequest:
        """Returns the request of a document of strict JSON; `name` is its member `action`.

        Raises UnknownAction or InvalidParams.
        """
        action = self._named(name)
        return ParsedRequest(action, decode_strictly(action.decoder, document, example=action.example))

    def convert(self, members: object) -> ParsedRequest:
        """Returns the request of members that came in another form than JSON. Raises UnknownAction or InvalidParams."""
        if not isinstance(members, dict) or not all(isinstance(name, str) for name in members):
            raise InvalidParams("a request is made of members with names", example={"action": "ping"})
        try:
            msgspec.json.encode(members, enc_hook=lambda _: None)
        except UnicodeEncodeError:
            # No store could keep it, and no answer name it.
            raise InvalidParams("a text has half of a surrogate pair, which UTF-8 cannot write") from None
        except (TypeError, RecursionError) as error:
            raise InvalidParams(f"this is no request: {error}") from None
        action = self._named(members.get("action"))
        try:
            return ParsedRequest(action, msgspec.convert(members, action.request))
        except msgspec.ValidationError as error:
            raise translate_error(str(error), action.request) from None

    def parse_verb(self, text: str) -> ParsedRequest:
        """Returns the request of a line. Raises UnknownAction or InvalidParams."""
        word, _, rest = text.partition(" ")
        action = self.verbs.get(word.lower())
        if action is None or action.verb is None:
            raise self._refuse(self, "verb", word)
        members: dict[str, Any] = {"action": action.name}
        if action.verb.parse is not None:
            members |= action.verb.parse(rest)
        elif argument := rest.strip():
            if action.verb.argument is None:
                raise InvalidParams(f"{action.name} takes no argument", hint=f"send just: {action.name}")
            members[action.verb.argument] = argument
        try:
            return ParsedRequest(action, msgspec.convert(members, action.request, strict=False), action.verb.encode)
        except msgspec.ValidationError as error:
            raise translate_error(str(error), action.request) from None

    def _named(self, name: object) -> Action:
        if not isinstance(name, str):
            raise InvalidParams("action must be text", field="action", example={"action": "ping"})
        action = self.actions.get(name)
        if action is None:
            raise self._refuse(self, "action", name)
        return action


def _refuse(registry: ActionRegistry[Any], what: str, name: str) -> UnknownAction:
    """Returns the error about an action or a verb that there is not."""
    shown = shorten_text(name)
    if what == "verb":
        hint = did_you_mean(shown, registry.verbs) or "try: help"
        return UnknownAction(f"there is no verb {shown!r}", hint=hint)
    hint = did_you_mean(shown, registry.actions) or f"known: {', '.join(registry.actions)}"
    return UnknownAction(f"there is no action {shown!r}", field="action", hint=hint)
