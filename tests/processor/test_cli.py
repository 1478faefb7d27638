"""``tupletrace sql``, ``coverage`` and ``costs``: the same answers with and without a running processor."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor.cli import main

WINDOW = ("--since", "2026-01-01", "--until", "2026-02-01", "--route", "route 1")
TRACE = f"{1:032x}"
REPORTS = [
    ("sql", "SELECT trace_id, route, cost_usd, tuple_id, complete FROM traces ORDER BY trace_id"),
    ("coverage",),
    ("coverage", "--by", "reason", *WINDOW),
    ("costs",),
    ("costs", "--by", "model"),
    ("costs", "--by", "prompt", *WINDOW),
    ("costs", "--trend", *WINDOW),
    ("costs", "--forecast", "--until", "2026-01-10"),
    ("tuples", *WINDOW),
    ("audit", *WINDOW),
    ("regressions", *WINDOW),
    ("rollbacks", *WINDOW),
    ("rollback-times", *WINDOW),
    ("evaluations", *WINDOW),
    ("compare", "..2026-01-04", "2026-01-04..", "--min-traces", "1", *WINDOW),
    ("drift", "..2026-01-04", "2026-01-04..", "--min-traces", "1", "--by", "model", *WINDOW),
    ("diff", "2026-01-03", "2026-01-06", "--route", "route 1"),
    ("traces", "--order", "dearest", *WINDOW),
    ("errors", *WINDOW),
    ("health", *WINDOW),
    ("trace", TRACE, *WINDOW),
    ("settings",),
    ("budgets",),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A terminal of 80 columns, and the umask that was there before."""
    for name in [name for name in os.environ if name.startswith("TUPLETRACE_")]:
        monkeypatch.delenv(name)
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command in this process; it must succeed and say nothing on stderr."""

    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        return said.out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command in this process; it must end with 2 and one line on stderr, which is returned."""

    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("tupletrace: ")
        assert said.err.count("\n") == 1, said.err
        return said.err

    return run


def fill(processor: Any, otlp: Any, until: Any) -> None:
    day = 86_400_000_000_000
    for trace in range(1, 7):
        prompt = {
            "gen_ai.prompt.version": "3" if trace % 2 else None,
            "tupletrace.route": f"route {trace % 3}",
        }
        model = {"gen_ai.response.model": "no-such-model"} if trace == 6 else {}
        call = otlp.call(trace, 2, 1, (1000 * trace, 10), prompt | model, start=otlp.noon + trace * day)
        root = otlp.span(trace, 1, name="root", start=otlp.noon + trace * day)
        assert processor.post_traces(otlp.request(root, call)).status == 200
    until(lambda: processor.sql("SELECT count(*) AS n FROM traces WHERE complete") == [{"n": 6}])


def test_with_and_without_a_processor_every_report_says_the_same(
    processor: Any, otlp: Any, until: Any, ask: Callable[..., str]
) -> None:
    """In every format; the processor found by its database, and by its URL."""
    fill(processor, otlp, until)
    asked = [(*report, "--json") for report in REPORTS]
    asked += [(*REPORTS[0], "--format", "csv"), REPORTS[0]]
    by_database = [ask(*report, "--db", processor.database) for report in asked]
    by_url = [ask(*report, "--url", f"http://{processor.http}") for report in asked]
    processor.stop()
    alone = [ask(*report, "--db", processor.database) for report in asked]
    for report, *answers in zip(asked, by_database, by_url, alone, strict=True):
        assert answers[0] == answers[1] == answers[2], report
        assert answers[0]


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any], otlp: Any) -> Path:
    """A database that nobody has open, with three traces."""
    made = open_database()
    spans = [
        otlp.call(1, attributes={"tupletrace.route": "a"}),
        otlp.call(2, attributes={"tupletrace.route": "b", "gen_ai.prompt.version": None}),
        otlp.call(3, attributes={"tupletrace.route": "b", "gen_ai.request.model": "no-such-model"}),
    ]
    made.insert(otlp.request(*spans))
    made.store.settle(0)
    made.store.close()
    return made.path


