"""Names of tenants are safe as names of folders."""

import msgspec
import pytest

from shared.domain.errors import InvalidParams
from shared.domain.tenants import MAIN, TenantRecord, check_tenant_name

UNSAFE = ["", ".", "..", "A", "A/b", "a/b", "a\\b", "-a", "a_b", "a.b", "ñ", "a\n", "a\x00", "x" * 41]


@pytest.mark.parametrize("name", [MAIN, "a", "0", "a-b-", "x" * 40])
def test_safe_name_is_returned(name: str) -> None:
    assert check_tenant_name(name) == name


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidParams, match="not the name of a tenant") as caught:
        check_tenant_name(name)
    assert caught.value.field == "tenant"


@pytest.mark.parametrize(
    "members",
    [
        {"currency": "pesos"},
        {"exponent": 5},
        {"tax_rates": {"books": "101"}},
        {"tax_rates": {"books": "1e1"}},
        {"origins": ["https://shop.example/path"]},
        {"origins": ["*"]},
        {"hosts": ["shop.example:80"]},
        {"hosts": ["../x"]},
        {"limits": {"read": "500 per second"}},
        {"limits": {"read": "0/second"}},
    ],
)
def test_invalid_setting_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"tenant": "a", "name": "A", **members}, TenantRecord)
