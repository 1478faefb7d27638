"""The programs of ``corpora`` under five vendors' libraries that were told to keep the content to themselves.

OpenInference hid inputs and outputs, OpenLLMetry had ``TRACELOOP_TRACE_CONTENT=false``, OpenTelemetry's own
instrumentor its default, OpenLIT and pydantic-ai (``logfire``) were told in code.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from tupletrace.processor import decode

FOLDER = Path(__file__).parent / "corpora" / "content_off"
OFF = "content capture off, it seems: no prompt id, template or message on the span"
HIDDEN = "content hidden: the messages on the span are without their texts"
CHAT = [(149, 12), (270, 22), (57, 31), (None, None), (81, 27), (139, 12), (244, 22)]
"""Input and output tokens; the fourth is a stream that was not asked for its usage."""
AGENT = [(165, 12), (293, 22)]
EXPECTED = {
    # It knows no responses API.
    "genai": (CHAT[:5], OFF),
    "logfire": (AGENT, HIDDEN),
    "openinference": (CHAT, OFF),
    "openlit": (CHAT, OFF),
    "openllmetry": (CHAT, OFF),
}


@pytest.fixture(scope="module")
def rows(open_database: Callable[..., Any]) -> Callable[[str, str], list[dict[str, Any]]]:
    database = open_database()
    bodies = {library: (FOLDER / f"{library}.binpb").read_bytes() for library in EXPECTED}
    for body in bodies.values():
        database.insert(body)
    database.store.settle(0)

    def ask(library: str, query: str) -> list[dict[str, Any]]:
        traces = decode.spans([bodies[library]]).table["trace_id"].unique().to_pylist()
        return database.rows(query, [traces])

    return ask


@pytest.mark.parametrize("library", EXPECTED)
def test_tokens_models_and_costs_are_there_without_content(rows: Any, library: str) -> None:
    query = """
        FROM llm_calls
        WHERE operation_name <> 'embeddings' AND list_contains(?, trace_id)
        ORDER BY start_time
    """
    calls = rows(library, query)
    assert [(call["input_tokens"], call["output_tokens"]) for call in calls] == EXPECTED[library][0]
    for call in calls:
        assert call["request_model"] == "gpt-4o-mini"
        assert call["response_model"] == "gpt-4o-mini-2024-07-18"
        if call["input_tokens"] is None:
            assert call["usage_status"] == "absent"
            assert call["cost_usd"] is None
            continue
        used = Usage(
            input_tokens=call["input_tokens"],
            cache_read_tokens=call["cache_read_tokens"],
            output_tokens=call["output_tokens"],
        )
        price = calc_price(used, call["response_model"], provider_id="openai")
        assert call["cost_usd"] == price.total_price


@pytest.mark.parametrize("library", EXPECTED)
def test_a_prompt_whose_content_was_kept_back_is_missing_and_says_why(rows: Any, library: str) -> None:
    layers = rows(library, "FROM trace_layers WHERE list_contains(?, trace_id) ORDER BY layer")
    models = [layer for layer in layers if layer["layer"] == "model"]
    prompts = [layer for layer in layers if layer["layer"] == "prompt"]
    assert {(layer["provenance"], layer["reason"]) for layer in models} == {("declared", None)}
    assert prompts
    assert {(layer["version"], layer["provenance"], layer["reason"]) for layer in prompts} == {
        (None, "missing", EXPECTED[library][1])
    }


@pytest.mark.parametrize("library", EXPECTED)
def test_no_mark_and_no_role_alone_is_taken_for_what_was_said(rows: Any, library: str) -> None:
    spans = rows(
        library, "SELECT input_messages, output_messages FROM spans WHERE list_contains(?, trace_id)"
    )
    for said in (text for span in spans for text in span.values() if text):
        assert '"content"' not in said
        assert "REDACTED" not in said
