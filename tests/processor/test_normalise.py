"""Attributes land in the canonical columns, typed; what is no value for a column never becomes one."""

import json
import random
import re
import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tupletrace.processor import decode, records, wire
from tupletrace.processor.refusal import MalformedRequest

COUNTS = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_input_tokens": "gen_ai.usage.cache_write.input_tokens",
    "reasoning_output_tokens": "gen_ai.usage.reasoning.output_tokens",
    "audio_input_tokens": "gen_ai.usage.audio.input_tokens",
    "audio_cache_read_input_tokens": "gen_ai.usage.audio.cache_read.input_tokens",
    "image_input_tokens": "gen_ai.usage.image.input_tokens",
    "audio_output_tokens": "gen_ai.usage.audio.output_tokens",
    "image_output_tokens": "gen_ai.usage.image.output_tokens",
}
NUMBERS = {
    *COUNTS,
    "agent_step",
    "cache_write_1h_input_tokens",
    "cache_write_5m_input_tokens",
    "time_to_first_chunk_s",
}
UNREADABLE = [
    -1,
    -1.0,
    "-5",
    10**18,
    2**63 - 1,
    1e18,
    1e300,
    12.5,
    "12.7",
    float("nan"),
    float("inf"),
    True,
    False,
    "true",
    "12abc",
    "0x10",
    "NaN",
    "a lot",
    [12],
    [],
    {"total": 12},
    b"12",
]
READABLE = [(12, 12), ("12", 12), (12.0, 12), ("12.0", 12), (" 12 ", 12), (0, 0), ("0", 0), (1e6, 1_000_000)]


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    return open_database()


@pytest.fixture
def stored(database: Any, otlp: Any) -> Callable[..., dict[str, Any]]:
    """Send one span with these attributes and return its row of ``spans``."""

    def send(attributes: dict[str, Any] | list[Any], resource: Any = None, **fields: Any) -> dict[str, Any]:
        start = otlp.noon + database.row("SELECT count(*) AS n FROM spans")["n"]
        database.insert(
            otlp.request(otlp.span(attributes=attributes, start=start, **fields), resource=resource)
        )
        return database.row(f"SELECT * FROM spans WHERE start_unix_nano = {start}")

    return send


