"""Frameworks and JavaScript libraries as they sent their spans, beside what the endpoint saw."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor import decode

FILES = sorted((Path(__file__).parent / "corpora" / "frameworks").glob("*.binpb"))


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    made = open_database()
    for file in FILES:
        made.insert(file.read_bytes())
    made.store.settle(0)
    return made


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_call_of_a_framework_is_there_once_as_the_endpoint_saw_it(database: Any, file: Path) -> None:
    traces = decode.spans([file.read_bytes()]).table["trace_id"].unique().to_pylist()
    query = """
        SELECT llm_calls.*, spans.input_messages, spans.output_messages, spans.system_instructions
        FROM llm_calls
        JOIN spans ON spans.trace_id = llm_calls.trace_id AND spans.span_id = llm_calls.span_id
        WHERE list_contains(?, llm_calls.trace_id)
        ORDER BY llm_calls.start_time
    """
    found = database.rows(query, [traces])
    expected = json.loads(file.with_suffix(".json").read_text("utf-8"))
    assert [told(call, known) for call, known in zip(found, expected, strict=True)] == expected


def told(call: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """What a call says of what is known of it. Where tokens are known, so is what they cost."""
    assert (call["cost_status"] == "priced") == ("input" in known)
    said = {
        "model": call["request_model"],
        "input": call["input_tokens"],
        "output": call["output_tokens"],
        "cache_read": call["cache_read_tokens"],
        "cache_write": call["cache_write_tokens"],
        "reasoning": call["reasoning_tokens"],
        "failed": call["status_code"] == "ERROR" and call["error_type"] is not None,
        "asked": parts(call["input_messages"], call["system_instructions"]),
        "answered": parts(call["output_messages"]),
        "tools": sorted((call["tools_names"] or "").split(", ")),
        "agent": call["agent_name"],
        "step": call["agent_step"],
        "conversation": call["conversation_id"],
        "finish": call["finish_reasons"] and json.loads(call["finish_reasons"]),
    }
    buckets = ("input", "output")
    return {key: value for key, value in said.items() if key in known or (key in buckets and value)}


def parts(messages: str | None, instructions: str | None = None) -> list[list[Any]]:
    """Who said what, which calls with which arguments, which answers to them; the system first."""
    said: list[list[Any]] = []
    for message in json.loads(messages or "[]"):
        for part in message["parts"]:
            match part["type"]:
                case "text":
                    said.append([message["role"], part["content"]])
                case "tool_call":
                    said.append(["call", part["id"], part["name"], part["arguments"]])
                case "tool_call_response":
                    said.append(["result", part["id"], part["response"]])
                case _:
                    pass
    # What stands in the messages, too, is said once.
    system = [["system", part["content"]] for part in json.loads(instructions or "[]")]
    return sorted([*(one for one in system if one not in said), *said], key=lambda one: one[0] != "system")
