"""`query`: the ledger asked in SQL, exactly, and nothing else of the machine."""

import builtins
import csv
import re
import stat
from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.commands.prompt import GREETING, _line_editing
from pipelines.commands.query import show_answer
from pipelines.errors import Failure, WrongUsage
from pipelines.questions.query import json_value, statement, text_value
from pipelines.settings import Settings
from tests.ledger.worlds import RICH
from tests.questions.asked import ask, data_dir, printed_json
from tests.questions.terminals import Terminal
from tests.support import rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_dir(tmp_path_factory.mktemp("asked"), RICH)


def test_json_holds_exact_amounts_and_iso_days(folder: Path, capsys: Any) -> None:
    ask(folder, "query", "select booked_on, amount, labels, 1 as n, null as none from transactions order by all", "--json")

    found = printed_json(capsys)
    assert [tuple(row.values()) for row in found["rows"]] == [
        (str(day) if day else None, f"{amount:f}", labels, 1, None)
        for day, amount, labels in rows(folder, "select booked_on, amount, labels from transactions order by all")
    ]
    assert [(one["name"], one["type"]) for one in found["columns"]][:2] == [("booked_on", "DATE"), ("amount", "DECIMAL(18,2)")]
    assert found["more"] is False


def test_a_name_that_stands_twice_is_there_twice(folder: Path, capsys: Any) -> None:
    ask(folder, "query", "select 1 as a, 2 as a", "--json")

    assert printed_json(capsys)["rows"] == [{"a": 1, "a_1": 2}]


def test_csv_holds_what_the_exported_file_holds(folder: Path, tmp_path: Path, capsys: Any) -> None:
    ask(folder, "export", "--format", "csv", "--out", str(tmp_path))
    capsys.readouterr()
    for table in ("transactions", "accounts"):
        ask(folder, "query", f"from {table}; -- all of it", "--csv")
        file = (tmp_path / f"{table}.csv").read_text(encoding="utf-8-sig")
        text = capsys.readouterr().out
        moment = re.compile(r"(\d\d:\d\d:\d\d\S*)\+00(:00)?")  # DuckDB writes a zone shorter than ISO has it
        assert list(csv.reader(StringIO(moment.sub(r"\1", text)))) == list(csv.reader(StringIO(moment.sub(r"\1", file))))


def test_csv_of_a_formula_is_text(folder: Path, capsys: Any) -> None:
    ask(folder, "query", "select '=1+1' as a, ['x', '-2'] as b, -1.50::decimal(9, 2) as c", "--csv")

    assert list(csv.reader(StringIO(capsys.readouterr().out))) == [["a", "b", "c"], ["'=1+1", "x; '-2", "-1.50"]]


def test_a_limit_may_be_larger_than_any_answer(folder: Path, capsys: Any) -> None:
    assert ask(folder, "query", "select 1 as n", "--csv", "--limit", str(2**70)) == 0
    assert capsys.readouterr().out == "n\n1\n"


@pytest.mark.parametrize("form", [["--csv"], ["--json"], []])
def test_a_pipe_gets_every_row_and_no_more_than_the_limit(folder: Path, form: list[str], capsys: Any) -> None:
    numbers = "select range as n from range(250)"
    for limit, expected in ((None, 250), ("7", 7), ("0", 250)):
        ask(folder, "query", numbers, *form, *(["--limit", limit] if limit else []))
        assert len(re.findall(r'(?<![\d."])\d+\b', capsys.readouterr().out)) == expected


