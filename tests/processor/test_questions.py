"""Questions that SQL and commands answer: who served when, what changed, what is worse, what came back."""

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tupletrace.processor import query
from tupletrace.processor.cli import main
from tupletrace.processor.schema import statement_names

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8")
HOUR = 3_600_000_000_000
DAY = 24 * HOUR
MARCH = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
DEPLOYED = MARCH + 10 * DAY
"""When version 4 of the prompt came; it failed every third time, and was taken back 100 minutes later."""


class History:
    """A route `/ask` whose prompt went 3 -> 4 -> 3, and whose model changed its weights at March's end."""

    def __init__(self, database: Any, otlp: Any) -> None:
        self._database, self._otlp = database, otlp
        self._next = 0
        self._bodies: list[bytes] = []
        for number in range(40):
            self.trace(MARCH + number * 6 * HOUR, "3")
        for number in range(30):
            self.trace(DEPLOYED + number * 200_000_000_000, "4", output=900, failed=number % 3 == 0)
        for number in range(25):
            self.trace(DEPLOYED + 100 * HOUR // 60 + number * 60_000_000_000, "3")
        for number in range(30):
            self.trace(MARCH + 30 * DAY + number * HOUR // 2, "3", fingerprint="fp_new")
        database.insert(*self._bodies)
        database.store.settle(0)

    def trace(
        self, start: int, version: str, output: int = 50, fingerprint: str = "fp_old", *, failed: bool = False
    ) -> None:
        """One request of the route: a call and, now and then, a tool called twice with the same arguments."""
        self._next += 1
        otlp, trace = self._otlp, self._next
        end = start + 10**9
        root = otlp.span(trace, 1, None, {"http.route": "/ask"}, name="GET /ask", start=start, end=end)
        said = {
            "gen_ai.prompt.version": version,
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.openai.response.system_fingerprint": fingerprint,
            "gen_ai.tool.definitions": '[{"type": "function", "name": "search"}]',
            "gen_ai.system_instructions": f'[{{"type": "text", "content": "You are number {version}."}}]',
        }
        call = otlp.call(trace, 2, 1, (100, output), said, start=start + 1000, end=end)
        judged = otlp.key_values(
            {
                "gen_ai.evaluation.name": "correct",
                "tupletrace.evaluator.name": "judge",
                "tupletrace.evaluator.version": "1",
                "gen_ai.evaluation.score.value": 0.2 if failed else 0.9,
                "gen_ai.evaluation.score.label": "fail" if failed else "pass",
            }
        )
        call.events.add(name="gen_ai.evaluation.result", time_unix_nano=start + 2000).attributes.extend(
            judged
        )
        if failed:
            root.status.code = 2
            call.status.code = 2
            call.attributes.extend(otlp.key_values({"error.type": "RateLimitError"}))
        tools = [
            otlp.span(
                trace,
                3 + number,
                1,
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": "search",
                    "gen_ai.tool.call.arguments": '{"q": 1}',
                },
                start=start + 3000 + number,
                name="execute_tool search",
            )
            for number in range(3 if failed else 0)
        ]
        self._bodies.append(otlp.request(root, call, *tools))

    def ask(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        """Rows of a question, asked as any client asks it."""
        with self._database.store.cursor() as cursor:
            return query.run(cursor, sql, parameters).to_pylist()


@pytest.fixture(scope="module")
def history(open_database: Callable[..., Any], otlp: Any) -> History:
    """Two months of one route."""
    return History(open_database(), otlp)


@pytest.fixture(scope="module")
def auditor(open_database: Callable[..., Any]) -> SimpleNamespace:
    """A database, and a number for each run in it."""
    return SimpleNamespace(database=open_database(), runs=count(1))


def prompt_version(rows: list[dict[str, Any]]) -> str:
    (found,) = {row["version"] for row in rows if row["layer"] == "prompt"}
    return found


def at(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)


@pytest.mark.parametrize(
    ("moment", "version"),
    [
        (MARCH, "3"),
        (DEPLOYED - HOUR, "3"),
        (DEPLOYED, "4"),
        (DEPLOYED + HOUR, "4"),
        (DEPLOYED + 3 * HOUR, "3"),
        (MARCH + 60 * DAY, "3"),
    ],
)
def test_which_tuple_served_a_route_at_a_time(history: History, moment: int, version: str) -> None:
    assert prompt_version(history.ask("FROM which_tuple('/ask', $1)", [at(moment)])) == version


def test_nothing_served_a_route_before_its_first_trace(history: History) -> None:
    assert history.ask("FROM which_tuple('/ask', '2026-02-28')") == []


def test_the_audit_of_a_month_names_every_tuple_with_its_share_its_times_and_its_texts(
    history: History,
) -> None:
    rows = history.ask("FROM audit('2026-03-01', '2026-04-01')")

    assert {row["route"] for row in rows} == {"/ask"}
    prompts = [row for row in rows if row["layer"] == "prompt"]
    assert [(row["version"], row["traces"]) for row in prompts] == [("3", 65), ("4", 30), ("3", 30)]
    assert sum(row["share"] for row in prompts) == pytest.approx(1)
    assert prompts[1]["first_seen"] == at(DEPLOYED)
    assert "You are number 4." in prompts[1]["texts"][0]
    models = {row["version"] for row in rows if row["layer"] == "model"}
    assert models == {"gpt-4o-2024-08-06@fp_old", "gpt-4o-2024-08-06@fp_new"}
    assert {row["provenance"] for row in prompts} == {"declared"}


def test_the_audit_keeps_to_its_window(history: History) -> None:
    rows = history.ask("SELECT DISTINCT traces FROM audit('2026-03-01', '2026-03-11')")
    assert rows == [{"traces": 40}]


Served = tuple[int, str, str, str, bool]
"""Hours after March began, the route, the model that answered, the prompt, whether it came late."""


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-48, 31 * 24 + 48),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["gpt-4o-2024-08-06", "gpt-4o-2024-11-20"]),
            st.sampled_from(["Be kind.", "Be brief.", "Be both."]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_an_audit_is_what_counting_by_hand_gives(auditor: Any, otlp: Any, served: list[Served]) -> None:
    """One alias and one label all along, whatever they meant; some traces come when others have settled."""
    run = next(auditor.runs)
    bodies: dict[bool, list[bytes]] = {False: [], True: []}
    expected = defaultdict[tuple[str, str], list[tuple[datetime, str]]](list)
    for number, (hour, end, model, text, late) in enumerate(served):
        start, route = MARCH + hour * HOUR, f"/{run}/{end}"
        said = {
            "tupletrace.route": route,
            "gen_ai.response.model": model,
            "gen_ai.system_instructions": f'[{{"type": "text", "content": "{text}"}}]',
        }
        call = otlp.call(run * 100 + number, 1, attributes=said, start=start, end=start + 10**9)
        bodies[late].append(otlp.request(call))
        if 0 <= hour < 31 * 24:
            expected[route, model].append((at(start), text))
    for some in bodies.values():
        auditor.database.insert(*some)
        auditor.database.store.settle(0)

    rows = auditor.database.rows(
        "FROM audit('2026-03-01', '2026-04-01') WHERE starts_with(route, $1)", [f"/{run}/"]
    )
    prompts = {(row["route"], row["tuple_id"]): row for row in rows if row["layer"] == "prompt"}
    models = {(row["route"], row["tuple_id"]): row["version"] for row in rows if row["layer"] == "model"}
    assert {(route, models[route, tuple_id]) for route, tuple_id in prompts} == set(expected)
    for (route, tuple_id), row in prompts.items():
        one = sorted(expected[route, models[route, tuple_id]])
        all_of_route = sum(len(some) for (other, _), some in expected.items() if other == route)
        assert (row["traces"], row["share"]) == (len(one), pytest.approx(len(one) / all_of_route))
        assert (row["first_seen"], row["last_seen"], row["version"]) == (one[0][0], one[-1][0], "3")
        texts = {text: [when for when, other in one if other == text] for _, text in one}
        assert row["distinct_texts"] == len(texts)
        for kept in row["served_texts"]:
            (text,) = (text for text in texts if text in kept["text"])
            times = texts.pop(text)
            assert (kept["traces"], kept["first_seen"], kept["last_seen"]) == (
                len(times),
                times[0],
                times[-1],
            )
        assert not texts


def test_what_changed_between_two_times_is_said_by_layer(history: History) -> None:
    moments = [at(DEPLOYED - HOUR), at(DEPLOYED + HOUR)]
    rows = history.ask("FROM what_changed('/ask', $1, $2) WHERE change <> 'same'", moments)

    (row,) = rows
    assert (row["layer"], row["change"]) == ("prompt", "changed")
    assert (row["version_before"], row["version_after"]) == ("3", "4")


def test_a_silent_refresh_of_the_weights_is_a_change_of_the_model(history: History) -> None:
    moments = [at(MARCH + 29 * DAY), at(MARCH + 31 * DAY)]
    (row,) = history.ask("FROM what_changed('/ask', $1, $2) WHERE change <> 'same'", moments)

    assert (row["layer"], row["version_before"], row["version_after"]) == (
        "model",
        "gpt-4o-2024-08-06@fp_old",
        "gpt-4o-2024-08-06@fp_new",
    )


def test_the_shares_of_an_hour_add_up_to_one(history: History) -> None:
    rows = history.ask("SELECT hour, sum(share) AS whole FROM tuple_shares() GROUP BY hour")
    assert len(rows) > 40
    assert {round(row["whole"], 9) for row in rows} == {1}


def test_quality_is_measured_for_each_tuple(history: History) -> None:
    old, bad, new = history.ask("FROM tuple_quality(of_route := '/ask')")

    assert (old["traces"], bad["traces"], new["traces"]) == (65, 30, 30)
    assert bad["error_rate"] == pytest.approx(1 / 3)
    assert bad["eval_fail_rate"] == pytest.approx(1 / 3)
    assert bad["score"] == pytest.approx(2 / 3)
    assert old["error_rate"] == old["eval_fail_rate"] == 0
    assert old["cost_per_trace_usd"] < bad["cost_per_trace_usd"]
    assert old["evaluated"] == 65
    assert old["output_tokens"] == 50


def test_a_regression_says_by_what_it_is_worse(history: History) -> None:
    (row,) = history.ask("FROM regressions()")

    assert row["worse"] == "errors, cost, evaluations, judge"
    assert (row["error_rate"], row["before_error_rate"]) == (pytest.approx(1 / 3), 0)
    assert row["first_seen"] == at(DEPLOYED)


def test_few_traces_are_no_regression(history: History) -> None:
    assert history.ask("FROM regressions(min_traces := 31)") == []


def test_a_rollback_is_timed_from_the_first_bad_trace(history: History) -> None:
    (row,) = history.ask("FROM rollbacks()")

    assert row["began_at"] == at(DEPLOYED)
    assert row["rolled_back_at"] == at(DEPLOYED + 100 * HOUR // 60)
    assert row["minutes"] == 100


def test_a_regression_that_still_serves_is_not_rolled_back(history: History) -> None:
    (row,) = history.ask("FROM rollbacks(until := $1, min_traces := 10)", [at(DEPLOYED + HOUR)])
    assert (row["rolled_back_at"], row["minutes"]) == (None, None)


def test_loops_and_dead_ends_of_trajectories_are_counted(history: History) -> None:
    rows = history.ask("FROM trajectories()")

    assert len(rows) == 10
    assert {tuple(row["trajectory"]) for row in rows} == {("search", "search", "search")}
    assert {row["repeats"] for row in rows} == {2}
    assert {row["longest_run"] for row in rows} == {3}
    assert {row["dead_end"] for row in rows} == {None}


def test_errors_are_grouped_with_their_rate_and_an_example(history: History) -> None:
    rows = history.ask("FROM error_taxonomy() WHERE operation_name = 'chat'")

    (row,) = rows
    assert (row["error_type"], row["spans"]) == ("RateLimitError", 10)
    assert row["rate"] == pytest.approx(10 / 125)
    assert history.ask("SELECT status_code FROM traces WHERE trace_id = $1", [row["example_trace_id"]]) == [
        {"status_code": "ERROR"}
    ]


@pytest.mark.parametrize("question", ["evaluation_rates", "coverage_by"])
def test_what_nothing_can_be_counted_by_is_said(history: History, question: str) -> None:
    with pytest.raises(query.SqlFailed, match="by moon, but by"):
        history.ask(f"FROM {question}('moon')")


def test_gaps_of_coverage_come_most_frequent_first_with_their_reason(
    database: Any, otlp: Any, history: History
) -> None:
    for trace, prompt in ((1, "3"), (2, None), (3, None)):
        said = {"gen_ai.prompt.name": None, "gen_ai.prompt.version": prompt}
        database.insert(otlp.request(otlp.call(trace, 1, None, attributes=said, name="ask")))

    (row,) = database.rows("FROM coverage_gaps() WHERE layer = 'prompt'")
    assert (row["route"], row["traces"], row["service_name"]) == ("ask", 2, "tests")
    assert row["reason"]
    assert history.ask("FROM coverage_gaps()") == []


def test_traces_are_listed_by_how_long_they_took_and_unfinished_ones_apart(history: History) -> None:
    durations = [row["duration_s"] for row in history.ask("FROM slowest_traces()")]
    assert durations == sorted(durations, reverse=True)
    assert len(durations) == 125
    assert history.ask("FROM unfinished_traces()") == []


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, open_database: Any, otlp: Any) -> Callable[..., Any]:
    """Run a command on the same history; its answer as JSON, or what it wrote to stderr."""
    made = open_database(tmp_path_factory.mktemp("history") / "x.duckdb")
    History(made, otlp)
    made.store.close()

    def run(*arguments: str, form: str = "json") -> Any:
        if form == "path":
            return str(made.path)
        out, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            code = main([*arguments, "--db", str(made.path), "--format", form])
        if code:
            return errors.getvalue()
        return json.loads(out.getvalue()) if form == "json" else out.getvalue()

    return run


def test_tuples_lists_each_with_its_share_and_layers(command: Any) -> None:
    rows = command("tuples", "--route", "/ask", "--from", "2026-03-01", "--to", "2026-04-01")
    assert [row["traces"] for row in rows] == [65, 30, 30]
    assert "prompt answer 4" in rows[1]["layers"]


def test_a_forecast_comes_with_the_interval_in_which_it_may_end(command: Any) -> None:
    every, route = command("costs", "--forecast", "--until", "2026-03-20")
    assert (every["route"], route["route"]) == (None, "/ask")
    assert route["spent_usd"] <= route["low_usd"] < route["forecast_usd"] < route["high_usd"]
    (early, _) = command("costs", "--forecast", "--until", "2026-03-03")
    assert (early["low_usd"], early["high_usd"]) == (None, None)
    assert early["method"].startswith("not enough data")


def test_audit_answers_for_a_month(command: Any) -> None:
    rows = command("audit", "--from", "2026-03-01", "--to", "2026-04-01")
    assert {row["layer"] for row in rows} == {"model", "prompt", "tools", "evaluator"}
    assert command("audit", "--from", "2027-03-01") == []


def test_diff_takes_two_tuples_or_a_route_and_two_times(command: Any) -> None:
    old, bad, _ = [row["tuple_id"] for row in command("tuples")]
    by_tuple = command("diff", old, bad)
    by_time = command("diff", "2026-03-10", "2026-03-11 01:00", "--route", "/ask")

    assert by_tuple == by_time
    assert [row["layer"] for row in by_tuple if row["change"] != "same"] == ["prompt"]


def test_rollbacks_says_how_many_minutes(command: Any) -> None:
    assert [row["minutes"] for row in command("rollbacks")] == [100]


def test_compare_tests_each_measure_and_says_what_is_worse(command: Any) -> None:
    old, bad, _ = [row["tuple_id"] for row in command("tuples")]
    rows = {row["measure"]: row for row in command("compare", old, bad)}

    failed = rows["failed"]
    assert (failed["n_a"], failed["n_b"], failed["a"], failed["verdict"]) == (65, 30, 0, "worse")
    assert failed["b_low"] < 1 / 3 < failed["b_high"]
    assert failed["test"] == "two-proportion z" or failed["test"].startswith("Fisher")
    assert rows["cost_usd"]["verdict"] == rows["score"]["verdict"] == "worse"
    assert rows["output_tokens"]["verdict"] == "different"
    assert rows["input_tokens"]["verdict"] == "no difference shown"
    assert all(row["p_adjusted"] >= row["p_value"] for row in rows.values() if row["p_value"] is not None)
    better = {row["measure"]: row["verdict"] for row in command("compare", bad, old)}
    assert better["failed"] == better["cost_usd"] == better["score"] == "better"


def test_compare_says_when_there_is_not_enough_data(command: Any) -> None:
    old, bad, _ = [row["tuple_id"] for row in command("tuples")]
    rows = command("compare", old, bad, "--min-traces", "31")
    assert {row["verdict"] for row in rows} == {"not enough data: 31 of each are needed"}
    assert {row["p_value"] for row in rows} == {None}


def test_cohorts_are_windows_and_conditions_too(command: Any) -> None:
    windows = command("compare", "..2026-03-11", "2026-03-11..2026-03-11 01:40", "--route", "/ask")
    conditions = command("compare", "prompt NOT LIKE '%4' AND start_time < '2026-03-11'", "prompt LIKE '%4'")
    assert windows == conditions
    assert "trace_measures" not in command("compare", "nonsense = 1", "..2026-03-11")
    assert "nonsense" in command("compare", "nonsense = 1", "..2026-03-11")


def test_drift_makes_a_silent_refresh_of_the_weights_stand_out(command: Any) -> None:
    few = command("drift", "2026-03-10..2026-03-11", "2026-03-31..")
    assert {row["verdict"] for row in few} == {"not enough data: 20 of each are needed"}

    rows = {row["column"]: row for row in command("drift", "..2026-03-31", "2026-03-31..")}
    assert rows["model"]["verdict"] == "significant"
    assert rows["model"]["new_in_b"] == "gpt-4o gpt-4o-2024-08-06@fp_new"
    assert rows["llm_calls"]["verdict"] == rows["tools"]["verdict"] == "stable"
    assert rows["llm_calls"]["psi"] == 0


def test_trace_draws_a_tree_with_tokens_cost_and_tuple(command: Any) -> None:
    drawn = command("trace", f"{41:032x}", form="table")

    assert "GET /ask" in drawn
    assert "100 -> 900 tokens" in drawn
    assert "USD" in drawn
    assert "prompt answer@4" in drawn
    assert "ERROR RateLimitError" in drawn
    assert drawn.count("execute_tool search") == 3
    assert "there is no trace" in command("trace", "f")


def test_sql_comes_from_a_file_with_parameters_and_goes_to_one(command: Any, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text(
        "SELECT count(*) AS n FROM traces WHERE route = $route AND llm_calls = $calls"
    )
    asked = ("sql", "-f", str(tmp_path / "q.sql"), "-p", "route=/ask", "-p", "calls=1")

    assert command(*asked) == [{"n": 125}]
    assert command(*asked, "-o", str(tmp_path / "o.parquet"), form="parquet") == ""
    assert parquet.read_table(tmp_path / "o.parquet").to_pylist() == [{"n": 125}]
    assert command(*asked, form="markdown") == "| n |\n| --- |\n| 125 |\n"
    assert "not both" in command("sql", "SELECT 1", "-f", str(tmp_path / "q.sql"))
    assert "cannot be read" in command("sql", "-f", str(tmp_path / "none.sql"))


def test_markdown_keeps_its_table_whatever_a_cell_holds(command: Any) -> None:
    assert (
        command("sql", "SELECT 'a|b' || chr(10) || 'c' AS x", form="markdown").splitlines()[2]
        == r"| a\|b<br>c |"
    )


@pytest.mark.parametrize("leave", [b"\x04", b"exit\n"], ids=["Ctrl-D", "exit"])
def test_the_shell_answers_statements_and_completes_names(command: Any, leave: bytes) -> None:
    """Through a real terminal: a statement over two lines, a wrong one, Tab, words of other shells."""
    file = command("sql", "SELECT 1", form="path")
    terminal, its = pty.openpty()
    command = [sys.executable, "-m", "tupletrace.processor.cli", "sql", "--db", file]
    # Not `pty.fork()`: other threads of this process may hold what a child then waits for.
    shell = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    seen = ""

    def until(text: str) -> None:
        nonlocal seen
        while text not in seen:
            assert select.select([terminal], [], [], 120)[0], seen
            seen += os.read(terminal, 4096).decode(errors="replace")
        seen = seen.partition(text)[2]

    # Only at a prompt is the terminal the shell's: a key before it, Ctrl-D above all, means something else.
    until("tupletrace> ")
    os.write(terminal, b"SELECT count(*) AS found\n")
    until("...> ")
    os.write(terminal, b"FROM tuple_cov\t;\n")
    until("tuple_coverage")
    until("(1 row)")
    until("tupletrace> ")
    os.write(terminal, b"nonsense;\n")
    until("nonsense")
    until("nonsense")
    for asked, said in (
        ("help", "which tables"),
        (".tables", "tuple_coverage"),
        (r"\d tuple_coverage", "column_name"),
    ):
        until("tupletrace> ")
        os.write(terminal, f"{asked}\n".encode())
        until(said)
    until("tupletrace> ")
    os.write(terminal, leave)
    # A terminal that nobody reads would not let it end.
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass
    os.close(terminal)
    assert shell.wait() == 0


@pytest.mark.parametrize("example", re.findall(r"```sql\n(.+?)```", PAGE, re.DOTALL))
def test_every_example_of_the_page_is_answered(history: History, example: str) -> None:
    rows = history.ask(example)
    nothing = ("coverage_gaps", "unfinished_traces", "budget_status")
    assert rows or any(name in example for name in nothing)


def test_the_page_tells_of_every_view_and_question(history: History) -> None:
    views = {
        row["name"] for row in history.ask("SELECT view_name AS name FROM duckdb_views() WHERE NOT internal")
    }
    questions = set(statement_names("questions"))
    inner = {name for name in views | questions if name.startswith("live_") or name.endswith("_of")}
    inner |= {"serving_trace"}
    assert {name for name in (views | questions) - inner if name not in PAGE} == set()
