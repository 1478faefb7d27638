"""Spans that vendors' libraries really sent, beside what the programs really did: every file is right."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price

FOLDER = Path(os.environ.get("TUPLETRACE_CORPORA", Path(__file__).parents[3] / "shared" / "corpora"))
FILES = sorted(FOLDER.glob("*/*.binpb"))
RESPONSE_MODEL = "gpt-4o-mini-2024-07-18"
NEVER_ENDED = {"traceai/lc_stream_async"}
"""The client's span never ended, the framework's failed: nothing tells what was used."""
NOT_ANSWERING = {"openllmetry/lc_stream_async"}
"""No span tells which revision of the model answered."""

pytestmark = pytest.mark.skipif(not FILES, reason="no recorded spans here")


def name_of(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


@pytest.fixture(scope="module")
def rows(open_database: Callable[..., Any]) -> Callable[..., list[dict[str, Any]]]:
    databases: dict[Path, Any] = {}

    def ask(file: Path, query: str) -> list[dict[str, Any]]:
        if file not in databases:
            databases[file] = open_database()
            databases[file].insert(file.read_bytes())
            databases[file].store.settle(0)
        return databases[file].rows(query)

    return ask


def truth_of(file: Path) -> dict[str, Any]:
    beside = file.with_suffix(".json")
    if not beside.exists():
        pytest.skip("nobody wrote down what the program did")
    return json.loads(beside.read_text())


CHATS = "SELECT * FROM llm_calls WHERE operation_name <> 'embeddings' ORDER BY start_time"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_call_is_counted_once_with_its_tokens_and_cost(rows: Any, file: Path) -> None:
    told = [call if call["usage_sent"] else dict.fromkeys(call) for call in truth_of(file)["calls"]]
    calls = rows(file, CHATS)
    if name_of(file) in NEVER_ENDED:
        assert [call["usage_status"] for call in calls] == ["absent"]
        return
    expected = [(call["input"], call["cached"], call["output"]) for call in told]
    assert [(c["input_tokens"], c["cache_read_tokens"], c["output_tokens"]) for c in calls] == expected
    for call in calls:
        usage = Usage(
            input_tokens=call["input_tokens"],
            cache_read_tokens=call["cache_read_tokens"],
            output_tokens=call["output_tokens"],
        )
        price = calc_price(
            usage, RESPONSE_MODEL, provider_id="openai", genai_request_timestamp=call["start_time"]
        )
        assert call["cost_usd"] == (price.total_price if call["input_tokens"] is not None else None)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_call_names_its_model_and_provider(rows: Any, file: Path) -> None:
    truth = truth_of(file)
    for call, done in zip(rows(file, CHATS), truth["calls"], strict=True):
        assert (call["request_model"], call["provider_name"]) == ("gpt-4o-mini", "openai")
        answered = done["status"] == 200 and name_of(file) not in NEVER_ENDED | NOT_ANSWERING
        assert call["response_model"] == (RESPONSE_MODEL if answered else "gpt-4o-mini")


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_tool_that_ran_is_named(rows: Any, file: Path) -> None:
    asked = [call["tool_call"] for call in truth_of(file)["calls"] if call["tool_call"]]
    if file.parent.name == "genai" and file.stem == "li_agent":
        asked = []  # its instrumentor of LlamaIndex was not installed
    query = "SELECT DISTINCT tool_name FROM spans WHERE operation_name = 'execute_tool'"
    assert [row["tool_name"] for row in rows(file, query)] == asked


@pytest.mark.parametrize("file", [f for f in FILES if f.parent.name.startswith("vercel")], ids=name_of)
def test_the_steps_of_vercels_sdk_are_its_calls(rows: Any, file: Path) -> None:
    query = """
        SELECT count(*) AS steps, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens
        FROM spans
        WHERE attributes['ai.operationId'] LIKE '%.do%'
    """
    (steps,) = rows(file, query)
    (calls,) = rows(file, query.replace("spans", "llm_calls").split("WHERE")[0])
    assert calls == steps
    assert {row["prompt_version"] for row in rows(file, CHATS)} <= {"0c0ffee1234"}


PROMPTS = {"lc_chain", "lc_stream_async", "lc_error"}
"""Programs whose template came from LangChain's hub; its metadata reaches the spans of these."""
KNOWN_HUB = {"mlflow", "openinference", "openllmetry", "traceai"}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_prompt_is_known_or_says_why_not(rows: Any, file: Path) -> None:
    query = """
        SELECT DISTINCT layers.name, layers.version, layers.provenance, layers.reason
        FROM trace_layers AS layers
        WHERE layers.layer = 'prompt'
    """
    if not (found := rows(file, query)):
        assert not rows(file, CHATS)
        return
    (prompt,) = found
    if file.stem in PROMPTS and file.parent.name in KNOWN_HUB and name_of(file) not in NEVER_ENDED:
        assert (prompt["name"], prompt["version"]) == ("acme/support-prompt", "0c0ffee1234")
        assert prompt["provenance"] == "declared"
    elif prompt["provenance"] == "missing":
        assert prompt["reason"]
        assert prompt["version"] is None
    else:
        assert prompt["version"]


def test_the_same_program_has_the_same_prompt_and_tools_in_every_dialect(rows: Any) -> None:
    query = """
        SELECT DISTINCT layer, version FROM trace_layers WHERE layer IN ('prompt', 'tools') ORDER BY layer
    """
    for program in ("lc_agent", "li_agent"):
        files = [file for file in FILES if file.stem == program]
        found = {name_of(file): [tuple(row.values()) for row in rows(file, query)] for file in files}
        assert len({tuple(one) for one in found.values()}) == 1, found


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_call_offered_its_tools(rows: Any, file: Path) -> None:
    offered = [", ".join(call["tools"]) or None for call in truth_of(file)["calls"]]
    assert [call["tools_names"] for call in rows(file, CHATS)] == offered


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_call_has_its_question_and_its_answer(rows: Any, file: Path) -> None:
    truth = truth_of(file)
    query = """
        SELECT spans.input_messages, spans.output_messages
        FROM spans
        JOIN usage_roles AS roles
            ON roles.span_id = spans.span_id AND roles.trace_id = spans.trace_id AND roles.usage_role = 'leaf'
        WHERE spans.operation_name <> 'embeddings'
        ORDER BY spans.start_time
    """
    found = rows(file, query)
    assert len(found) == len(truth["calls"])
    for row in found:
        asked = json.loads(row["input_messages"])
        assert asked[-1]["role"] in ("user", "tool")
        assert all(message["parts"] for message in asked)
    if answer := truth.get("returned"):
        (said,) = json.loads(found[-1]["output_messages"])
        assert [part["content"] for part in said["parts"] if part["type"] == "text"] == [answer]