def test_a_piped_table_is_plain(folder: Path, capsys: Any) -> None:
    ask(folder, "query", "select 'Bank' as name, 12.50::decimal(9, 2) as amount union all select 'x', 1234.00 order by 1")

    assert capsys.readouterr().out == "name   amount\nBank    12.50\nx     1234.00\n"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("selct 1", r'syntax error at or near "selct", in line 1: `selct 1`'),
        ("select 1\nfrom nowhere", r"nowhere does not exist, in line 2: `from nowhere`"),
        ("select amout\n  from accounts", r"in line 1: `select amout`"),
        ("from transactons", r"Did you mean transactions\?$"),
        ("select counterparty_name::int from transactions", r"cannot be computed \(ConversionException\)"),
        ("select 1; select 2", "There are 2 statements"),
        ("-- nothing", "no statement"),
    ],
)
@pytest.mark.parametrize("form", [["--csv"], []])
def test_a_wrong_statement_is_named_with_its_line_and_no_value(folder: Path, query: str, said: str, form: list[str]) -> None:
    with pytest.raises(WrongUsage, match=said) as caught:
        ask(folder, "query", query, *form)
    values = {value for row in rows(folder, "select counterparty_name from transactions") if (value := row[0])}
    assert not [value for value in values if value in str(caught.value)]


@pytest.mark.parametrize(
    "query",
    [
        "insert into accounts select * from accounts",
        "create table t as select 1",
        "create temp table t as select 1",
        "drop table accounts",
        "copy accounts to '{away}'",
        "attach '{away}'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "pragma memory_limit = '1GB'",
        "select * from read_csv('{file}')",
        "select * from read_text('{file}')",
        "from '{file}'",
        "from glob('/*')",
        "from duckdb_secrets()",
        "select * from settings",
        "export database '{away}'",
    ],
)
def test_nothing_but_the_ledger_is_read_and_nothing_is_written(folder: Path, tmp_path: Path, query: str, capsys: Any) -> None:
    file, away = tmp_path / "there.csv", tmp_path / "away"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(WrongUsage):
        ask(folder, "query", query.format(away=away, file=file))

    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]


def test_every_way_to_read_is_taken(folder: Path, capsys: Any) -> None:
    plain = ("from accounts", "with a as (from accounts) from a", "describe accounts", "show tables", "summarize accounts")
    for query in (*plain, "explain from accounts", "pivot accounts on currency using count(*) group by source", "values (1)"):
        for form in ("--json", "--csv"):
            assert ask(folder, "query", query, form) == 0
            assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "json", "text"),
    [
        (Decimal("0E-2"), "0.00", "0.00"),
        (Decimal("-99999999999999.99"), "-99999999999999.99", "-99999999999999.99"),
        (2**100, 2**100, str(2**100)),
        (float("inf"), "inf", "inf"),
        (True, True, "true"),
        (None, None, ""),
        ([Decimal("1.50"), None], ["1.50", None], "1.50, "),
        ({"a": Decimal(1)}, {"a": "1"}, "{'a': '1'}"),
        (b"\x00\xff", "00ff", "00ff"),
    ],
)
def test_a_value_stays_exact(value: Any, json: Any, text: str) -> None:
    assert (json_value(value), text_value(value)) == (json, text)


def test_a_semicolon_inside_a_text_is_text() -> None:
    assert statement("select 'ż; --' ;; -- end").text == "select 'ż; --'"


# ---- the prompt


def typed(monkeypatch: pytest.MonkeyPatch, *lines: Any) -> None:
    """Somebody types these lines; one that can be called is called before the next one is typed."""
    left = iter(lines)

    def next_line(_: str) -> str:
        while callable(line := next(left, EOFError)):
            if line is EOFError:
                raise EOFError
            line()
        return str(line)

    monkeypatch.setattr(builtins, "input", next_line)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)


def test_the_prompt_takes_statements_of_several_lines_and_survives_wrong_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    typed(monkeypatch, "select 40", "  + 2 as n;", "selct 1;", "", "select 43 as n;", "select 45", "exit", "select 44;")

    assert ask(folder, "query") == 0
    printed = capsys.readouterr()
    assert re.findall(r"^ *4\d$", printed.out, re.MULTILINE) == ["42", "43"]
    assert "`selct 1" in printed.err


