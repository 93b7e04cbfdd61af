"""The sender of a request as the gateway sees it, for pages that adapt to what their user may do."""

from msgspec import Struct

from services.gateway.http.principal import INSTALLATION_PUBLIC, PrincipalKind
from services.gateway.http.responses import json_response
from services.gateway.http.routes import HttpRequest, HttpResponse, ResponseSpec, route
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
    """The route that shows a sender who the gateway takes it for."""

    def __init__(self, *, development: bool) -> None:
        self._development = development

    @route(
        "GET",
        "/api/v1/principal",
        id="show_principal_get_accounts",
        access=INSTALLATION_PUBLIC,
        tag="accounts",
        summary="Who the gateway takes you for",
        responses={200: ResponseSpec(PrincipalView, "The sender; `anonymous` without valid credentials")},
    )
    async def _show_principal(self, request: HttpRequest) -> HttpResponse:
        principal = request.principal
        return json_response(
            PrincipalView(
                principal.kind,
                principal.name,
                principal.user,
                principal.tenant,
                sorted(principal.roles),
                self._development,
            )
        )
