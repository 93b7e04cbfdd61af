"""Addresses and credentials of servers, from flags, the environment and the settings files."""

import os
import ssl
from typing import Annotated, NamedTuple

from cyclopts import Parameter

from clients.access import Access, Target, client_tls
from clients.errors import WrongUsage
from shared.runtime.settings import read_settings_files

Host = Annotated[str | None, Parameter(help="The server's name or address; else SERVER_HOST.")]
Port = Annotated[int | None, Parameter(alias="-p", help="The server's port; else SERVER_PORT.")]


class AddressSettings(NamedTuple):
    """Names of the settings for a server's host, port and token, and its default port."""

    host_setting: str
    port_setting: str
    port: int
    token_setting: str


INTAKE = AddressSettings("SERVER_HOST", "SERVER_PORT", 8888, "INTAKE_READ_TOKEN")
PERSISTENCE = AddressSettings("TCP_PERSIST_HOST", "TCP_PERSIST_PORT", 6000, "SERVICE_TOKEN")
GATEWAY = AddressSettings("MAIN_SERVER_HOST", "MAIN_SERVER_PORT", 5000, "SERVICE_TOKEN")
DISTRIBUTED = AddressSettings("DISTRIBUTED_HOST", "DISTRIBUTED_PORT", 7000, "SERVICE_TOKEN")


def resolve_target(host: str | None, port: int | None, server: AddressSettings = INTAKE) -> Target:
    """Returns the address and credentials of a server.

    A wildcard address (`::`, `0.0.0.0`) becomes `localhost`. Raises WrongUsage for an invalid port, and for
    certificates that cannot be loaded.
    """
    chosen = host or read_setting(server.host_setting, "localhost")
    if chosen in ("::", "0.0.0.0"):
        chosen = "localhost"
    if port is not None:
        number = _parse_port("--port", str(port))
    else:
        number = _parse_port(server.port_setting, read_setting(server.port_setting, str(server.port)))
    token = read_setting(server.token_setting, "") or None
    # Without TLS_CA, the server's certificate is trusted as self-signed.
    trusted = read_setting("TLS_CA", "") or read_setting("TLS_CERT", "")
    return Target(chosen, number, Access(token, _load_tls(trusted) if trusted else None))


def read_setting(name: str, default: str) -> str:
    """Returns a setting of the environment, or else of the settings files."""
    sources = [os.environ, *(values for _, values in reversed(read_settings_files(os.environ)))]
    return next((value for source in sources if (value := source.get(name))), default)


def read_gateway_url() -> str:
    """Returns the address of the gateway's pages: PUBLIC_URL, or else that of this machine."""
    scheme = "https" if read_setting("TLS_CERT", "") else "http"
    return read_setting("PUBLIC_URL", f"{scheme}://localhost:{read_setting('MAIN_SERVER_PORT', '5000')}")


def _load_tls(trusted: str) -> ssl.SSLContext:
    try:
        return client_tls(trusted)
    except (OSError, ValueError) as error:
        message = f"the certificates in {trusted} cannot be used: {error}"
        raise WrongUsage(message, hint="TLS_CA names a PEM file") from None


def _parse_port(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise WrongUsage(f"{name} {text} is not a port", hint="a port is a number from 1 to 65535")
    return int(text)
