"""The disk fills up, and syncing fails: what was answered is stored, what was refused is not, work goes on."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.intake import IntakeProcess
from tests.support.ledger import Ledger

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace injects the errors")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@needs_root
def test_full_disk_refuses_orders_and_loses_none(small_disk: Path) -> None:
    with IntakeProcess(small_disk / "data", {"DISK_RESERVE_MIB": 0}) as intake:
        with Ledger(intake) as ledger:
            ledger.wait_for_refusals(200)
            subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
            ledger.wait_for(500)
        ledger.check()


@needs_root
def test_nearly_full_disk_lets_work_be_finished_and_a_full_one_lets_the_service_stop(small_disk: Path) -> None:
    with IntakeProcess(small_disk / "data", {"DISK_RESERVE_MIB": 3}) as intake:
        with Ledger(intake) as ledger:
            ledger.wait_for_refusals(200)
        ledger.check()
        with contextlib.suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                pass
        assert intake.terminate() == 0


@needs_strace
def test_failing_fsync_refuses_orders_and_loses_none(intake: IntakeProcess) -> None:
    with Ledger(intake) as ledger:
        ledger.wait_for(500)
        inject = ["strace", "-f", "-o", "/dev/null", "-p", str(intake.pid), "-e", "trace=fsync,fdatasync"]
        with subprocess.Popen([*inject, "-e", "inject=fsync,fdatasync:error=EIO"], stderr=subprocess.DEVNULL) as faults:
            ledger.wait_for_refusals(200)
            faults.terminate()
        ledger.wait_for(500)
    ledger.check()
    intake.kill()
    intake.start()
    ledger.check()