def test_json_is_a_list_of_objects_and_csv_has_a_header(database: Path, ask: Callable[..., str]) -> None:
    query = "SELECT route, cost_usd, covered, NULL AS nothing FROM traces ORDER BY route, cost_usd"
    assert json.loads(ask("sql", query, "--db", database, "--format", "json")) == [
        {"route": "a", "cost_usd": 0.000075, "covered": True, "nothing": None},
        {"route": "b", "cost_usd": 0.000075, "covered": False, "nothing": None},
        {"route": "b", "cost_usd": None, "covered": True, "nothing": None},
    ]
    rows = list(csv.reader(io.StringIO(ask("sql", query, "--db", database, "--format", "csv"))))
    assert rows[0] == ["route", "cost_usd", "covered", "nothing"]
    assert rows[1] == ["a", "0.000075000000", "true", ""]
    nothing = "SELECT route FROM traces WHERE FALSE"
    assert json.loads(ask("sql", nothing, "--db", database, "--format", "json")) == []
    assert ask("sql", nothing, "--db", database, "--format", "csv") == "route\n"


def test_coverage_is_the_share_of_traces_whose_tuple_is_known(
    database: Path, ask: Callable[..., str]
) -> None:
    worst, best = json.loads(ask("coverage", "--db", database, "--format", "json"))
    assert (worst["route"], worst["traces"], worst["coverage"], worst["prompt"]) == ("b", 2, 0.5, 0.5)
    assert (best["route"], best["traces"], best["coverage"], best["tools"]) == ("a", 1, 1, None)


def test_costs_name_what_could_not_be_priced(database: Path, ask: Callable[..., str]) -> None:
    rows = json.loads(ask("costs", "--db", database, "--format", "json"))
    assert {row["route"]: (row["cost_usd"], row["unpriced_calls"]) for row in rows} == {
        "a": (0.000075, 0),
        "b": (0.000075, 1),
    }
    rows = json.loads(ask("costs", "--by", "model", "--db", database, "--format", "json"))
    assert {row["model"]: (row["cost_usd"], row["unpriced_calls"]) for row in rows} == {
        "gpt-4o": (0.00015, 0),
        "no-such-model": (None, 1),
    }
    rows = json.loads(ask("costs", "--by", "prompt", "--db", database, "--format", "json"))
    assert {(row["prompt_version"], row["llm_calls"]) for row in rows} == {("3", 2), (None, 1)}


def test_a_table_shows_text_as_it_is(database: Path, ask: Callable[..., str]) -> None:
    """Markup, control characters and escape sequences of a span reach no terminal."""
    asked = (
        "SELECT '[red]x[/red] \\[b]' AS \"[i]name\", chr(27) || '[2J' || chr(7) || chr(155) AS evil, 12 AS n"
    )
    shown = ask("sql", asked, "--db", database)
    assert "[red]x[/red] \\[b]" in shown
    assert "[i]name" in shown
    assert r"\x1b[2J\x07\x9b" in shown
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)
    assert "(1 row)" in shown


def test_a_table_in_a_pipe_is_not_cut(database: Path, ask: Callable[..., str]) -> None:
    assert "x" * 3000 in ask("sql", f"SELECT '{'x' * 3000}' AS long", "--db", database)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("FROM no_such_table", "no_such_table does not exist"),
        ("SELECT no_such_column FROM traces", "no_such_column"),
        ("SELEC 1", "syntax error"),
        ("SELECT 'unended", "unterminated"),
        ("SELECT error('many' || chr(10) || 'lines')", "many lines"),
        ("", "one statement"),
        ("DELETE FROM spans", "read-only"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("FROM 'x.csv'", "files"),
        ("SELECT \ud800", "surrogates"),
        ("SELECT repeat('x', 9)", "the function repeat() is not allowed here: it makes values of any size"),
    ],
)
def test_sql_that_is_wrong_is_told_in_one_line(
    database: Path, refused: Callable[..., str], statement: str, words: str
) -> None:
    assert words in refused("sql", statement, "--db", database)


