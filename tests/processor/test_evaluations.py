"""Evaluations: every shape in which they come, joined to what they judge, counted with their intervals."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pyarrow import parquet

from tupletrace.processor import connect, evaluations, settings, telling, tokens
from tupletrace.processor.cli import main
from tupletrace.processor.store import Store

TRACE, SPAN = f"{7:032x}", f"{2:016x}"
UUID = "c2b3a4d5-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def running(start_processor: Callable[..., Any], otlp: Any, until: Any) -> Any:
    """A processor with two settled traces of one conversation."""
    made = start_processor()
    said = {"gen_ai.conversation.id": "talk", "gen_ai.response.id": "resp-8"}
    first = otlp.call(7, 2, 1, attributes={"gen_ai.conversation.id": "talk"})
    body = otlp.request(
        otlp.span(7, 1, None, {"http.route": "/ask"}),
        first,
        otlp.span(8, 1, None, {"http.route": "/ask"}),
        otlp.call(8, 2, 1, attributes=said | {"gen_ai.prompt.version": "4"}),
    )
    assert made.post_traces(body).status == 200
    until(lambda: made.sql("SELECT count(*) AS n FROM traces WHERE complete") == [{"n": 2}])
    return made


def post(running: Any, rows: Any, **headers: str) -> Any:
    body = json.dumps(rows).encode()
    return running.request("/v1/evaluations", body, **{"Content_Type": "application/json"} | headers)


def of(running: Any, name: str) -> list[dict[str, Any]]:
    return running.sql("SELECT * FROM evaluations WHERE name = $1 ORDER BY trace_id, score_value", [name])


def test_an_evaluation_that_comes_late_is_of_its_span_and_its_evaluator_of_the_tuple(
    running: Any, until: Any
) -> None:
    judge = {"name": "strict", "model": "gpt-5", "rubric": "Say whether it is right."}
    row = {"trace_id": TRACE, "span_id": SPAN, "name": "right", "score": 0.9, "evaluator": judge}

    answer = post(running, row)
    assert (answer.status, answer.json) == (200, {"accepted": 1})
    (found,) = until(lambda: of(running, "right"))
    assert (found["span_id"], found["passed"], found["evaluator_name"]) == (SPAN, True, "strict")
    assert found["evaluator_version"].startswith("gpt-5@rubric-")
    asked = f"SELECT version FROM trace_layers WHERE trace_id = '{TRACE}' AND layer = 'evaluator'"
    assert until(lambda: running.sql(asked)) == [{"version": found["evaluator_version"]}]


def test_what_is_sent_again_is_kept_once_and_what_has_an_id_is_replaced(running: Any, until: Any) -> None:
    same = {"trace_id": TRACE, "name": "again", "score": 1}
    for _ in range(2):
        assert post(running, [same, same]).status == 200
    for passed in (True, False):
        assert (
            post(running, {"id": "one", "trace_id": TRACE, "name": "changed", "passed": passed}).status == 200
        )
    (last,) = until(lambda: [row for row in of(running, "changed") if row["passed"] is False])
    assert last["evaluation_id"] == "one"
    assert len(of(running, "again")) == len(of(running, "changed")) == 1


@pytest.mark.parametrize(
    "target", [{"response_id": "resp-8"}, {"span_id": "0" * 15 + "2", "trace_id": f"{8:032x}"}]
)
def test_a_span_is_found_by_the_response_that_it_had(
    running: Any, until: Any, target: dict[str, str]
) -> None:
    name = "-".join(target)
    assert post(running, {"name": name, "score": 0.1} | target).status == 200
    (row,) = until(lambda: [one for one in of(running, name) if one["trace_id"]])
    assert (row["trace_id"], row["span_id"], row["passed"]) == (f"{8:032x}", SPAN, False)


def test_an_evaluation_may_come_before_its_span(running: Any, otlp: Any, until: Any) -> None:
    rows = [
        {"response_id": "resp-early", "name": "early", "score": 1},
        {"span_id": f"{77:016x}", "name": "early", "score": 0.9},
    ]
    assert post(running, rows).status == 200
    until(lambda: len(of(running, "early")) == 2)
    body = otlp.request(otlp.call(9, 77, attributes={"gen_ai.response.id": "resp-early"}))
    assert running.post_traces(body).status == 200
    until(lambda: {row["trace_id"] for row in of(running, "early")} == {f"{9:032x}"})


def test_a_conversation_is_judged_once_for_each_version_that_took_part(running: Any, until: Any) -> None:
    row = {"conversation_id": "talk", "name": "polite", "passed": False}
    assert post(running, {"evaluations": [row]}).json == {"accepted": 1}
    until(lambda: of(running, "polite"))
    rates = running.sql("FROM evaluation_rates('prompt') WHERE evaluation = 'polite' ORDER BY value")
    assert [(row["value"], row["judged"], row["failed"]) for row in rates] == [
        ("answer 3", 1, 1),
        ("answer 4", 1, 1),
    ]
    (whole,) = running.sql("FROM evaluation_rates('route') WHERE evaluation = 'polite'")
    assert (whole["value"], whole["judged"], whole["fail_rate"]) == ("/ask", 1, 1)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"trace_id": TRACE, "name": "x", "score": 1}, {"trace_id": "7", "name": "x", "score": 1}],
         "row 2: trace_id '7'"),
        ({"name": "x", "score": 1}, "send one of trace_id"),
        ({"trace_id": TRACE, "score": 1}, "it has no name"),
        ({"trace_id": TRACE, "name": "x"}, "send a score, a label, or passed"),
        ({"trace_id": TRACE, "name": "x", "score": [1]}, "its score is [1]"),
        ({"trace_id": TRACE, "name": "x", "score": 1, "time": "noon"}, "time 'noon'"),
        ({"trace_id": TRACE, "name": "x", "passed": "perhaps"}, "send true or false"),
        ({"trace_id": TRACE, "assessment_name": "x", "expectation": {"value": 1}}, "an expectation is no"),
        ({"trace_id": TRACE, "name": "x", "score": 1, "time": 1e300}, "is no time"),
        ({"trace_id": TRACE, "name": "\ud800", "score": 1}, "name is not text"),
        ([1], "row 1: an evaluation is an object"),
        ("text", "an object or a list"),
        ([{}] * 30, "and 20 more"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_by_row_and_nothing_is_kept(running: Any, rows: Any, words: str) -> None:
    before = running.sql("SELECT count(*) AS n FROM evaluations")
    answer = post(running, rows)
    assert (answer.status, words in answer.json["error"]) == (400, True), answer.body
    assert running.sql("SELECT count(*) AS n FROM evaluations") == before


def test_only_json_is_taken_and_only_posted(running: Any) -> None:
    assert post(running, {}, Content_Type="text/csv").status == 415
    assert running.request("/v1/evaluations").status == 405


def test_who_may_send_spans_may_send_evaluations_and_who_may_read_may_not(
    start_processor: Callable[..., Any], tmp_path: Path
) -> None:
    file = tokens.tokens_file(tmp_path / "x.duckdb")
    reader, sender = (tokens.add(file, scope, (scope,)) for scope in (tokens.READ, tokens.INGEST))
    made = start_processor(tmp_path / "x.duckdb")
    row = {"trace_id": TRACE, "name": "x", "score": 1}
    said = [post(made, row, **token).status for token in ({}, {"Authorization": f"Bearer {reader}"})]
    assert [*said, post(made, row, Authorization=f"Bearer {sender}").status] == [401, 403, 200]
    made.stop()


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (
            {"traceId": UUID, "observationId": SPAN, "name": "accuracy", "value": 0.5, "dataType": "NUMERIC",
             "comment": "so so", "configId": "config", "source": "EVAL", "id": "score"},
            {"trace_id": UUID.replace("-", ""), "span_id": SPAN, "score": 0.5, "explanation": "so so",
             "evaluator_version": "config", "source": "llm", "id": "score"},
        ),
        (
            {"traceId": TRACE, "name": "tone", "value": 0, "stringValue": "rude", "dataType": "CATEGORICAL"},
            {"label": "rude", "score": None},
        ),
        ({"sessionId": "talk", "name": "b", "value": "True"}, {"conversation_id": "talk", "label": "True"}),
        (
            {"assessment_id": "a-1", "assessment_name": "relevant", "trace_id": f"tr-{TRACE}",
             "rationale": "why", "source": {"source_type": "LLM_JUDGE", "source_id": "gpt-5"},
             "feedback": {"value": True},
             "create_time": "2026-03-01T00:00:00.5Z"},
            {"id": "a-1", "name": "relevant", "trace_id": TRACE, "score": 1, "source": "llm",
             "explanation": "why", "evaluator_version": "gpt-5", "time": 1_772_323_200_500_000_000},
        ),
        (
            {"assessment_name": "liked", "trace_id": TRACE,
             "source": {"source_type": "HUMAN", "source_id": "ann"},
             "feedback": {"value": "no"}, "create_time_ms": 1_772_323_200_500},
            {"source": "human", "label": "no", "evaluator_version": None, "time": 1_772_323_200_500_000_000},
        ),
        (
            {"run_id": UUID, "trace_id": UUID, "key": "user_score", "score": 1, "session_id": "a project",
             "feedback_source": {"type": "app"}},
            {"span_id": UUID.replace("-", "")[:16], "name": "user_score", "source": "human",
             "conversation_id": None},
        ),
        (
            {"span_id": SPAN, "name": "correctness", "annotator_kind": "LLM", "identifier": "i",
             "result": {"label": "incorrect", "score": 0, "explanation": "e"}},
            {"span_id": SPAN, "label": "incorrect", "score": 0, "explanation": "e", "source": "llm"},
        ),
        ({"context.span_id": SPAN, "name": "q", "score": "0.25", "label": ""}, {"score": 0.25}),
        ({"trace_id": TRACE, "feedback": "thumbs_up"}, {"label": "thumbs_up", "source": "human"}),
        ({"trace_id": TRACE, "name": "q", "error": "Timeout"}, {"error": "Timeout", "score": None}),
    ],
)  # fmt: skip
def test_the_shapes_of_others_are_understood(row: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Langfuse, MLflow, LangSmith, Phoenix, a thumb, a judge that failed."""
    made = evaluations.evaluation(row)
    assert {key: made.get(key) for key in wanted} == wanted
    assert evaluations.evaluation(row) == made


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = sorted({key for keys in evaluations.FIELDS.values() for key in keys})


