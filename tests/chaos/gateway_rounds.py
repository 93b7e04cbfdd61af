"""Rounds that break the suite while orders come over HTTP: the gateway's word is as good as the intake's."""

import contextlib
import signal
from collections.abc import Iterator

from tests.chaos.chaos import Chaos
from tests.chaos.load import Load
from tests.support.intake import GatewayProcess, IntakeProcess


@contextlib.contextmanager
def _fronted(chaos: Chaos, **settings: str | int | float) -> Iterator[tuple[IntakeProcess, GatewayProcess, Load]]:
    """An intake behind a gateway, under load over HTTP."""
    with (
        chaos.suite() as intake,
        GatewayProcess(chaos.folder / "gateway", [intake], settings) as gateway,
        Load(gateway.port, chaos.folder / "clients", http=True) as load,
    ):
        yield intake, gateway, load


def gateway_killed_at_random(chaos: Chaos) -> None:
    """The gateway, the intake behind it, or a worker are killed under load over HTTP, and started again."""
    with _fronted(chaos) as (intake, gateway, load):
        for _ in range(4 * chaos.scale):
            load.wait_for(chaos.dice.randint(50, 600))
            if chaos.dice.random() < 0.2:
                chaos.kill(chaos.dice.choice(intake.workers()))
                continue
            victims = [server for server in (gateway, intake) if chaos.dice.random() < 0.6] or [gateway]
            for server in victims:
                chaos.killed()
                server.kill()
            for server in victims:
                server.start()
            chaos.recovered(intake)
        load.wait_for(500)


def gateway_before_an_intake_that_hangs(chaos: Chaos) -> None:
    """The intake stops for longer than anybody waits, and goes on: what was answered in time holds."""
    with _fronted(chaos, REQUEST_SECONDS=0.5) as (intake, gateway, load):
        for times in range(1, chaos.scale + 1):
            load.wait_for(500)
            intake.send_signal(signal.SIGSTOP)
            try:
                load.wait_for_refusals(50)
                gateway.wait_for_log("upstream_unavailable", times)
            finally:
                intake.send_signal(signal.SIGCONT)
            gateway.wait_for_log("upstream_available", times)
        load.wait_for(500)


GATEWAY_ROUNDS = (gateway_killed_at_random, gateway_before_an_intake_that_hangs)