def test_sql_that_is_wrong_is_told_in_the_same_line_by_a_processor(
    processor: Any, refused: Callable[..., str], tmp_path: Path
) -> None:
    url = f"http://{processor.http}"
    mistakes = ["FROM no_such_table", "SELEC 1", "DELETE FROM spans"]
    running = [refused("sql", mistake, "--url", url) for mistake in mistakes]
    processor.stop()
    assert [refused("sql", mistake, "--db", processor.database) for mistake in mistakes] == running


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert str(tmp_path / "x.duckdb") in refused("sql", "SELECT 1", "--db", tmp_path / "x.duckdb")
    assert str(tmp_path / "no" / "x.duckdb") in refused("coverage", "--db", tmp_path / "no" / "x.duckdb")
    assert not list(tmp_path.iterdir())


def test_a_database_that_is_none_is_named(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "notes.txt").write_text("not a database")
    assert str(tmp_path / "notes.txt") in refused("costs", "--db", tmp_path / "notes.txt")
    (tmp_path / "folder").mkdir()
    assert str(tmp_path / "folder") in refused("costs", "--db", tmp_path / "folder")


def test_a_url_where_no_processor_answers_is_named(processor: Any, refused: Callable[..., str]) -> None:
    """Nobody there, a gRPC port, another server, no HTTP at all."""
    assert "127.0.0.1:9" in refused("sql", "SELECT 1", "--url", "http://127.0.0.1:9")
    assert processor.grpc in refused("sql", "SELECT 1", "--url", f"http://{processor.grpc}")
    assert "Not Found" in refused("sql", "SELECT 1", "--url", f"http://{processor.http}/elsewhere")
    assert "http://HOST:PORT" in refused("sql", "SELECT 1", "--url", "127.0.0.1:4318")
    assert "file:" in refused("sql", "SELECT 1", "--url", "file:///etc/passwd")


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    processor: Any, ask: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask("sql", "SELECT 1 AS x", "--db", processor.database, "--format", "csv") == "x\n1\n"