@given(st.dictionaries(st.sampled_from(KEYS), JSON | st.sampled_from([TRACE, UUID]), max_size=8))
def test_any_row_is_an_evaluation_or_is_said_to_be_none(row: dict[str, Any]) -> None:
    made, wrong = evaluations.read([row])
    assert len(made) + len(wrong) == 1
    evaluations.request(made)
    assert evaluations.read(json.loads(json.dumps(made))) == (made, [])


def test_an_annotation_with_an_identifier_is_the_same_whatever_its_result() -> None:
    rows = [{"span_id": SPAN, "name": "x", "identifier": "i", "result": {"score": score}} for score in (0, 1)]
    made, wrong = evaluations.read(list(evaluations.rows({"data": rows})))
    assert (len({one["id"] for one in made}), wrong) == (1, [])


class Judged:
    """A database in which evaluations are put as they come in spans and in records."""

    def __init__(self, database: Any) -> None:
        self.database, self._trace = database, 100

    def event(self, **said: Any) -> bool | None:
        """Whether one more evaluation of these attributes, of a trace of its own, passed."""
        self._trace += 1
        self.put({"trace_id": f"{self._trace:032x}"} | said)
        asked = "SELECT passed FROM evaluations WHERE trace_id = $1"
        return self.database.row(asked, [f"{self._trace:032x}"])["passed"]

    def put(self, row: dict[str, Any]) -> None:
        rows, wrong = evaluations.read([row])
        assert wrong == []
        records = telling.decoded([evaluations.request(rows)]).drop_columns(["request"])
        records = records.append_column("journal_seq", pa.array([0], pa.int64()))
        self.database.store.insert(self.database.batch(), self.database.store.journal_seq, records)

    def set(self, **values: float) -> None:
        """Change settings as the command does."""
        named = {key.replace("__", ":"): value for key, value in values.items()}
        settings.write(settings.settings_file(self.database.path), settings.Settings(named))
        self.database.store.take_settings()


