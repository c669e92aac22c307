"""The names of our settings, held against the names that somebody wrote: a misspelt setting is refused, never passed over.

Names that dlt or other programs may read are left alone: other sections, other sources, tables inside our sections.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import WrongUsage

DLTS = frozenset(
    {"pipeline_name", "pipelines_dir", "destination_type", "destination_name", "staging_type", "staging_name"}
    | {"import_schema_path", "export_schema_path", "dataset_name", "dataset_name_layout", "pipeline_salt"}
    | {
        "restore_from_destination",
        "enable_runtime_trace",
        "use_single_dataset",
        "full_refresh",
        "dev_mode",
        "progress",
        "refresh",
    }
    | {"max_table_nesting", "root_key", "schema_contract", "name", "section", "parallelized"}
)
"""What dlt itself may read in our sections (`PipelineConfiguration`, a source's own configuration)."""
_ASKED = frozenset({"since", "initial_value", "end_value", "lag"})
DLT_SOURCES: Mapping[str, frozenset[str]] = {
    "sources.kontomatik": _ASKED | {"multiple_access_token", "consent_id", "owner_external_id"},
    "sources.kontist": _ASKED,
}
"""What only the dlt sources read in our sections (`sources/kontist/source.py`): a run gets these in other ways."""
ALIKE = 0.8
"""How alike two sections' names are, of 1, from which on one is taken for a misspelling of the other (difflib)."""


@dataclass(frozen=True)
class Unknown:
    """A setting that somebody wrote and nobody reads. Its value is not kept: it may be a secret."""

    written: str
    nearest: str | None

    def __str__(self) -> str:
        right = f"; the nearest name is {self.nearest}" if self.nearest else ""
        return f"{self.written} is no setting{right}"


def refuse_unknown(
    known: Mapping[str, frozenset[str]], files: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]
) -> None:
    """Raises `WrongUsage` that names every unknown setting. `known` is the names by section, `files` the tables by file."""
    found = [one for file, content in files.items() for one in _in_file(known, content, file)]
    found += _in_environment(known, environment)
    if found:
        listed = "; ".join(str(one) for one in found)
        raise WrongUsage(
            f"The settings hold a name that nobody reads: {listed}",
            "Correct or remove it; .dlt/config.toml of the project lists every setting",
        )


def _in_file(known: Mapping[str, frozenset[str]], content: Mapping[str, Any], file: str) -> Iterator[Unknown]:
    for section, table in _sections(content):
        ours = _section_meant(known, section)
        if ours is None:
            continue
        names = [name for name, value in table.items() if not isinstance(value, dict)]
        if ours != section:
            if names:
                yield Unknown(f"the section [{_shown(section)}] in {file}", f"[{ours}]")
            continue
        for name in names:
            if name not in known[ours] and name not in _others_names(ours):
                yield Unknown(f"{ours}.{_shown(name)} in {file}", _nearest(known, ours, name))


def _sections(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields every table, and every table in a table, by its dotted name."""
    for top, table in content.items():
        if isinstance(table, dict):
            yield top, table
            yield from ((f"{top}.{name}", inner) for name, inner in table.items() if isinstance(inner, dict))


def _in_environment(known: Mapping[str, frozenset[str]], environment: Mapping[str, str]) -> Iterator[Unknown]:
    right = {f"{section}.{name}".replace(".", "__").upper() for section, names in known.items() for name in names}
    squashed = {one.replace("_", ""): one for one in right}
    for variable in environment:
        if variable in right:
            continue
        if nearest := squashed.get(variable.replace("_", "").upper()):
            yield Unknown(_shown(variable), nearest)
            continue
        *sections, name = variable.lower().split("__")
        section = ".".join(sections)
        ours = _section_meant(known, section) if variable.isupper() else None
        if ours is None or (ours == section and name in _others_names(ours)):
            continue
        near = _nearest(known, ours, name)
        yield Unknown(_shown(variable), near and near.replace(".", "__").upper())


def _others_names(section: str) -> frozenset[str]:
    return DLTS | DLT_SOURCES.get(section, frozenset())


def _section_meant(known: Mapping[str, frozenset[str]], section: str) -> str | None:
    """Returns the section of ours that `section` is, or is a misspelling of; None for somebody else's."""
    parts = section.split(".")
    for ours in known:
        own = ours.split(".")
        if len(own) == len(parts) and all(_alike(part, target) for part, target in zip(parts, own, strict=True)):
            return ours
    return None


def _alike(name: str, target: str) -> bool:
    """Returns whether `name` is `target`, misspelt perhaps. `kontist_b` or `kontist2` is a name of its own."""
    if name == target:
        return True
    following = name[len(target) :]
    if name.startswith(target) and (following[:1] in "_-" or following[:1].isdigit()):
        return False
    from difflib import SequenceMatcher  # only where something is no exact name of ours

    return SequenceMatcher(None, name.lower(), target).ratio() >= ALIKE


def _nearest(known: Mapping[str, frozenset[str]], section: str, name: str) -> str | None:
    """Returns the setting that was probably meant: of the same section, or of that name in another."""
    from difflib import get_close_matches

    if close := get_close_matches(name.lower(), sorted(known[section]), 1):
        return f"{section}.{close[0]}"
    return next((f"{other}.{name}" for other, names in known.items() if name in names), None)


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 60 else f"{ascii(name)[:60]}"
