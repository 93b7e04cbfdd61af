"""The whole suite behind a gateway, started once for the tests of a module that leave it as it is."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.http import Http
from tests.support.intake import DistributedProcess, GatewayProcess, IntakeProcess, PersistenceProcess, ShopProcess


class Suite(NamedTuple):
    """All four servers."""

    intake: IntakeProcess
    persistence: PersistenceProcess
    distributed: DistributedProcess
    gateway: GatewayProcess


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """All four servers."""
    data_dir = tmp_path_factory.mktemp("suite")
    intake = IntakeProcess(data_dir, {"LOG_LEVEL": "debug"})
    # As the gateway, which needs the private tables: without a token they are open in development only.
    persistence = PersistenceProcess(data_dir, {"LOG_LEVEL": "debug", "STAGE": "dev"})
    distributed = DistributedProcess(data_dir, {"LOG_LEVEL": "debug"})
    shop = ShopProcess(data_dir, [persistence], {"STAGE": "dev"})
    with intake, persistence, distributed, shop:
        shop.wait_for_log("search_index_built")
        gateway = GatewayProcess(data_dir, [intake, persistence, distributed])
        with gateway:
            yield Suite(intake, persistence, distributed, gateway)


@pytest.fixture(scope="module")
def http(suite: Suite) -> Http:
    """A client of its gateway."""
    return Http(suite.gateway)
