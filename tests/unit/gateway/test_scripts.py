"""The modules of the pages import one another without circles, and no app imports from the other."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import services.gateway
from services.gateway.http.web_apps import find_modules

STATIC = Path(services.gateway.__file__).parent / "static"
AREAS = ("lib", "admin", "shop")
IMPORT = re.compile(r"""\b(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""")


def find_imports() -> dict[Path, set[Path]]:
    """The modules that each module imports, also on demand."""
    scripts = [script for area in AREAS for script in (STATIC / area).rglob("*.js")]
    return {
        script: {(script.parent / name).resolve() for name in IMPORT.findall(script.read_text())} for script in scripts
    }


def test_modules_form_no_circle() -> None:
    imports = find_imports()
    found = imports[STATIC / "admin" / "main.js"]
    assert found >= {STATIC / "lib" / "api.js", STATIC / "admin" / "orders.js"}, "both kinds of imports are found"
    assert all(target.is_file() for targets in imports.values() for target in targets)
    TopologicalSorter(imports).prepare()  # Raises CycleError with the circle.


def test_apps_share_only_the_library() -> None:
    for script, targets in find_imports().items():
        area = script.relative_to(STATIC).parts[0]
        assert {target.relative_to(STATIC).parts[0] for target in targets} <= {area, "lib", "vendor"}, script


def test_the_shop_opens_no_stream_of_all_orders() -> None:
    for script in (STATIC / "shop").rglob("*.js"):
        assert "/api/v1/events" not in script.read_text(), script


def test_a_page_asks_for_its_modules_at_once_and_for_those_on_demand_later() -> None:
    found = {module.relative_to(STATIC).as_posix() for module in find_modules(STATIC / "shop" / "main.js")}
    assert found >= {"lib/router.js", "shop/routes.js", "vendor/preact/preact.js"}
    assert "shop/pages/search.js" not in found