def test_a_statement_ends_at_its_own_semicolon_and_a_line_may_hold_several(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Not at one inside a literal or a comment; a comment after it changes nothing."""
    answers = []

    def look() -> None:
        answers.append(re.findall(r"^ *(4\d|x; y)$", capsys.readouterr().out, re.MULTILINE))

    typed(
        monkeypatch,
        *("select 'x;", look, "y' as n;", look),
        *("select 41 -- not yet;", look, " + 1 as n; -- now", look),
        *("select 43 as n; select 44 as n;", look),
    )

    assert ask(folder, "query") == 0
    assert answers == [[], ["x; y"], [], ["42"], ["43", "44"]]


@pytest.mark.parametrize("line", ["help", "HELP;", "?", ".tables", "\\d accounts"])
def test_whoever_types_another_programs_commands_is_told_how_it_works(
    folder: Path, line: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    typed(monkeypatch, line, "select 42 as n;")

    assert ask(folder, "query") == 0
    printed = capsys.readouterr()
    assert printed.err.count(GREETING) == 2
    assert printed.out.split() == ["n", "42"]  # a file gets the answers alone


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_statement_that_is_not_utf_8_is_refused(folder: Path, errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python reads a pipe strictly, or keeps its bytes in a form that DuckDB refuses: the locale decides."""
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"select '\xff' as n"), encoding="utf-8", errors=errors))

    with pytest.raises(WrongUsage, match="not UTF-8"):
        ask(folder, "query")


def test_the_next_query_of_the_prompt_sees_a_new_publication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def publish() -> None:
        with duckdb.connect(tmp_path / "new.duckdb") as connection:
            connection.execute("create table n as select 2 as n")
        (tmp_path / "new.duckdb").replace(tmp_path / "ledger.duckdb")

    with duckdb.connect(tmp_path / "ledger.duckdb") as connection:
        connection.execute("create table n as select 1 as n")
    typed(monkeypatch, "from n;", publish, "from n;")

    assert ask(tmp_path, "query") == 0
    assert re.findall(r"^\d$", capsys.readouterr().out, re.MULTILINE) == ["1", "2"]


@pytest.fixture
def terminal(folder: Path) -> Iterator[Terminal]:
    (folder / "query.history").unlink(missing_ok=True)
    yield Terminal(folder, "query", "--data-dir", str(folder))


def test_ctrl_c_ends_the_query_and_not_the_prompt_which_remembers_for_its_owner_alone(folder: Path, terminal: Terminal) -> None:
    terminal.wait_for("ledger> ")
    terminal.type("select count(*) from range(100000000000) a, range(100000) b where a.range % 7 = b.range % 11;\n")
    terminal.wait_for("% 11;")
    terminal.type("\x03")
    terminal.wait_for("ledger> ")
    terminal.type("select 41 + 1 as n;\n")
    assert "42" in terminal.wait_for("ledger> ")
    terminal.type("\x04")

    assert terminal.close() == 0
    history = folder / "query.history"
    assert "select 41 + 1 as n;" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_a_prompt_that_is_open_during_an_erasure_brings_no_name_back(tmp_path: Path) -> None:
    history = tmp_path / "query.history"
    with _line_editing(history):
        history.unlink()
    assert not history.exists()

    with _line_editing(history):
        pass
    assert history.stat().st_mode & 0o777 == 0o600


def test_a_terminal_shows_a_hundred_rows_and_says_that_there_are_more(folder: Path, terminal: Terminal) -> None:
    terminal.wait_for("ledger> ")
    terminal.type("select range + 1000 as n from range(250);\n")
    shown = terminal.wait_for("--limit N")
    terminal.wait_for("ledger> ")
    terminal.type("\x04")

    assert len(re.findall(r"│ +1\d\d\d", shown)) == 100
    assert terminal.close() == 0


def test_without_a_ledger_it_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="`python -m pipelines run` makes it"):
        show_answer(_asked(), Settings(data_dir=tmp_path), "from accounts")


def _asked() -> Any:
    from pipelines.commands.cli import parser

    return parser().parse_args(["query", "from accounts"])
