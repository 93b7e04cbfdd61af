"""The modules of the dashboard import one another without circles."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import services.gateway

SCRIPTS = Path(services.gateway.__file__).parent / "static" / "app"
IMPORT = re.compile(r"""\b(?:from|import)\s*\(?\s*["']\./([^"']+)["']""")


def find_imports() -> dict[str, set[str]]:
    """The modules that each module imports, also on demand."""
    return {script.name: set(IMPORT.findall(script.read_text())) for script in SCRIPTS.glob("*.js")}


def test_modules_form_no_circle() -> None:
    imports = find_imports()
    assert imports["main.js"] >= {"api.js", "orders.js"}, "both kinds of imports are found"
    assert {name for found in imports.values() for name in found} <= set(imports)
    TopologicalSorter(imports).prepare()  # Raises CycleError with the circle.
