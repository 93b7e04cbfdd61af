"""Tenants: separate customers of one installation, and their settings."""

import re
from typing import Annotated

from msgspec import Meta, Struct

from shared.domain.errors import ErrorReason, InvalidParams

MAIN = "main"
"""The tenant of the installation itself; items without a stated tenant belong to it."""

TENANT_PATTERN = r"^[a-z0-9][a-z0-9-]{0,39}$"
TenantName = Annotated[str, Meta(pattern=TENANT_PATTERN)]
"""The name of a tenant. It is also a safe name of a folder, an S3 prefix and a part of a table's name."""

RESERVED_NAMES = ("done", "rejected")
"""Names that no tenant may have: folders of uploads beside those of tenants."""

_NAME = re.compile(TENANT_PATTERN)
_SHOWN = 80

Percent = Annotated[str, Meta(pattern=r"^(100|[0-9]{1,2})(\.[0-9]{1,4})?$")]
"""A percentage as text, for example `10.5`: exact, as taxes are computed."""
OriginText = Annotated[str, Meta(pattern=r"^https?://[a-z0-9.\[\]:-]{1,253}$", max_length=260)]
"""An origin of the web as browsers send it: scheme, host in lower case, and a port unless it is the default one."""
HostText = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
"""A host name in lower case, without a port."""
LimitText = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$")]
"""A rate limit, for example `500/second`."""
GroupName = Annotated[str, Meta(pattern=r"^[a-z][a-z_-]{0,39}$")]
"""The name of a group of operations with one limit, for example `search`."""


class TenantRecord(Struct, frozen=True):
    """A tenant with its settings, as it is stored in the table `Tenants`."""

    tenant: TenantName
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] = "ARS"
    """ISO 4217 code of the currency of all prices."""
    exponent: Annotated[int, Meta(ge=0, le=4)] = 2
    """Digits of the currency's minor unit: prices are whole numbers of it."""
    tax_rates: Annotated[dict[Annotated[str, Meta(min_length=1, max_length=100)], Percent], Meta(max_length=100)] = {}
    """Tax by category of goods, in percent."""
    prices_include_tax: bool = True
    origins: Annotated[list[OriginText], Meta(max_length=50)] = []
    """Origins of pages that may call the API for this tenant."""
    hosts: Annotated[list[HostText], Meta(max_length=50)] = []
    """Host names whose requests are for this tenant."""
    limits: Annotated[dict[GroupName, LimitText], Meta(max_length=50)] = {}
    """Rate limits by group of operations; the installation's apply to the others."""
    active: bool = True
    """False while requests for the tenant are refused."""
    created_at: str = ""
    updated_at: str = ""


def is_tenant_name(name: str) -> bool:
    """Whether a text is the name of a tenant."""
    # A pattern that ends in `$` would accept a line break after the name.
    return _NAME.fullmatch(name) is not None


def check_tenant_name(name: str) -> str:
    """Returns the name of a tenant unchanged. Raises InvalidParams for one that is not safe.

    To be called where a name arrives, and again where a path is made of it.
    """
    if not is_tenant_name(name):
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
        raise InvalidParams(
            f"{shown!r} is not the name of a tenant",
            field="tenant",
            hint="1 to 40 of a-z, 0-9 and -, and no - at the beginning",
            reason=ErrorReason("pattern"),
        )
    return name
