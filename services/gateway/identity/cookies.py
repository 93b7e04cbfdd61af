"""The session cookie: scripts cannot read it, pages of other sites cannot POST with it, and TLS encrypts it."""

from services.gateway.identity.headers import session_cookie_name


def set_session_cookie(token: str, *, seconds: int, encrypted: bool) -> tuple[bytes, bytes]:
    """Returns the header that gives a browser the token of its session."""
    secure = "; Secure" if encrypted else ""
    name = session_cookie_name(encrypted=encrypted)
    return b"set-cookie", f"{name}={token}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}".encode()


def clear_session_cookie(*, encrypted: bool) -> tuple[bytes, bytes]:
    """Returns the header that makes a browser forget its session."""
    return set_session_cookie("", seconds=0, encrypted=encrypted)
