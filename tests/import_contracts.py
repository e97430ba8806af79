"""The import contract that import-linter lacks: *only* what is named.

A row of the table "Files" in the architecture says what a package may import. Said as a list of forbidden modules
it would be out of date with every new dependency, so it is checked the way it is written: the standard library, the
package itself, and ``may_import``. Imports are direct ones; what an allowed package imports is its own affair.
"""

import sys
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """``sources`` may import the standard library, themselves and ``may_import``, each taken as a package."""

    type_name = "only"

    sources = fields.ListField(subfield=fields.StringField())
    may_import = fields.ListField(subfield=fields.StringField())
    as_packages = fields.BooleanField(required=False, default=True)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 - the library's signature
        """Collect every direct import that is not allowed, with its line."""
        sources = [str(source) for source in _value(self.sources)]
        allowed = [*_value(self.may_import), *(sources if _value(self.as_packages) else [])]
        broken = [
            (
                importer,
                imported,
                [
                    detail["line_number"]
                    for detail in graph.get_import_details(importer=importer, imported=imported)
                ],
            )
            for source in sources
            for importer in self._modules(graph, source)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not _is_allowed(imported, allowed)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line an import: who, whom, where."""
        for importer, imported, lines in check.metadata["broken"]:
            output.print_error(f"{importer} imports {imported} (line {', '.join(map(str, lines))})")

    def _modules(self, graph: ImportGraph, source: str) -> list[str]:
        if source not in graph.modules:
            raise ValueError(f"the import contract {self.name!r} names {source}, which does not exist")
        return [source, *sorted(graph.find_descendants(source))] if _value(self.as_packages) else [source]


def _value(field: object) -> Any:
    """A field as it is on an instance: the library puts the parsed value in the place of the declaration."""
    return field


def _is_allowed(imported: str, allowed: list[str]) -> bool:
    if imported.split(".", maxsplit=1)[0] in sys.stdlib_module_names:
        return True
    return any(imported == name or imported.startswith(f"{name}.") for name in allowed)
