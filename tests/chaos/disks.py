"""Disks that fail: one that is small, and one that loses power."""

import contextlib
import ctypes.util
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.chaos import Missing


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A file system of this size at `folder`. Raises Missing."""
    if os.geteuid() != 0:
        raise Missing("mounting a small file system takes root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def enlarge(folder: Path, mebibytes: int) -> None:
    """Gives a small disk this size."""
    subprocess.run(["mount", "-o", f"remount,size={mebibytes}m", str(folder)], check=True)


class PowerDisk:
    """A file system at `folder` that keeps what is written in memory until it is synced (`tests.chaos.power`)."""

    def __init__(self, folder: Path) -> None:
        if not os.access("/dev/fuse", os.W_OK) or os.geteuid() != 0 or ctypes.util.find_library("fuse3") is None:
            raise Missing("a disk that loses power takes root, /dev/fuse and libfuse (Debian: apt-get install fuse3)")
        if importlib.util.find_spec("mfusepy") is None:
            raise Missing("a disk that loses power takes the Python package mfusepy")
        self.mount = folder / "mount"
        self._backing = folder / "backing"
        self.mount.mkdir(parents=True)
        self._backing.mkdir()
        self._process: subprocess.Popen[str] | None = None

    def switch_on(self) -> None:
        """Mounts what was synced."""
        command = [sys.executable, "-m", "tests.chaos.power", str(self._backing), str(self.mount)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "mounted\n", "the file system could not be mounted"

    def cut(self, seed: int | None = None) -> None:
        """Cuts the power: what was not synced is gone, or with `seed` a random half of it."""
        assert self._process is not None
        self._process.communicate("" if seed is None else f"{seed}\n")
        subprocess.run(["umount", "--lazy", str(self.mount)], check=True)
        self._process = None

    def __enter__(self) -> "PowerDisk":
        self.switch_on()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.cut()