def test_the_environment_names_the_database(
    database: Path, ask: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUPLETRACE_DB", str(database))
    assert ask("sql", "SELECT count(*) AS n FROM traces", "--format", "csv") == "n\n3\n"


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(database: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tupletrace.processor.cli",
        "sql",
        "FROM range(200000)",
        "--format",
        "csv",
    ]
    running = subprocess.Popen(
        [*command, "--db", str(database)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout
    assert running.stderr
    assert running.stdout.readline() == "range\n"
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait(120) == 0


def test_a_tuple_is_named_by_the_beginning_of_its_id(database: Path, ask: Callable[..., str]) -> None:
    """A word may also be a column that is true or false."""
    served = "SELECT DISTINCT tuple_id FROM traces WHERE tuple_id IS NOT NULL ORDER BY ALL"
    one, other, *_ = (row["tuple_id"] for row in json.loads(ask("sql", served, "--db", database, "--json")))
    short = [one[:6].upper(), other[:11]]
    for command in (["diff"], ["compare", "--min-traces", "1"], ["drift", "--min-traces", "1"]):
        assert ask(*command, *short, "--db", database) == ask(*command, one, other, "--db", database)
    assert ask("compare", "failed", "NOT failed", "--db", database, "--json") != "[]\n"


def test_who_names_no_tuple_no_trace_or_several_is_told_so(
    database: Path, refused: Callable[..., str]
) -> None:
    zeros = "0" * 31
    for command, wrong, said in (
        (("diff", "nosuchtuple"), "nosuchtuple", "there is no tuple 'nosuchtuple'"),
        (("compare", "nosuchtuple"), "0123456789ab", "there is no tuple 'nosuchtuple'"),
        (("compare", "12345"), "failed", "there is no tuple '12345'"),
        (("drift", "failed"), "0123456789ab", "there is no tuple '0123456789ab'"),
        (("diff", ""), "", "there is no tuple ''"),
        (("trace",), "fff", "there is no trace 'fff'"),
        (("trace",), "f" * 32, f"there is no trace '{'f' * 32}'"),
        (
            ("trace",),
            zeros,
            f"several traces begin with '{zeros}', {zeros}1, {zeros}2, {zeros}3 for instance",
        ),
    ):
        assert said in refused(*command, wrong, "--db", database)


def test_a_time_is_said_in_one_way_and_a_wrong_one_is_told(
    database: Path, ask: Callable[..., str], refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A date, a time, or how long ago; ``m`` are minutes."""
    for since, routes in (("2026-01-01", 2), ("2026-01-01T11:59:00+00:00", 2), ("5m", 0), ("1d12h", 0)):
        rows = json.loads(ask("costs", "--since", since, "--json", "--db", database))
        assert len(rows) == routes, since
    for wrong in ("yesterday", "15:09", "5x", "9999999999y"):
        for command in (["costs"], ["export", "--parquet", "lake"]):
            with pytest.raises(SystemExit):
                main([*command, "--since", wrong])
            assert f"{wrong!r} is no time: write 2026-11-21" in capsys.readouterr().err
        for asked in (("diff", "5m", wrong, "--route", "a"), ("compare", "5m..", f"..{wrong}")):
            assert f"{wrong!r} is no time: write 2026-11-21" in refused(*asked, "--db", database)
    assert ask("diff", "5m", "2026-01-02", "--route", "a", "--db", database).count("same") > 1
    assert "nothing served 'a' at 2020-01-01" in refused(
        "diff", "2020-01-01", "5m", "--route", "a", "--db", database
    )


def test_a_route_that_no_trace_has_is_told_with_those_there_are(
    database: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A report has no rows then, which is not an error."""
    said = "no trace has route 'nope'; known are 'b', 'a'"
    for report in ("coverage", "costs", "tuples", "health", "evaluations"):
        assert main([report, "--route", "nope", "--json", "--db", str(database)]) == 0
        told = capsys.readouterr()
        assert (json.loads(told.out), told.err) == ([], f"{said}\n")
    assert said in refused("diff", "5m", "1m", "--route", "nope", "--db", database)


def test_two_commands_at_once_do_not_harm_the_database(
    database: Path, tupletrace: Callable[..., Any]
) -> None:
    command = [sys.executable, "-m", "tupletrace.processor.cli", "sql", "SELECT count(*) AS n FROM spans"]
    running = [
        subprocess.Popen(
            [*command, "--db", str(database), "--format", "csv"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for one in running:
        out, err = one.communicate(timeout=120)
        assert (out, err, one.returncode) == ("n\n3\n", "", 0) or (
            one.returncode == 2 and "in use by process" in err and err.count("\n") == 1
        )


def test_without_a_command_or_with_a_wrong_option_the_usage_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments in (
        [],
        ["nonsense"],
        ["costs", "--by", "moon"],
        ["sql", "SELECT 1", "--format", "xml"],
        ["cost"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert "usage: tupletrace" in said
    assert said.endswith("there is no command 'cost', did you mean costs? `tupletrace --help` shows all\n")


def test_what_cannot_be_written_by_the_name_of_its_file_is_not_asked(
    database: Path, tmp_path: Path, ask: Callable[..., str], refused: Callable[..., str]
) -> None:
    for name in ("answer.xlsx", "answer.tsv"):
        said = refused("sql", "no SQL", "-o", tmp_path / name, "--db", database)
        assert f"{name}: no format is known by .{name.split('.')[1]}; end it with .txt, .json, .csv" in said
    for name, begin in (("a.CSV", "one\n1"), ("a.txt", "one\n  1"), ("a", "one\n  1"), ("a.md", "| one")):
        assert ask("sql", "SELECT 1 AS one", "-o", tmp_path / name, "--db", database) == ""
        assert (tmp_path / name).read_text().startswith(begin)
    assert ask("sql", "SELECT 1", "-o", tmp_path / "x.dat", "--format", "json", "--db", database) == ""
