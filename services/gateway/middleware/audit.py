"""The gateway's part of the audit log of users: changes, sign-ins, and requests that were refused for who sent them."""

from services.gateway.http.asgi import Scope
from services.gateway.http.principal import Principal
from services.gateway.http.routes import HttpRequest
from shared.net.addresses import plain_address
from shared.stores.audit_log import AuditLog

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
# Routes whose changes decide who may do what; also their failures are of interest.
_ACCESS_ROUTES = ("/api/v1/users", "/api/v1/sessions", "/api/v1/api-keys")
_REFUSED = frozenset((401, 403))
_ANONYMOUS = Principal()


class RequestAudit:
    """Records finished requests in `log`."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def record_request(self, scope: Scope, status: int, trace: str, location: bytes | None) -> None:
        """Records a request if it changed something, or concerns access.

        A change with a status from 500 on is recorded, since it may have happened; other failures changed nothing.
        """
        unsafe = scope["method"] not in _SAFE_METHODS
        refused = status in _REFUSED
        if not unsafe and not refused:
            return
        route: str = scope.get("route", "")
        about_access = refused or route.startswith(_ACCESS_ROUTES)
        if not about_access and 400 <= status < 500:
            return
        request: HttpRequest | None = scope.get("http_request")
        principal = _ANONYMOUS if request is None else request.principal
        client = scope.get("client")
        record = self._log.record_access if about_access else self._log.record_change
        record(
            f"{scope['method']} {route}",
            user=principal.name,
            tenant=principal.tenant,
            path=scope["path"] if scope["path"] != route else None,
            created=None if location is None else location.decode("latin-1"),
            status=status,
            address=None if client is None else plain_address(client[0]),
            trace=trace,
        )
