"""`make lint` refuses imports that the architecture rules out."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("clients", "services", "shared", "workers")
WRONG_IMPORTS = {
    "services/intake/answers.py": (
        "services.persistence",
        "intake is not allowed to import services.persistence",
    ),
    "shared/domain/orders.py": ("aioboto3", "shared.domain.orders imports aioboto3"),
    "shared/wire/replies.py": ("asyncio", "shared.wire.replies imports asyncio"),
    "shared/search/pages.py": ("tantivy", "shared.search.pages -> tantivy"),
    "workers/backlog.py": ("services.settings", "workers is not allowed to import services"),
    "services/gateway/http/router.py": (
        "services.gateway.api.orders",
        "gateway.http is not allowed to import",
    ),
}


def test_wrong_imports_are_refused(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    for file in ("pyproject.toml", "tests/support/import_contracts.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    for file, (module, _) in WRONG_IMPORTS.items():
        with (tmp_path / file).open("a") as seeded:
            seeded.write(f"\nimport {module}\n")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    linted = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = " ".join(linted.stdout.split())
    assert linted.returncode == 1, told
    assert [message for _, message in WRONG_IMPORTS.values() if message not in told] == [], told
