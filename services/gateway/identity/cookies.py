"""Cookies of browsers: scripts cannot read them, pages of other sites cannot POST with them, and TLS encrypts them."""

from services.gateway.identity.headers import session_cookie_name


def set_cookie(name: str, value: str, *, seconds: int, encrypted: bool) -> tuple[bytes, bytes]:
    """Returns the header that gives a browser a cookie; 0 seconds make the browser forget it."""
    secure = "; Secure" if encrypted else ""
    return b"set-cookie", f"{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}".encode()


def set_session_cookie(token: str, *, seconds: int, encrypted: bool) -> tuple[bytes, bytes]:
    """Returns the header that gives a browser the token of its session."""
    return set_cookie(session_cookie_name(encrypted=encrypted), token, seconds=seconds, encrypted=encrypted)


def clear_session_cookie(*, encrypted: bool) -> tuple[bytes, bytes]:
    """Returns the header that makes a browser forget its session."""
    return set_session_cookie("", seconds=0, encrypted=encrypted)
