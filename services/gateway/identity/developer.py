"""The principal of requests while no route asks for credentials."""

from services.gateway.http.principal import DEVELOPER, Principal
from services.gateway.http.routes import HttpRequest, Route


async def authenticate_developer(_request: HttpRequest, _route: Route) -> Principal:
    """Returns the developer, whom every route admits."""
    return DEVELOPER
