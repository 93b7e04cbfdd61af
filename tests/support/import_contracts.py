"""A contract for import-linter: packages that import only what an allow list names."""

from typing import Any, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowedImportsContract(Contract):
    """The modules of `source_packages` import nothing but themselves and `allowed_modules` with their submodules.

    Modules outside the project are checked by their top-level names.
    """

    source_packages = fields.ListField(subfield=fields.StringField())
    allowed_modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Collects the imports that the list does not name."""
        packages = cast(list[str], self.source_packages)
        allowed = [*packages, *cast(list[str], self.allowed_modules)]
        wrong = [
            detail
            for package in packages
            for importer in sorted({package} | graph.find_descendants(package))
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not any(imported == name or imported.startswith(f"{name}.") for name in allowed)
            for detail in graph.get_import_details(importer=importer, imported=imported)
        ]
        return ContractCheck(kept=not wrong, metadata={"wrong": wrong})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints the wrong imports with their lines."""
        for detail in cast(list[dict[str, Any]], check.metadata["wrong"]):
            output.print_error(
                f"{detail['importer']} imports {detail['imported']} (line {detail['line_number']}), "
                "which its allow list in pyproject.toml does not name"
            )