@pytest.fixture(scope="module")
def judged(open_database: Callable[..., Any]) -> Judged:
    return Judged(open_database())


def test_who_passed_is_said_by_the_label_else_by_the_score_and_the_settings(judged: Judged) -> None:
    judged.event(name="stars", score=5)
    for said, passed in [
        ({"name": "quality", "score": 0.7}, True),
        ({"name": "quality", "score": 0.69}, False),
        ({"name": "quality", "score": 0.1, "passed": True}, True),
        ({"name": "quality", "score": 0.9, "label": "Fail"}, False),
        ({"name": "quality", "label": "so so"}, None),
        ({"name": "quality", "error": "Timeout"}, None),
        ({"name": "Groundedness", "score": 0.75}, False),
        ({"name": "faithfulness", "score": 0.8}, True),
        ({"name": "toxicity", "score": 0.9}, False),
        ({"name": "hallucination", "label": "no"}, True),
        ({"name": "hallucination", "label": "hallucinated"}, False),
        ({"name": "relevance", "label": "yes"}, True),
        ({"name": "stars", "score": 1}, None),
        ({"name": "user_feedback", "score": -1}, False),
        ({"name": "user_feedback", "score": 1}, True),
        ({"name": "x", "source": "HUMAN", "label": "👎"}, False),
        ({"name": "x", "source": "HUMAN", "label": "positive"}, True),
        ({"name": "sentiment", "source": "LLM", "label": "negative"}, None),
        ({"thumbs": 0}, False),
    ]:  # fmt: skip
        assert judged.event(**said) is passed, said


