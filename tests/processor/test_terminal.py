"""What people see: answers on a terminal and in a pipe, through the real command."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor.cli import main

CLI = [sys.executable, "-m", "tupletrace.processor.cli"]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
Run = Callable[..., str]


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any], otlp: Any) -> Path:
    """A database that nobody has open, with three traces of two routes."""
    made = open_database()
    calls = [
        otlp.call(trace, attributes={"tupletrace.route": route})
        for trace, route in ((1, "a"), (2, "b"), (0xFACE << 112, "b"))
    ]
    made.insert(otlp.request(*calls))
    made.store.settle(0)
    made.store.close()
    return made.path


@pytest.fixture
def terminal(tmp_path: Path) -> Run:
    """Run a command on a terminal of so many columns; it must succeed. Return what is to be read there."""
    said = {key: value for key, value in os.environ.items() if not key.startswith("TUPLETRACE_")}
    environment = said | {"TERM": "xterm", "HOME": str(tmp_path)}
    environment.pop("COLUMNS", None)

    def run(columns: int, *arguments: object) -> str:
        ours, its = pty.openpty()
        termios.tcsetwinsize(its, (40, columns))
        # Progress, on stderr, is none of what is read.
        running = subprocess.Popen(
            [*CLI, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=its,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        os.close(its)
        shown = bytearray()
        # The end of the last program on it is an error to who reads a terminal.
        with suppress(OSError):
            while some := os.read(ours, 65_536):
                shown += some
        os.close(ours)
        assert running.wait(120) == 0
        return ESCAPES.sub("", shown.decode()).replace("\r\n", "\n")

    return run


@pytest.fixture
def piped(
    capsys: pytest.CaptureFixture[str], database: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Run a command in this process; it must succeed and say nothing else."""
    for name in [name for name in os.environ if name.startswith("TUPLETRACE_")]:
        monkeypatch.delenv(name)
    before = os.umask(0o022)

    def run(*arguments: object) -> str:
        assert main([*map(str, arguments), "--db", str(database)]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        return said.out

    yield run
    os.umask(before)


@pytest.mark.parametrize("columns", [60, 500])
def test_a_table_that_is_wider_than_the_terminal_is_shown_a_column_a_line(
    terminal: Run, database: Path, columns: int
) -> None:
    """No number and no id is broken, and no line is longer than the terminal."""
    shown = terminal(columns, "sql", "FROM traces ORDER BY trace_id LIMIT 2", "--db", database)
    lines = shown.splitlines()
    assert all(len(line) <= columns for line in lines)
    assert shown.count(f"{1:032x}") == shown.count(f"{2:032x}") == 1
    assert lines[-1] == "(2 rows)"
    if columns == 500:
        assert lines[0].split()[:2] == ["trace_id", "route"]
        assert len(lines) == 4
    else:
        assert lines[0].startswith("-[ 1 ]--")
        assert "route               a" in lines
        assert "cost_usd            0.000075" in lines


def test_a_long_text_of_a_record_goes_on_below_itself(terminal: Run, database: Path) -> None:
    words = " ".join(f"word-{number}" for number in range(30))
    asked = f"SELECT '{words}' || chr(10) || '{'x' * 100}' AS said, 1 AS n"
    shown = terminal(50, "sql", asked, "--db", database).splitlines()
    assert shown[0] == "-[ 1 ]"
    assert shown[1].startswith("said  word-0 word-1 ")
    assert shown[2].startswith("      word-")
    assert " ".join(shown[1:-3]).split()[1:] == words.split()
    # What has no blank can be copied whole.
    assert "      " + "x" * 100 in shown
    assert shown[-2] == "n     1"


def test_a_report_says_which_columns_it_leaves_out_since_they_are_all_null(piped: Run) -> None:
    """A table alone: what programs read has every column, and so has what was asked in SQL."""
    exact = json.loads(piped("costs", "--json"))
    nothing = [name for name in exact[0] if all(row[name] is None for row in exact)]
    header, *_, last = piped("costs").splitlines()
    assert nothing
    assert last == f"(2 rows; {len(nothing)} not shown, NULL throughout: {', '.join(nothing)})"
    assert header.split() == [name for name in exact[0] if name not in nothing]
    assert piped("costs", "--format", "csv").splitlines()[0].split(",") == list(exact[0])
    assert piped("sql", "FROM costs_by_route").splitlines()[0].split() == list(exact[0])


def test_numbers_of_a_table_are_rounded_for_reading_and_those_of_csv_are_not(piped: Run) -> None:
    """Four decimals, or four digits where that is more; never to 0 what is not 0, never an integer."""
    numbers = {
        "0.8333333333333334::DOUBLE": "0.8333",
        "5.781999999999999::DOUBLE": "5.782",
        "0::DECIMAL(24,12)": "0",
        "-0.0::DOUBLE": "0",
        "0.000075::DECIMAL(24,12)": "0.000075",
        "0.000000000001::DECIMAL(24,12)": "0.000000000001",
        "0.000123456789::DECIMAL(24,12)": "0.0001235",
        "1234.567891::DECIMAL(24,12)": "1234.5679",
        "100::DOUBLE": "100",
        "-2.5::FLOAT": "-2.5",
        "1.23456e-50::DOUBLE": "1.235e-50",
        "1e300::DOUBLE": "1e+300",
        "'nan'::DOUBLE": "nan",
        "'-inf'::DOUBLE": "-inf",
        "123456789012345678901234567890::DECIMAL(38,0)": "123456789012345678901234567890",
        "9223372036854775807::BIGINT": "9223372036854775807",
    }
    asked = "SELECT " + ", ".join(f"{written} AS n{place}" for place, written in enumerate(numbers))
    _, row, _ = piped("sql", asked).splitlines()
    assert row.split() == list(numbers.values())
    assert "0.8333333333333334,5.781999999999999,0.000000000000" in piped("sql", asked, "--format", "csv")


def test_a_table_of_any_length_comes_a_page_at_a_time_and_ends_with_its_reader(
    piped: Run, database: Path
) -> None:
    """The first thousand rows say how wide the columns are; what is longer further down is not cut."""
    asked = "SELECT range AS n, CASE range WHEN 4000 THEN 'longer' ELSE 'x' END AS x FROM range(5000)"
    lines = piped("sql", asked).splitlines()
    assert len(lines) == 5002
    assert (lines[0], lines[1], lines[1000]) == ("  n  x", "  0  x", "999  x")
    assert (lines[4001], lines[-1]) == ("4000  longer", "(5000 rows)")
    command = [*CLI, "sql", "FROM range(300000)", "--db", str(database)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout
    assert running.stderr
    assert running.stdout.readline() == "range\n"
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait(120) == 0


def test_a_cell_of_several_lines_stands_below_itself_in_a_table(piped: Run) -> None:
    asked = "SELECT 'one' || chr(10) || 'two' AS said, 7 AS n, '漢字' AS wide, 'y' AS last"
    assert piped("sql", asked).splitlines()[:3] == [
        "said  n  wide  last",
        "one   7  漢字  y",
        "two",
    ]


def test_an_answer_without_rows_has_no_header_and_says_if_nothing_has_arrived(
    open_database: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    empty = open_database()
    empty.store.close()
    for report in (["costs"], ["coverage", "--by", "reason"], ["tuples", "--route", "nope"], ["evaluations"]):
        assert main([*report, "--db", str(empty.path)]) == 0
        said = capsys.readouterr()
        assert said.out == "(0 rows)\n"
        assert said.err == "nothing has arrived yet: `tupletrace doctor` says where spans go\n"


def test_a_trace_is_named_by_the_beginning_of_its_id(piped: Run) -> None:
    assert piped("trace", "FA") == piped("trace", "face" + "0" * 28) != piped("trace", f"{1:032x}")
