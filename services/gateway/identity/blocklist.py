"""The blocklist of new passwords: the 30,000 most frequent ones, from the package zxcvbn."""

import re
from importlib.util import find_spec
from pathlib import Path

from shared.domain.errors import StartupError

_LIST = re.compile(r'^    "passwords": "([^"]*)"', re.MULTILINE)


class FrequentPasswords:
    """Passwords that attackers try first, in lower case.

    They are packed into one text of 250 KB, in which a search takes 20 microseconds; a set of them takes 4 MB, and
    importing zxcvbn 16 MB.
    """

    def __init__(self) -> None:
        spec = find_spec("zxcvbn")
        if spec is None or spec.origin is None:
            raise StartupError("the package zxcvbn is not installed", hint="install all of Comanda")
        found = _LIST.search(Path(spec.origin).with_name("frequency_lists.py").read_text())
        if found is None:
            raise StartupError(
                "the package zxcvbn has no list of passwords", hint="install the version of the lock file"
            )
        self._packed = f",{found[1]},"

    def __contains__(self, password: object) -> bool:
        return f",{password}," in self._packed

    def __len__(self) -> int:
        return self._packed.count(",") - 1
