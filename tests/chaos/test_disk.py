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


@contextlib.contextmanager
def disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A file system of this size at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@needs_root
def test_full_disk_refuses_orders_and_loses_none(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 6) as folder, IntakeProcess(folder / "data", {"DISK_RESERVE_MIB": 0}) as intake:
        with Ledger(intake) as ledger:
            ledger.wait_for_refusals(200)
            subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
            ledger.wait_for(500)
        ledger.check()


@needs_root
def test_reserve_lets_work_be_finished_and_a_full_disk_lets_the_service_stop(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 40) as folder, IntakeProcess(folder / "data", {"DISK_RESERVE_MIB": 36}) as intake:
        with Ledger(intake) as ledger:
            ledger.wait_for_refusals(200)
        ledger.check()
        with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
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
