"""Questions about histories that mislead: aliases that moved, labels used twice, late spans, alternation."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from typing import Any

import pytest

from tupletrace.processor.cli import main

MINUTE = 60_000_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
MARCH = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
MOVED = MARCH + 15 * DAY
APRIL = "2026-04-01"


class Histories:
    """Requests of several routes, each of one or two calls."""

    def __init__(self, database: Any, otlp: Any) -> None:
        self.database, self.otlp, self._trace = database, otlp, 0
        self._bodies: list[bytes] = []

    def request(
        self, route: str, start: int, said: dict[str, Any] | None = None, *, searched: str = "",
        output: int = 50, failed: bool = False, root: bool = True, judged: dict[str, float] | None = None,
    ) -> int:  # fmt: skip
        """One request, which may search first; returns its trace."""
        self._trace += 1
        otlp, trace = self.otlp, self._trace
        made = otlp.span(trace, 1, None, {"http.route": route}, start=start, end=start + 10**9, name="GET")
        if failed:
            made.status.code = 2
        call = otlp.call(
            trace, 2, 1, (100, output),
            {"tupletrace.route": route} | (said or {}),
            start=start + 1000, end=start + 10**9,
        )  # fmt: skip
        for name, score in (judged or {}).items():
            said = {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": score}
            call.events.add(name="gen_ai.evaluation.result", time_unix_nano=start).attributes.extend(
                otlp.key_values(said | {"tupletrace.evaluator.version": "1"})
            )
        spans = [made, call] if root else [call]
        if searched:
            config = {
                "gen_ai.operation.name": "retrieval",
                "gen_ai.data_source.id": "docs",
                "gen_ai.retrieval.top_k": int(searched),
                "tupletrace.retriever.name": "docs",
                "tupletrace.retriever.version": f"top-{searched}",
            }
            spans.append(otlp.span(trace, 3, 1, config, start=start + 500, name="retrieval docs"))
        self._bodies.append(otlp.request(*spans))
        return trace

    def arrive(self) -> None:
        """What was made so far comes, and settles."""
        self.database.insert(*self._bodies)
        self.database.store.settle(0)
        self._bodies.clear()

    def ask(self, sql: str) -> list[dict[str, Any]]:
        return self.database.rows(sql)


@pytest.fixture(scope="module")
def histories(open_database: Callable[..., Any], otlp: Any) -> Histories:
    made = Histories(open_database(), otlp)
    _alias_and_label(made)
    _late(made)
    _alternating(made)
    _grown(made)
    _edited(made)
    return made


def _alias_and_label(made: Histories) -> None:
    for day in range(30):
        start = MARCH + day * DAY
        snapshot = "gpt-4o-2024-05-13" if start < MOVED else "gpt-4o-2024-08-06"
        made.request("/alias", start, {"gen_ai.response.model": snapshot})
        text = "Be brief.\nBe kind." if start < MOVED else "Be brief.\nBe blunt."
        made.request("/label", start, {"gen_ai.system_instructions": text})
    made.arrive()


def _late(made: Histories) -> None:
    """April comes before the last of March, of which one trace is without its root and a call for long."""
    made.request("/late", MARCH + 40 * DAY, {"gen_ai.prompt.version": "5"})
    made.arrive()
    made.request("/late", MARCH + DAY, {"gen_ai.prompt.version": "3"})
    trace = made.request("/late", MARCH + 2 * DAY, {"gen_ai.prompt.version": "4"}, root=False)
    made.arrive()
    otlp = made.otlp
    start = MARCH + 2 * DAY
    root = otlp.span(trace, 1, None, {"http.route": "/late"}, start=start, end=start + 10**9, name="GET")
    second = otlp.call(trace, 9, 1, attributes={"gen_ai.prompt.name": "judge"}, start=start + 2000)
    made.database.insert(otlp.request(root), otlp.request(second))
    made.database.store.settle(0)


def _alternating(made: Histories) -> None:
    """Every second request searches, and then costs more; version 4 fails where it searches."""
    for number in range(120):
        version = "3" if number < 60 else "4"
        searches = number % 2 == 0
        made.request(
            "/agent", MARCH + number * MINUTE, {"gen_ai.prompt.version": version},
            searched="4" if searches else "", output=900 if searches else 50,
            failed=version == "4" and number % 4 == 0,
        )  # fmt: skip
    made.arrive()


def _grown(made: Histories) -> None:
    """Version 4 brought a retriever, failed, and went again."""
    for number in range(90):
        grown = 30 <= number < 60
        made.request(
            "/grown", MARCH + number * MINUTE, {"gen_ai.prompt.version": "4" if grown else "3"},
            searched="9" if grown else "", failed=grown and number % 2 == 0,
            judged={"right": 0.4 if grown else 0.9, "toxicity": 0.6 if grown else 0.1},
        )  # fmt: skip
    made.arrive()


def members(histories: Histories, route: str, layer: str) -> list[dict[str, Any]]:
    return histories.ask(
        f"FROM audit('2026-03-01', '{APRIL}', of_route := '{route}') "
        f"WHERE layer = '{layer}' ORDER BY first_seen, name"
    )


def test_the_audit_names_what_answered_not_what_its_alias_means_now(histories: Histories) -> None:
    rows = members(histories, "/alias", "model")
    assert [(row["name"], row["version"], row["traces"]) for row in rows] == [
        ("gpt-4o", "gpt-4o-2024-05-13", 15),
        ("gpt-4o", "gpt-4o-2024-08-06", 15),
    ]
    assert rows[0]["last_seen"] < rows[1]["first_seen"] == datetime.fromtimestamp(MOVED / 1e9, UTC)


def test_the_audit_shows_both_texts_of_a_label_that_was_used_again_and_when(histories: Histories) -> None:
    (row,) = members(histories, "/label", "prompt")
    assert (row["version"], row["traces"], row["distinct_texts"]) == ("3", 30, 2)
    assert ["kind" in text for text in row["texts"]] == [True, False]
    first, second = row["served_texts"]
    assert (first["traces"], second["traces"]) == (15, 15)
    assert first["last_seen"] < second["first_seen"]


def test_the_audit_of_a_month_counts_what_began_in_it_however_late_it_came(histories: Histories) -> None:
    rows = members(histories, "/late", "prompt")
    assert [(row["name"], row["version"]) for row in rows] == [
        ("answer", "3"),
        ("answer", "4"),
        ("judge", "3"),
    ]
    assert {row["share"] for row in rows} == {0.5}
    assert len({row["tuple_id"] for row in rows}) == 2


def test_a_worse_tuple_is_compared_with_the_one_of_the_same_layers(histories: Histories) -> None:
    """Not with the one beside it that did not search, which is cheaper and of the same age."""
    (row,) = histories.ask("FROM regressions(of_route := '/agent')")
    tuples = histories.ask("FROM tuples")
    layers = {
        side: {one["layer"]: one["version"] for one in tuples if one["tuple_id"] == row[side]}
        for side in ("tuple_id", "before_tuple_id")
    }
    assert row["worse"] == "errors"
    assert [one["prompt"] for one in layers.values()] == ["4", "3"]
    assert [one["retriever"] for one in layers.values()] == ["top-4", "top-4"]


def test_a_tuple_that_has_a_new_layer_is_compared_with_what_it_replaced(histories: Histories) -> None:
    (row,) = histories.ask("FROM rollbacks(of_route := '/grown')")
    assert (row["worse"], row["minutes"]) == ("errors, evaluations, judge", 30)
    assert histories.ask("SELECT p50_minutes, rolled_back FROM rollback_times(of_route := '/grown')") == [
        {"p50_minutes": 30.0, "rolled_back": 1}
    ]


def _edited(made: Histories) -> None:
    """What nobody named, in messages that say another day and another user each, and as a template."""
    for day in range(20):
        start = MARCH + day * DAY
        end = "kind" if start < MOVED else "blunt"
        said = [
            {
                "role": "system",
                "parts": [{"type": "text", "content": f"Be {end}.\nToday is 2026-03-{day + 1:02}."}],
            },
            {"role": "user", "parts": [{"type": "text", "content": f"I am user {day}"}]},
        ]
        nobody: dict[str, Any] = {"gen_ai.prompt.name": None, "gen_ai.prompt.version": None}
        made.request("/edited", start, nobody | {"gen_ai.input.messages": json.dumps(said)})
        written = [{"role": "system", "content": "Speak {language}."}, {"role": "user", "content": end}]
        template = {
            "gen_ai.prompt.version": f"template-{end}",
            "tupletrace.prompt.provenance": "derived",
            "tupletrace.prompt.template": json.dumps(written),
        }
        made.request("/template", start, template | {"gen_ai.input.messages": json.dumps(said)})
    made.arrive()


@pytest.fixture(scope="module")
def command(histories: Histories) -> Callable[..., Any]:
    """Run a command on these histories; its answer as JSON, as it is, or what it wrote to stderr."""
    histories.database.store.close()

    def run(*arguments: str, form: str = "json") -> Any:
        out, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            code = main([*arguments, "--db", str(histories.database.path), "--format", form])
        if code:
            return errors.getvalue()
        return json.loads(out.getvalue()) if form == "json" else out.getvalue()

    return run


def test_diff_shows_the_lines_in_which_a_label_that_was_used_again_differs(command: Any) -> None:
    asked = ("diff", "2026-03-10", "2026-03-20", "--route", "/label")
    (row,) = (one for one in command(*asked) if one["change"] != "same")
    assert (row["layer"], row["change"]) == ("prompt", "text")
    assert row["diff"].splitlines()[-2:] == ["-Be kind.", "+Be blunt."]
    assert "-Be kind.\n+Be blunt." in command(*asked, form="table")
    assert "no trace has route '/none'" in command("diff", "2026-03-10", "2026-03-20", "--route", "/none")


@pytest.mark.parametrize(
    ("route", "lines"),
    [
        ("/edited", ["-Be kind.", "-Today is 2026-03-10.", "+Be blunt.", "+Today is 2026-03-20."]),
        ("/template", [" system: Speak {language}.", "-user: kind", "+user: blunt"]),
    ],
)
def test_diff_shows_the_lines_of_a_prompt_that_was_edited_in_the_code(
    command: Any, histories: Histories, route: str, lines: list[str]
) -> None:
    """Of the messages those of the system: what users say is no prompt."""
    (row,) = (
        one
        for one in command("diff", "2026-03-10", "2026-03-20", "--route", route)
        if one["change"] != "same"
    )
    assert (row["layer"], row["change"]) == ("prompt", "changed")
    assert row["diff"].splitlines()[3:] == lines
    audited = command("audit", "--from", "2026-03-01", "--to", "2026-04-01", "--route", route)
    assert {one["distinct_texts"] for one in audited if one["layer"] == "prompt"} == {1}


def test_diff_says_where_texts_were_not_kept(command: Any) -> None:
    shown = command("diff", "2026-03-02", "2026-04-11", "--route", "/late", form="table")
    assert "What prompt said was not kept on both sides" in shown


def test_diff_shows_how_a_retriever_was_set(command: Any) -> None:
    route, after, before = command(
        "sql", "SELECT route, tuple_id, before_tuple_id FROM regressions() WHERE route = '/agent'"
    )[0].values()
    assert route == "/agent"
    grown = command("sql", "SELECT tuple_id FROM regressions() WHERE route = '/grown'")[0]["tuple_id"]
    rows = {row["layer"]: row for row in command("diff", after, grown)}
    assert "-gen_ai.retrieval.top_k = 4\n+gen_ai.retrieval.top_k = 9" in rows["retriever"]["diff"]
    assert {row["diff"] for row in command("diff", before, after)} == {None}


def test_compare_holds_each_cohort_apart_and_corrects_for_all_of_them(command: Any) -> None:
    sides = ("prompt LIKE '% 3'", "prompt LIKE '% 4'", "--route", "/agent")
    whole = {row["measure"]: row for row in command("compare", *sides)}
    assert whole["failed"]["verdict"] == "worse"
    apart = command("compare", *sides, "--by", "retriever IS NULL")
    failed = {row["cohort"]: row for row in apart if row["measure"] == "failed"}
    assert (failed["false"]["b"], failed["true"]["b"]) == (0.5, 0)
    assert failed["false"]["verdict"] == "worse"
    by_attribute = command("compare", *sides, "--by", "trace_attribute(trace_id, 'gen_ai.retrieval.top_k')")
    assert {row["cohort"] for row in by_attribute} == {"4", None}
    assert {"duration_s p95", "output_tokens"} <= whole.keys()


def test_compare_tests_each_evaluation_by_its_name_and_knows_which_are_of_defects(command: Any) -> None:
    rows = {
        row["measure"]: row
        for row in command("compare", "prompt LIKE '% 3'", "prompt LIKE '% 4'", "--route", "/grown")
    }
    assert (rows["score: right"]["a"], rows["score: right"]["b"]) == (0.9, 0.4)
    assert (rows["failed: toxicity"]["a"], rows["failed: toxicity"]["b"]) == (0, 1)
    for measure in ("score: right", "failed: right", "score: toxicity", "failed: toxicity", "score"):
        assert rows[measure]["verdict"] == "worse", measure


def test_drift_of_any_column_by_layer_version(command: Any) -> None:
    asked = ("drift", "..2026-03-16", "2026-03-16..", "--route", "/alias", "--min-traces", "10")
    (row,) = command(*asked, "--by", "model", "--column", "output_tokens")
    assert (row["version"], row["against"], row["verdict"]) == (
        "gpt-4o gpt-4o-2024-08-06",
        "all of A",
        "stable",
    )
    # The same version of a prompt, and another model below it.
    (row,) = command(*asked, "--by", "prompt", "--column", "model")
    assert (row["version"], row["against"], row["verdict"]) == ("answer 3", "the same version", "significant")
    assert row["new_in_b"] == "gpt-4o gpt-4o-2024-08-06"


def test_a_shift_of_what_was_always_the_same_is_drift(command: Any) -> None:
    rows = command(
        "drift", "output_tokens = 50", "output_tokens = 900", "--route", "/agent", "--column", "output_tokens"
    )
    assert [row["verdict"] for row in rows] == ["significant"]


def test_since_and_route_narrow_every_command(command: Any) -> None:
    window = ("--since", "2026-03-01", "--until", APRIL, "--route", "/late")
    assert [row["traces"] for row in command("coverage", *window)] == [2]
    assert [row["traces"] for row in command("costs", *window)] == [2]
    assert [row["llm_calls"] for row in command("costs", "--by", "day", *window)] == [2, 1]
    assert {row["route"] for row in command("costs", "--trend", *window)} == {"/late"}
    assert len(command("traces", "--order", "dearest", *window)) == 2
    assert [row["traces"] for row in command("health", *window) if row["dialect"]] == [2]
    assert {row["route"] for row in command("tuples", *window)} == {"/late"}
    assert command("errors", *window) == command("regressions", *window) == []
    assert command("tuples", "--since", "1d") == []
