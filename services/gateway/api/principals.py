"""The sender of a request as the gateway sees it, for pages that adapt to what their user may do."""

from msgspec import Struct

from services.gateway.http.principal import INSTALLATION_PUBLIC, PrincipalKind
from services.gateway.http.responses import json_response
from services.gateway.http.routes import HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.cookies import clear_session_cookie
from services.gateway.identity.headers import has_session_cookie
from shared.domain.accounts import Role


class PrincipalView(Struct, frozen=True):
    """A principal. `user` is null without an account, `roles` are those within `tenant`.

    With `development`, the gateway runs with STAGE=dev, where programs of its machine need no credentials.
    """

    kind: PrincipalKind
    name: str
    user: str | None
    tenant: str
    roles: list[Role]
    development: bool


class PrincipalRoutes:
    """The route that shows a sender who the gateway takes it for. `encrypted` says whether clients use TLS."""

    def __init__(self, *, development: bool, encrypted: bool) -> None:
        self._development = development
        self._encrypted = encrypted

    @route(
        "GET",
        "/api/v1/principal",
        id="show_principal_get_accounts",
        access=INSTALLATION_PUBLIC,
        tag="accounts",
        summary="Who the gateway takes you for",
        description="A browser forgets the cookie of a session that has ended.",
        responses={200: ResponseSpec(PrincipalView, "The sender; `anonymous` without valid credentials")},
    )
    async def _show_principal(self, request: HttpRequest) -> HttpResponse:
        principal = request.principal
        response = json_response(
            PrincipalView(
                principal.kind,
                principal.name,
                principal.user,
                principal.tenant,
                sorted(principal.roles),
                self._development,
            )
        )
        if principal.kind == "anonymous" and has_session_cookie(request.raw_headers, encrypted=self._encrypted):
            # The visitor goes on as a guest, whose cart is not that of the ended session.
            response.headers.append(clear_session_cookie(encrypted=self._encrypted))
        return response
