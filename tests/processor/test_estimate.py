"""Tokens that nobody reported are estimated where that is asked for, apart from those that somebody did."""

import importlib.util
import json
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tupletrace.processor import index
from tupletrace.processor.dropping import Place
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.rebuild import rebuild
from tupletrace.processor.retention import Policy, retaining
from tupletrace.processor.store import Store

WORDS = "Where is my order? It should have come on Monday."
ANSWER = "It was sent on Tuesday, and comes tomorrow."
O200K = Decimal("0.0000025"), Decimal("0.00001")
"""USD of gpt-4o's tokens."""


@pytest.fixture
def estimating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores estimate, with the encodings that LlamaIndex brings along."""
    found = importlib.util.find_spec("llama_index.core")
    assert found
    assert found.origin
    cache = Path(found.origin).parent / "_static" / "tiktoken_cache"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
    monkeypatch.setenv("TUPLETRACE_ESTIMATE_TOKENS", "1")


@pytest.fixture
def database(estimating: None, open_database: Callable[..., Any]) -> Any:
    return open_database()


def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "content": said}


def said(*asked: dict[str, Any], answered: str = ANSWER, **more: Any) -> dict[str, Any]:
    """The attributes of a call whose messages were captured and whose tokens were not reported."""
    return {
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps([message("assistant", text(answered))]),
    } | more


def tokens(said: str, encoding: str = "o200k_base") -> int:
    return len(tiktoken.get_encoding(encoding).encode(said))


def test_a_stream_without_usage_is_estimated_apart_from_what_was_reported(database: Any, otlp: Any) -> None:
    stream = otlp.call(1, 1, 9, None, said(message("user", text(WORDS))))
    database.insert(otlp.request(stream, otlp.call(1, 2, 9, (1000, 100), {"gen_ai.agent.name": "other"})))
    database.store.settle(0)
    call, other = database.rows("FROM llm_calls ORDER BY span_id")
    counted = tokens(WORDS) + 4 + 3, tokens(ANSWER)
    assert (call["estimated_input_tokens"], call["estimated_output_tokens"]) == counted
    assert call["estimated_by"] == "tiktoken o200k_base"
    assert (call["usage_status"], call["cost_status"]) == ("estimated", "estimated")
    assert (call["input_tokens"], call["output_tokens"], call["cost_usd"]) == (None, None, None)
    usd = counted[0] * O200K[0] + counted[1] * O200K[1]
    assert call["estimated_cost_usd"] == usd
    assert (other["estimated_cost_usd"], other["cost_usd"]) == (None, Decimal("0.0035"))
    trace = database.row("FROM traces")
    assert (trace["cost_usd"], trace["estimated_cost_usd"]) == (Decimal("0.0035"), usd)
    assert (trace["cost_status"], trace["unpriced_calls"]) == ("partly_priced", 1)
    spent = database.row("FROM costs_by_trace")
    assert (spent["cost_usd"], spent["estimated_cost_usd"], spent["estimated_calls"]) == (
        Decimal("0.0035"),
        usd,
        1,
    )
    assert (spent["unpriced_calls"], spent["calls_without_usage"]) == (0, 0)
    route = database.row("FROM route_costs")
    assert (route["cost_usd"], route["estimated_cost_usd"]) == (Decimal("0.0035"), usd)


def test_a_call_that_failed_is_none_whose_usage_is_missed(database: Any, otlp: Any) -> None:
    """In costs and in health alike."""
    failed = Status(code=Status.STATUS_CODE_ERROR)
    database.insert(otlp.request(otlp.call(1, usage=None), otlp.call(2, usage=None, status=failed)))
    database.store.settle(0)
    for asked in ("FROM ingest_health()", "FROM costs_by_model"):
        found = database.row(asked)
        assert (found["llm_calls"], found["calls_without_usage"]) == (2, 1), asked


def test_a_late_span_with_the_usage_takes_the_estimate_away(database: Any, otlp: Any) -> None:
    opening = otlp.call(1, 1, 9, None, said(message("user", text(WORDS))))
    database.insert(otlp.request(opening))
    database.store.settle(0)
    assert database.row("FROM llm_calls")["usage_status"] == "estimated"
    database.insert(otlp.request(otlp.call(1, 2, 1, (10, 5))))
    database.store.settle(0)
    call = database.row("FROM llm_calls")
    assert (call["usage_status"], call["input_tokens"]) == ("reported", 10)
    assert (call["estimated_by"], call["estimated_cost_usd"]) == (None, None)


def test_tool_calls_instructions_and_tools_are_counted_too(database: Any, otlp: Any) -> None:
    tool = [{"type": "function", "name": "find", "parameters": {"type": "object"}}]
    call = {"type": "tool_call", "id": "x", "name": "find", "arguments": {"q": "order"}}
    answer = {"type": "tool_call_response", "id": "x", "response": "sent"}
    attributes = said(
        message("user", text(WORDS)),
        message("assistant", call),
        message("tool", answer),
        **{
            "gen_ai.system_instructions": "Be kind.",
            "gen_ai.tool.definitions": json.dumps(tool),
            "gen_ai.request.model": "gpt-4",
        },
    )
    database.insert(otlp.request(otlp.call(1, 1, None, None, attributes)))
    database.store.settle(0)
    row = database.row("FROM llm_calls")
    (span,) = database.rows("SELECT tool_definitions FROM spans")
    texts = [WORDS, "find", '{"q":"order"}', "sent", "Be kind.", span["tool_definitions"]]
    assert row["estimated_input_tokens"] == sum(tokens(one, "cl100k_base") for one in texts) + 3 * 4 + 3
    assert row["estimated_by"] == "tiktoken cl100k_base"


@pytest.mark.parametrize(
    ("attributes", "fields"),
    [
        ({}, {}),
        (said(message("user", text(WORDS), {"type": "uri", "modality": "image", "uri": "x"})), {}),
        (said(message("user", text(WORDS))), {"status": {"code": 2}}),
        ({"gen_ai.input.messages": "nothing", "gen_ai.output.messages": "{"}, {}),
        (said(message("user", text(WORDS)), **{"gen_ai.operation.name": "embeddings"}) | {
            "gen_ai.output.messages": None}, {}),
    ],
    ids=["no content", "a picture", "a failure", "no messages", "an embedding"],
)  # fmt: skip
def test_what_cannot_be_estimated_stays_absent(
    database: Any, otlp: Any, attributes: dict[str, Any], fields: dict[str, Any]
) -> None:
    database.insert(otlp.request(otlp.call(1, 1, None, None, attributes, **fields)))
    database.store.settle(0)
    row = database.row("FROM llm_calls")
    assert (row["usage_status"], row["cost_status"], row["estimated_cost_usd"]) == (
        "absent",
        "unpriced",
        None,
    )


def test_nothing_is_estimated_unasked_and_what_cannot_be_done_is_said(
    open_database: Callable[..., Any],
    otlp: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    call = otlp.call(1, 1, None, None, said(message("user", text(WORDS))))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})
    for asked in ("", "1"):
        monkeypatch.setenv("TUPLETRACE_ESTIMATE_TOKENS", asked)
        database = open_database()
        assert ("no tokens will be estimated" in caplog.text) == bool(asked)
        database.insert(otlp.request(call))
        database.store.settle(0)
        assert database.row("FROM llm_calls")["usage_status"] == "absent"
    assert "TIKTOKEN_CACHE_DIR" in caplog.text


def deliver(path: Path, body: bytes) -> None:
    """Write a file of the journal."""
    with closing(Journal(journal_folder(path))) as written:
        written.append("traces", body).result(10)
        written.roll()


def test_an_estimate_outlives_the_texts_that_it_was_made_of(
    estimating: None, otlp: Any, tmp_path: Path
) -> None:
    """Retention takes them; a late span, or the database made again, settles the trace without them."""
    path = tmp_path / "x.duckdb"
    framework = otlp.call(1, 1, 9, None, said(message("user", text(WORDS))))
    deliver(path, otlp.request(framework, otlp.call(1, 2, 9, None, {"gen_ai.response.id": "r"})))

    def calls(*steps: Callable[[Store], Any]) -> list[Any]:
        with closing(Store(path)) as store:
            index.catch_up(journal_folder(path), store)
            store.settle(0)
            for step in steps:
                step(store)
            with store.cursor() as cursor:
                return cursor.sql("FROM llm_calls ORDER BY span_id").fetchall()

    def drop(store: Store) -> None:
        index.finished(retaining(Place(path, store), Policy(content_s=1), lambda _done, _all: None))

    estimated = calls()
    assert [row.count("tiktoken o200k_base") for row in estimated] == [1, 0]
    assert calls(drop) == estimated
    with closing(Store(path)) as store, store.cursor() as cursor:
        assert cursor.sql("SELECT max(input_messages) FROM spans").fetchall() == [(None,)]
    deliver(path, otlp.request(otlp.span(1, 3, 9)))
    assert calls() == estimated, "settled again"
    for _ in range(2):
        rebuild(path, lambda _done, _all: None)
        assert calls(drop) == estimated, "made again"
    deliver(path, otlp.request(otlp.call(1, 4, 1, (10, 5))))
    with closing(Store(path)) as store:
        index.catch_up(journal_folder(path), store)
        store.settle(0)
        query = "SELECT usage_status, estimated_by FROM llm_calls WHERE input_tokens = 10"
        assert store.cursor().sql(query).fetchall() == [("reported", None)], "somebody knows after all"
