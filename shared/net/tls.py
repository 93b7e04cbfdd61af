"""TLS contexts of servers and clients, for TLS 1.2 and later."""

import ssl
from pathlib import Path

from shared.domain.errors import StartupError


def server_tls(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """Returns the context for the files of a certificate chain and its key; None without either.

    Raises StartupError if one is missing, and for files that cannot be used.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        missing = "TLS_CERT" if cert is None else "TLS_KEY"
        raise StartupError(f"{missing} is not set", hint="set both TLS_CERT and TLS_KEY, or neither")
    for name, path in (("TLS_CERT", cert), ("TLS_KEY", key)):
        if not Path(path).is_file():
            raise StartupError(f"{name}={path} does not exist", hint="name a PEM file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (ssl.SSLError, OSError) as error:
        raise StartupError(
            f"the certificate {cert} and the key {key} cannot be used: {error.strerror or error}",
            hint="both are PEM files, and the key is the certificate's own, without a password",
        ) from error
    return context


def client_tls(authorities: str) -> ssl.SSLContext:
    """Returns the context of a client that trusts the certificates in a PEM file. Raises OSError."""
    context = ssl.create_default_context(cafile=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
