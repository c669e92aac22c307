"""Writes everything that is generated from a built ledger, below `docs/`."""

from pathlib import Path

from transforms.catalog.dbt_sources import dbt_sources
from transforms.catalog.er_diagram import er_diagram
from transforms.catalog.page import catalogue
from transforms.catalog.superset_export import superset_export
from transforms.catalog.tables import tables

DOCS = Path(__file__).parents[2] / "docs"
SUPERSET = "superset"


def generated(ledger: Path) -> dict[str, str]:
    """Returns the text of every generated file, by its path below `docs/`. Raises `LedgerUnreadable`."""
    found = tables(ledger)
    return {
        "catalogue.md": catalogue(found),
        "er.svg": er_diagram(table.model for table in found),
        "dbt/models/sources.yml": dbt_sources(found),
        **{f"{SUPERSET}/{path}": text for path, text in superset_export(ledger, found).items()},
    }


def write(ledger: Path) -> None:
    """Writes every generated file, and removes those of the Superset folder that are no longer generated."""
    files = generated(ledger)
    for path, text in files.items():
        file = DOCS / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for file in (DOCS / SUPERSET).rglob("*.yaml"):
        if str(file.relative_to(DOCS)) not in files:
            file.unlink()