def test_a_mark_that_users_set_is_of_every_evaluation_that_came(judged: Judged) -> None:
    judged.event(name="stars", score=3)
    asked = "SELECT DISTINCT passed FROM evaluations WHERE name = 'stars' AND score_value = 3"
    assert judged.database.rows(asked) == [{"passed": None}]
    judged.set(judge_score__stars=4, judge_score=0.95)
    assert judged.database.rows(asked) == [{"passed": False}]
    assert judged.event(name="other", score=0.94) is False
    judged.set()
    assert judged.event(name="other", score=0.94) is True


def test_evaluations_in_spans_are_of_them(judged: Judged, otlp: Any) -> None:
    """OpenInference's annotations of span, trace and session; attributes of an evaluator's own span."""
    annotations = {
        "annotations.0.annotation.name": "correct",
        "annotations.0.annotation.score": 0.9,
        "annotations.0.annotation.annotator_kind": "LLM",
        "annotations.0.annotation.metadata": json.dumps({"evaluator_version": "7", "evaluator": "judge"}),
        "annotations.1.annotation.name": "concise",
        "annotations.1.annotation.label": "incorrect",
        "trace.evaluations.0.evaluation.name": "whole",
        "trace.evaluations.0.evaluation.score": 0.2,
        "session.annotations.0.annotation.name": "talk",
        "session.annotations.0.annotation.label": "thumbs down",
        "session.annotations.0.annotation.annotator_kind": "HUMAN",
        "session.id": "talk",
    }
    evaluator = {
        "gen_ai.evaluation.name": "own",
        "gen_ai.evaluation.score.value": 1.0,
        "gen_ai.evaluation.target_span_id": f"{1:016x}",
        "gen_ai.request.model": "gpt-5",
    }
    spans = [otlp.call(1, 1, None, attributes=annotations), otlp.span(1, 2, 1, evaluator)]
    for _ in range(2):
        judged.database.insert(otlp.request(*spans))
    rows = judged.database.rows(
        f"SELECT * FROM evaluations WHERE trace_id = '{1:032x}' OR conversation_id = 'talk' ORDER BY name"
    )
    said = [(row["name"], row["span_id"] and int(row["span_id"], 16), row["passed"]) for row in rows]
    assert said == [
        ("concise", 1, False), ("correct", 1, True), ("own", 1, True),
        ("talk", None, False), ("whole", None, False),
    ]  # fmt: skip
    assert (rows[1]["evaluator_name"], rows[1]["evaluator_version"], rows[1]["source"]) == (
        "judge",
        "7",
        "llm",
    )
    assert rows[2]["evaluator_version"] == "gpt-5"
    assert (rows[3]["trace_id"], rows[3]["conversation_id"]) == (None, "talk")