@pytest.fixture
def stored_all(database: Any, otlp: Any) -> Callable[..., list[dict[str, Any]]]:
    """Send one span for each of these attributes, in one request, and return their rows."""

    def send(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        trace = 100_000 + database.row("SELECT count(*) AS n FROM spans")["n"]
        spans = [otlp.span(trace, i, attributes=attributes) for i, attributes in enumerate(cases, 1)]
        database.insert(otlp.request(*spans))
        return database.rows(f"SELECT * FROM spans WHERE trace_id = '{trace:032x}' ORDER BY span_id")

    return send


def columns() -> dict[str, list[str]]:
    """The columns of ``genai.toml`` with the keys whose value is the column's value as it is."""
    text = (files("tupletrace.semconv") / "dialects" / "genai.toml").read_text("utf-8")
    table: dict[str, list[str]] = tomllib.loads(text)["columns"]
    plain = {column: [key for key in keys if re.fullmatch(r"[\w.]+", key)] for column, keys in table.items()}
    return {column: keys for column, keys in plain.items() if keys}


def said(column: str, number: int = 7) -> Any:
    """A value that the column takes."""
    if column == "operation_name":
        return ["chat", "embeddings", "retrieval"][number % 3]
    return number if column in NUMBERS else f"said {number}"


def test_every_key_of_the_dialect_lands_in_its_column(stored_all: Any) -> None:
    # A provenance stands only beside a version, below.
    cases = [
        (column, key)
        for column, keys in columns().items()
        for key in keys
        if column not in ("prompt_provenance", "tags")
    ]
    assert len(cases) > 40
    rows = stored_all([{key: said(column), "other": "x"} for column, key in cases])
    for (column, key), row in zip(cases, rows, strict=True):
        assert row[column] == said(column), key
        assert dict(row["attributes"]) == {key: str(said(column)), "other": "x"}


def test_the_first_key_of_a_column_that_says_something_is_taken(stored_all: Any) -> None:
    cases: list[tuple[str, Any, dict[str, Any]]] = []
    for column, keys in columns().items():
        if column == "tags":
            continue
        every = {key: said(column, n) for n, key in enumerate(keys)}
        beside = {"gen_ai.prompt.version": "3"} if column == "prompt_provenance" else {}
        cases.append((column, every[keys[0]], dict(reversed(every.items())) | beside))
        last = [every | dict.fromkeys(keys[:-1], nothing) | beside for nothing in ("", None)]
        cases += [(column, every[keys[-1]], attributes) for attributes in last]
    rows = stored_all([attributes for *_, attributes in cases])
    for (column, expected, attributes), row in zip(cases, rows, strict=True):
        assert row[column] == expected, attributes


def test_a_span_of_no_dialect_is_kept_without_canonical_values(stored: Any) -> None:
    row = stored({"db.system": "postgresql"}, resource={"service.name": "shop"})
    assert (row["dialect"], row["service_name"]) == (None, "shop")
    assert all(row[column] is None for column in columns())


def test_the_dialect_is_told_by_the_keys(stored: Any) -> None:
    assert stored({"gen_ai.request.model": "m"})["dialect"] == "genai"
    assert stored({"tupletrace.route": "r"})["dialect"] == "genai"
    assert stored({"gen_airy": 1})["dialect"] is None


def test_the_models_revision_names_the_fingerprint_of_the_system(stored: Any) -> None:
    answered = {"gen_ai.response.model": "gpt-4o-2024-08-06"}
    assert stored(answered)["model_revision"] == "gpt-4o-2024-08-06"
    with_fingerprint = answered | {"openai.response.system_fingerprint": "fp_1"}
    assert stored(with_fingerprint)["model_revision"] == "gpt-4o-2024-08-06@fp_1"


def test_a_prompt_version_without_provenance_was_declared(stored: Any) -> None:
    assert stored({"gen_ai.prompt.version": "3"})["prompt_provenance"] == "declared"
    derived = {"gen_ai.prompt.version": "3", "tupletrace.prompt.provenance": "derived"}
    assert stored(derived)["prompt_provenance"] == "derived"
    assert stored({"tupletrace.prompt.provenance": "derived"})["prompt_provenance"] is None


def test_lists_are_json_and_times_are_utc_to_the_microsecond(stored: Any, otlp: Any, database: Any) -> None:
    row = stored({"gen_ai.response.finish_reasons": ["stop", "tool_calls"]})
    assert json.loads(row["finish_reasons"]) == ["stop", "tool_calls"]
    database.insert(otlp.request(otlp.span(77, start=otlp.noon + 123_456_789)))
    row = database.row(f"SELECT * FROM spans WHERE trace_id = '{77:032x}'")
    assert row["start_time"].isoformat() == "2026-01-01T12:00:00.123456+00:00"
    assert (row["start_unix_nano"], str(row["day"])) == (otlp.noon + 123_456_789, "2026-01-01")


@pytest.mark.parametrize(("said", "count"), READABLE)
@pytest.mark.parametrize("column", ["input_tokens", "reasoning_output_tokens", "agent_step"])
def test_a_count_may_come_as_text_or_double(stored: Any, column: str, said: Any, count: int) -> None:
    row = stored({COUNTS.get(column, "agent.trajectory.step"): said})
    assert row[column] == count
    assert not row["usage_unreadable"]


@pytest.mark.parametrize("column", COUNTS)
def test_a_count_that_is_none_is_null_and_its_call_unpriced(database: Any, otlp: Any, column: str) -> None:
    """F27: never a wrong number, never a failed batch, and the neighbours' sums stay exact."""
    trace = 1000 + list(COUNTS).index(column)
    spans = [otlp.call(trace, 1)]
    for number, said in enumerate(UNREADABLE, 2):
        spans.append(otlp.call(trace, number, attributes={COUNTS[column]: said}))
    database.insert(otlp.request(*spans))
    rows = database.rows("SELECT * FROM spans WHERE trace_id = ? ORDER BY span_id", [f"{trace:032x}"])
    assert [row[column] for row in rows[1:]] == [None] * len(UNREADABLE)
    assert [row["usage_unreadable"] for row in rows] == [False] + [True] * len(UNREADABLE)
    calls = database.rows("SELECT * FROM llm_calls WHERE trace_id = ? ORDER BY span_id", [f"{trace:032x}"])
    assert {row["usage_status"] for row in calls[1:]} == {"inconsistent"}
    assert {row["cost_usd"] for row in calls[1:]} == {None}
    found = database.row("SELECT * FROM traces WHERE trace_id = ?", [f"{trace:032x}"])
    assert (found["llm_calls"], found["unpriced_calls"]) == (len(spans), len(UNREADABLE))
    assert str(found["cost_usd"]) == "0.000075000000"


def test_sums_of_the_largest_counts_do_not_overflow(database: Any, otlp: Any) -> None:
    most = {COUNTS["input_tokens"]: 10**9, COUNTS["output_tokens"]: 10**9}
    most |= {"gen_ai.request.model": "gpt-4", "gen_ai.response.model": "gpt-4"}
    for trace in range(2000, 2020):
        database.insert(otlp.request(*(otlp.call(trace, i, attributes=most) for i in range(1, 200))))
    found = database.row(f"SELECT * FROM traces WHERE trace_id = '{2000:032x}'")
    assert found["input_tokens"] == 199 * 10**9
    assert found["cost_usd"] == 199 * (30_000 + 60_000)
    assert database.rows("FROM route_costs")
    assert database.rows("FROM tuple_coverage")


@pytest.mark.parametrize("said", [float("nan"), float("inf"), "NaN", "soon", [1.0]])
def test_a_time_to_the_first_chunk_that_is_no_number_spoils_no_average(stored: Any, said: Any) -> None:
    assert stored({"gen_ai.response.time_to_first_chunk": said})["time_to_first_chunk_s"] is None
    assert stored({"gen_ai.response.time_to_first_chunk": 0.25})["time_to_first_chunk_s"] == 0.25


def test_what_a_span_says_beside_its_attributes_has_columns(database: Any, otlp: Any) -> None:
    """C37."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add(schema_url="https://schema/resource")
    scope = resource.scope_spans.add(schema_url="https://schema/scope")
    scope.scope.attributes.extend(otlp.key_values({"of": "scope"}))
    span = otlp.span(3100, 1, flags=0x301, trace_state="a=b")
    span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count = 5, 6, 7
    scope.spans.append(span)
    resource.scope_spans.add(spans=[otlp.span(3100, 2)])
    database.insert(request.SerializeToString())
    query = """
        SELECT flags, dropped_attributes_count, dropped_events_count, dropped_links_count, trace_state,
               schema_url, resource_schema_url, scope_attributes
        FROM spans WHERE trace_id = ? ORDER BY span_id
    """
    told, silent = (tuple(row.values()) for row in database.rows(query, [f"{3100:032x}"]))
    urls = ("https://schema/scope", "https://schema/resource")
    assert told == (0x301, 5, 6, 7, "a=b", *urls, [("of", "scope")])
    assert silent == (0, 0, 0, 0, None, None, urls[1], [])


def test_one_key_may_have_another_type_in_every_span(database: Any, otlp: Any) -> None:
    """F28."""
    values = ["x", 1, 1.5, True, None, b"\0\xff", [1, "x", None], {"k": [1]}, [], {}, ""]
    for value in values:
        database.insert(otlp.request(otlp.span(3000, 1 + len(repr(value)), attributes={"gen_ai.k": value})))
    spans = [otlp.span(3001, i, attributes={"gen_ai.k": value}) for i, value in enumerate(values, 1)]
    database.insert(otlp.request(*spans))
    query = "SELECT attributes['gen_ai.k'] AS said FROM spans WHERE trace_id = ? ORDER BY span_id"
    assert [row["said"] for row in database.rows(query, [f"{3001:032x}"])] == [
        "x",
        "1",
        "1.5",
        "true",
        None,
        "AP8=",
        '[1, "x", null]',
        '{"k": [1]}',
        "[]",
        "{}",
        "",
    ]


def test_text_with_nul_and_every_plane_of_unicode_is_kept(stored: Any) -> None:
    """F25."""
    text = "a\0b \u202e\u200b \U0001f9ff e\u0301 \ufffe '\"\\ $.*[0] %s ; DROP TABLE spans --"
    row = stored({"gen_ai.prompt.name": text, text: text, "gen_ai.input.messages": text}, name=text)
    assert (row["name"], row["prompt_name"], row["input_messages"]) == (text, text, text)
    assert dict(row["attributes"])[text] == text


def test_whatever_can_be_decoded_can_be_stored_and_asked(database: Any, otlp: Any) -> None:
    """Mutated requests of calls: what was accepted becomes rows, and every view still answers."""
    chance = random.Random(7)
    attributes = {
        "gen_ai.response.id": "r",
        "gen_ai.response.model": "gpt-4o",
        "agent.trajectory.step": 1,
        "gen_ai.response.time_to_first_chunk": 0.5,
        "tupletrace.tools.names": ["a", "b"],
        "tupletrace.tools.version": "tools-1",
        "openai.response.service_tier": "default",
    }
    search = {"gen_ai.operation.name": "retrieval", "tupletrace.retriever.version": "r"}
    judged = {"gen_ai.evaluation.name": "good", "gen_ai.evaluation.score.value": 0.5}
    bodies: list[bytes] = []
    while len(bodies) < 400:
        call = otlp.call(5000 + len(bodies), attributes=attributes)
        evaluated = call.events.add(name="gen_ai.evaluation.result", time_unix_nano=otlp.noon)
        evaluated.attributes.extend(otlp.key_values(judged))
        mutated = bytearray(otlp.request(call, otlp.span(5000 + len(bodies), 2, 1, search)))
        for _ in range(chance.randrange(1, 6)):
            mutated[chance.randrange(len(mutated))] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
        try:
            if kept := records.examine(wire.TRACES, bytes(mutated)).body:
                bodies.append(kept)
        except MalformedRequest:
            continue
    key = ["trace_id", "span_id", "start_unix_nano"]
    accepted = decode.spans(bodies).table.select(key).group_by(key).aggregate([]).num_rows
    before = database.row("SELECT count(*) AS n FROM spans")["n"]
    for start in range(0, len(bodies), 40):
        database.insert(*bodies[start : start + 40])
        database.store.settle(0)
    assert database.row("SELECT count(*) AS n FROM spans")["n"] == before + accepted
    for view in (
        "llm_calls",
        "traces",
        "tuples",
        "tuple_coverage",
        "trace_costs",
        "route_costs",
        "version_map",
    ):
        database.rows(f"FROM {view}")
    assert database.row("SELECT count(*) AS n FROM llm_calls WHERE cost_usd < 0 OR cost_usd > 1e6")["n"] == 0
