"""The command line: it helps with what it does not understand, and says as much as it is asked to say."""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.commands import cli, run, terminal
from pipelines.commands.cli import parser
from pipelines.commands.progress import progress_for
from pipelines.commands.stop import Stop
from pipelines.commands.streams import Streams
from pipelines.settings import load_settings
from pipelines.text import tables
from tests.support import ROOT


def every_command(of: argparse.ArgumentParser, *words: str) -> Iterator[tuple[str, ...]]:
    """Every command with what it is called by."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield (*words, name)
                yield from every_command(below, *words, name)


COMMANDS = list(every_command(parser()))


def refused(capsys: Any, *arguments: str) -> str:
    """What the command line says about these arguments."""
    with pytest.raises(SystemExit) as ending:
        parser().parse_args(arguments)
    assert ending.value.code == 2
    return str(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("rnu", "did you mean run?"),
        ("staus", "did you mean status?"),
        ("consents lst", "did you mean list?"),
        ("export --format parket", "did you mean parquet?"),
        ("run --sandbx", "unknown option --sandbx; did you mean --sandbox?"),
        ("consents erase c-1 --cancle", "unknown option --cancle; did you mean --cancel?"),
        ("query --jsno", "did you mean --json?"),
        ("zzz", "unknown command (choose from run, "),
        ("query --limit -3 x", "not a whole number, 0 or more"),
        ("explain t-\udcff", "usage: python -m pipelines explain "),
        ("export --format csv --out \udcff", "an argument is not UTF-8 text"),
    ],
)
def test_a_slip_of_the_hand_is_answered_with_the_word_that_was_meant(typed: str, said: str, capsys: Any) -> None:
    assert said in refused(capsys, *typed.split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_wrong_option_shows_the_usage_of_the_very_command(words: tuple[str, ...], capsys: Any) -> None:
    required = {"catalog": [], "connect": ["kontist"], "disconnect": ["kontist"], "completion": ["bash"]}
    with pytest.raises(SystemExit):
        parser().parse_args([*words, *required.get(words[0], []), "--no-such-option"])

    assert capsys.readouterr().err.startswith(f"usage: python -m pipelines {' '.join(words)} ")


def test_a_value_that_is_refused_is_not_repeated(capsys: Any) -> None:
    for typed in (
        ("consents", "add", "kontomatik", "s3cr3t"),
        ("consents", "s3cr3t"),
        ("consents", "add", "kontist", "--tok=s3cr3t"),
    ):
        assert "s3cr3t" not in refused(capsys, *typed)


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [
        words[0] for words in COMMANDS if len(words) == 1 and not re.search(rf"`{words[0]}\b|pipelines {words[0]}\b", text)
    ] == []


def test_the_version_is_that_of_the_package(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ending:
        parser().parse_args(["--version"])

    assert ending.value.code == 0
    assert capsys.readouterr().out.startswith(f"kontoledger {version('kontoledger')}, Python 3.")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_takes_quiet_or_verbose_but_not_both(words: tuple[str, ...], capsys: Any) -> None:
    assert "not allowed with argument" in refused(capsys, *words, "-q", "-v")


# ---- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_read_its_completion_and_finds_every_command(shell: str, capsys: Any) -> None:
    options = parser().parse_args(["completion", shell])
    assert options.command(options) == 0
    script = capsys.readouterr().out

    assert sys.executable in script.splitlines()[0]
    assert not [words for words in COMMANDS if not re.search(rf"\b{words[-1]}\b", script)]
    if found := shutil.which(shell):
        assert subprocess.run([found, "-n"], input=script, text=True, capture_output=True, check=False).stderr == ""


def test_bash_completes_commands_options_and_choices(capsys: Any) -> None:
    options = parser().parse_args(["completion", "bash"])
    options.command(options)
    script = capsys.readouterr().out
    for typed, expected in ((["expo"], "export"), (["export", "--form"], "--format"), (["export", "--format", "par"], "parquet")):
        words = " ".join(["kontoledger", *typed])
        asking = (
            f"{script}\nCOMP_WORDS=({words}); COMP_CWORD={len(typed)}\n"
            f'_shtab_kontoledger kontoledger "{typed[-1]}" "{["kontoledger", *typed][-2]}"; echo "${{COMPREPLY[@]}}"'
        )
        done = subprocess.run(["/usr/bin/env", "bash", "-c", asking], text=True, capture_output=True, check=False)
        assert done.stdout.split() == [expected]


# ---- how much is said


def test_quiet_shows_no_progress_and_no_result_verbose_shows_steps(capsys: Any) -> None:
    for amount, said in (("--quiet", []), ("--verbose", ["A stage", "A step", "A wait"])):
        options = parser().parse_args(["transform", amount])
        with progress_for(options) as shown:
            shown.stage("A stage")
            shown.step("A step", 1, 2)
            shown.step("A step", 2, 2)
            shown.waits("A wait")
        terminal.tell(options, "Done.")
        printed = capsys.readouterr()
        assert re.findall(r"\d s  (.*)", printed.err) == said
        assert printed.out == ("" if amount == "--quiet" else "Done.\n")


def test_a_fault_is_placed_with_verbose_and_shows_no_value(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fails(_: object) -> int:
        raise KeyError("s3cr3t")

    monkeypatch.setattr("pipelines.commands.run.check", fails)
    for arguments, placed in ((["check"], False), (["check", "-v"], True)):
        assert cli._status(arguments, Stop(), Streams()) == 1
        said = capsys.readouterr().err
        assert ("It happened in commands/cli.py:" in said) is placed
        assert "s3cr3t" not in said


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_means_no_colour(no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for name, value in {"NO_COLOR": no_color, "TERM": "xterm-256color", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    tables.show(terminal.console(), "T", ("bank", "account"), [("Bank", "…1234")], marked={0})

    assert ("\x1b[33m" in capsys.readouterr().out) is coloured


def test_a_run_says_how_to_look_at_what_it_has_published(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, folder, said in (
        (["run"], "data", "Look: python -m pipelines query"),
        (["run", "--sandbox"], "data/sandbox", "Look: python -m pipelines query --data-dir data/sandbox"),
        (["run", "--data-dir", "a b"], "a b", "Look: python -m pipelines query --data-dir 'a b'"),
    ):
        options = parser().parse_args(arguments)
        settings = load_settings(data_dir=tmp_path / folder)
        assert run.looks(options, settings)[0] == said
        assert run.looks(options, settings, Path("report.html"))[1:] == ["Look: report.html"]


def test_quiet_still_says_what_somebody_has_to_look_at(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from pipelines.run import summary

    monkeypatch.setattr(summary, "sentences", lambda _: ["- a note", "! an account could not be read", "Published"])

    assert summary.troubles(SimpleNamespace()) == ["! an account could not be read"]  # type: ignore[arg-type]
    assert capsys.readouterr().out == ""