def test_results_of_a_case_of_pydantic_evals_are_evaluations_of_it(judged: Judged, otlp: Any) -> None:
    def result(name: str, value: Any, evaluator: str, **more: Any) -> str:
        one = {"name": name, "value": value, "source": {"name": evaluator, "arguments": None}} | more
        return json.dumps({name: one})

    case = {
        "assertions": result("right", False, "Contains", reason="no Paris"),
        "scores": result("grounded", 0.9, "LLMJudge", evaluator_version="7"),
        "labels": result("tone", "kind", "Tone"),
    }
    request = ExportTraceServiceRequest.FromString(otlp.request(otlp.span(60, 1, None, case)))
    other = otlp.request(otlp.span(61, 1, None, case), otlp.span(61, 2, None, {"labels": "{"}))
    request.resource_spans[0].scope_spans[0].scope.name = "pydantic-evals"
    judged.database.insert(request.SerializeToString(), other)
    rows = judged.database.rows(
        f"SELECT * FROM evaluations WHERE trace_id IN ('{60:032x}', '{61:032x}') ORDER BY name"
    )
    said = [(row["name"], row["evaluator_name"], row["source"], row["passed"]) for row in rows]
    assert said == [
        ("grounded", "LLMJudge", "llm", True),
        ("right", "Contains", "code", False),
        ("tone", "Tone", "code", None),
    ]
    assert (rows[0]["evaluator_version"], rows[0]["score"]) == ("7", 0.9)
    assert (rows[1]["explanation"], rows[2]["score_label"]) == ("no Paris", "kind")


def test_feedback_of_users_takes_no_part_in_the_tuple(judged: Judged, otlp: Any) -> None:
    judged.database.insert(otlp.request(otlp.call(50, 1, None)))
    before = judged.database.row(f"SELECT tuple_id, covered FROM traces WHERE trace_id = '{50:032x}'")
    judged.put({"trace_id": f"{50:032x}", "thumbs": "up"})
    asked = f"SELECT tuple_id, covered FROM traces WHERE trace_id = '{50:032x}'"
    assert judged.database.row(asked) == before
    judged.put({"trace_id": f"{50:032x}", "name": "thumbs", "score": 0, "source": "llm"})
    measures = "SELECT disliked, evaluation_failed, map_keys(evaluations) AS names FROM trace_measures()"
    row = judged.database.row(f"{measures} WHERE trace_id = '{50:032x}'")
    assert (row["disliked"], row["evaluation_failed"]) == (False, True)
    assert sorted(row["names"]) == ["thumbs", "thumbs (feedback)"]


def test_files_of_every_kind_are_imported_once_and_kept_through_a_rebuild(
    tmp_path: Path, capsys: Any
) -> None:
    rows = [
        {"trace_id": f"{n:032x}", "name": "file", "score": n / 10, "comment": f"n {n}"} for n in range(1, 4)
    ]
    with (tmp_path / "x.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    (tmp_path / "x.json").write_text(json.dumps({"scores": rows}))
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    database = tmp_path / "x.duckdb"
    Store(database).close()

    for suffix in ("csv", "parquet", "json", "jsonl"):
        file = tmp_path / f"x.{suffix}"
        assert main(["evaluations", "import", str(file), "--db", str(database)]) == 0
        assert capsys.readouterr().out == f"3 evaluations of {file} are imported\n"
    assert main(["rebuild", "--db", str(database)]) == 0
    capsys.readouterr()
    with connect(database) as connection:
        found = connection.sql("SELECT score_value, explanation FROM evaluations ORDER BY ALL").fetchall()
    assert found == [(0.1, "n 1"), (0.2, "n 2"), (0.3, "n 3")]


def test_an_import_names_the_rows_that_are_wrong_and_skips_them_when_asked(
    running: Any, tmp_path: Path, capsys: Any, until: Any
) -> None:
    """Into a database that a processor has open."""
    file = tmp_path / "x.json"
    file.write_text(
        json.dumps([{"trace_id": TRACE, "name": "imported", "score": 1}, {"trace_id": "x", "name": "y"}])
    )
    asked = ["evaluations", "import", str(file), "--db", str(running.database)]
    assert main(asked) == 2
    assert "row 2: trace_id 'x' is not 32 hexadecimal digits" in capsys.readouterr().err
    assert main([*asked, "--skip"]) == 0
    assert "1 evaluations" in capsys.readouterr().out
    until(lambda: of(running, "imported"))
    assert main(["evaluations", "--db", str(running.database), "--json"]) == 0
    rates = {row["evaluation"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rates["imported"]["judged"], rates["imported"]["fail_rate"]) == (1, 0)
    # Wilson's interval of none of one.
    assert rates["imported"]["fail_rate_low"] == 0
    assert rates["imported"]["fail_rate_high"] == pytest.approx(0.7935, abs=1e-4)
    assert main(["evaluations", "import", str(tmp_path / "x.txt"), "--db", str(running.database)]) == 2
    assert ".parquet" in capsys.readouterr().err
