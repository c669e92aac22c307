"""How models are read and ordered, and what they may not do."""

import re
from pathlib import Path

import pytest
import sqlglot

from tests.ledger.worlds import MODELS
from transforms.build import SORTED_BY_SOURCE, VIEWS
from transforms.checks import BY_CONSTRUCTION
from transforms.errors import ModelError
from transforms.macros import HELPERS, macros
from transforms.models import FOLDER, LAYERS, HeaderCheck, Model, in_order, load, parse, with_tables

GOOD = """\
-- One row per thing.
-- grain:  a_id, day
-- checks: not_null(a_id, day), accepted(kind, 'x', 'y'),
--         relationship(a_id, things)

select 1 as a_id
"""


def model(table: str, sql: str) -> Model:
    layer, name = table.split(".")
    return parse(name, layer, f"-- One row.\n-- grain:  a\n\n{sql}\n")


def test_a_header_says_what_a_row_is_and_what_must_hold() -> None:
    read = parse("things", "ledger", GOOD)

    assert read.sentence == "One row per thing."
    assert read.grain == ("a_id", "day")
    assert read.checks == (
        HeaderCheck("not_null", "a_id"),
        HeaderCheck("not_null", "day"),
        HeaderCheck("accepted", "kind", ("'x'", "'y'")),
        HeaderCheck("relationship", "a_id", ("things",)),
    )
    assert read.sql == "select 1 as a_id"


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "-- One row.\n\nselect 1",
        "-- One row.\n-- grain: too_near\n\nselect 1",
        GOOD.replace("not_null(a_id, day)", "not_null()"),
        GOOD.replace("accepted(kind, 'x', 'y')", "accepted(kind)"),
        GOOD.replace("accepted", "expected"),
        GOOD.replace("things)", "'things')"),
        GOOD.replace("not_null(a_id, day)", "not_null(a_id; drop table x)"),
    ],
)
def test_a_header_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"ledger/things\.sql"):
        parse("things", "ledger", text)


def test_a_model_comes_after_all_that_it_reads() -> None:
    built: set[str] = set()
    for one in MODELS:
        assert one.refs <= built, one.table
        built.add(one.table)
    assert len(built) == len(load())


def test_the_order_is_the_same_whatever_order_the_files_are_read_in() -> None:
    names = [one.table for one in in_order(load())]

    assert [one.layer for one in MODELS] == sorted((one.layer for one in MODELS), key=LAYERS.index)
    assert set(names) == {one.table for one in in_order(reversed(load()))}


@pytest.mark.parametrize(
    ("models", "complaint"),
    [
        ([model("ledger.a", "select * from raw.kontist.accounts")], "only staging may"),
        ([model("staging.a", "select * from ledger.b"), model("ledger.b", "select 1")], "built later"),
        ([model("ledger.a", "select * from intermediate.b")], "no model makes"),
        ([model("ledger.a", "select * from somewhere")], "names neither"),
        ([model("ledger.a", "select * from other.staging.b")], "names neither"),
        ([model("ledger.a", "select * from ledger.b"), model("ledger.b", "select * from ledger.a")], "in a circle"),
        ([model("ledger.a", "drop table b")], "not one select"),
        ([model("ledger.a", "select from where (")], "not one select"),
        ([model("ledger.a", "select 1; select 2")], "not one select"),
    ],
)
def test_a_model_that_leaves_its_place_is_refused(models: list[Model], complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        in_order(models)


def test_a_step_of_the_same_query_is_no_table() -> None:
    (read,) = with_tables([model("ledger.a", "with b as (select * from staging.c), d as (select * from b) select * from d")])

    assert read.tables == {"staging.c"}


@pytest.mark.parametrize("read", MODELS, ids=lambda read: read.name)
def test_another_parser_finds_the_same_tables(read: Model) -> None:
    tree = sqlglot.parse_one(read.sql, dialect="duckdb")
    steps = {step.alias for step in tree.find_all(sqlglot.exp.CTE)}
    names = {".".join(part.name for part in table.parts) for table in tree.find_all(sqlglot.exp.Table)}

    helpers = {helper.name for helper in macros(HELPERS)}
    assert names - steps - helpers - {""} == read.tables


def test_a_folder_without_models_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="installation is incomplete"):
        load(tmp_path)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.sql")), ids=lambda path: path.stem)
def test_a_model_keeps_the_houses_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    code = re.sub(r"--[^\n]*|'[^']*'", "", text)

    prefix = {"staging": r"stg_(kontist|kontomatik|rates|file|closings)__", "intermediate": "int_", "ledger": ""}[
        path.parent.name
    ]
    assert re.fullmatch(prefix + "[a-z_]+", path.stem)
    assert text.splitlines()[0].endswith(".")
    assert path.parent.name == "staging" or re.search(r"\n\nselect \* from final\n(order by [a-z_, ]+\n)?\Z", text)
    assert path.parent.name != "ledger" or ("\norder by " in text) == (path.stem not in SORTED_BY_SOURCE | BY_CONSTRUCTION)
    assert not re.search(r"(?<!/)/(?!/)|\bavg\(|\bfloat\b|\bdouble\b|try_cast|\bnow\(|current_|\brandom\(", code, re.IGNORECASE)
    assert not re.search(r"decimal\b(?!\(\d+, \d+\))", code, re.IGNORECASE)


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_no_step_of_a_stored_view_has_the_name_of_a_table_that_it_reads(name: str) -> None:
    """DuckDB stores a view without the catalog: to version 1.0 such a step reads itself, and the view cannot be opened."""
    (model,) = [one for one in MODELS if one.name == name]
    steps = {step.alias for step in sqlglot.parse_one(model.sql, dialect="duckdb").find_all(sqlglot.exp.CTE)}

    assert model.layer != "ledger" or not steps & {table.partition(".")[2] for table in model.tables}
