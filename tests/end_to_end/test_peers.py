"""Other vendors' libraries alive: what they send of programs without ours counts like what ours send."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from tupletrace.processor.demo.endpoint import Endpoint

PROGRAM = Path(__file__).parent / "programs" / "peers.py"
PEERS = (
    "fi-instrumentation-otel==1.1.0",
    "langchain>=1.4,<2",
    "langchain-openai>=1.7,<2",
    "langfuse==5.0.4",
    "langsmith[otel]==0.15.0",
    "logfire==5.2.0",
    "monocle_apptrace==0.8.15",
    "openai>=2.54,<3",
    "openlit==1.45.0",
    "pydantic-ai-slim[openai]==2.31.1",
    "semantic-kernel==1.45.0",
    "strands-agents[openai]==1.62.0",
    "traceai-langchain==0.2.0",
    "traceai-openai==0.1.10",
)
"""These resolve together; newer ones of some ask for a client of OpenAI's that others do not take."""
Tokens = list[tuple[int | None, int | None]]
CHAT: Tokens = [(149, 12), (270, 22), (57, 31), (None, None), (81, 27), (139, 12), (244, 22)]
"""Input and output tokens as reported; the fourth is a stream that was not asked for its usage."""
AGENT: Tokens = [(57, 29), (149, 12), (285, 22)]
VENDORS: dict[str, Tokens] = {
    "langfuse": CHAT + AGENT,
    "langsmith": CHAT + AGENT,
    "logfire": CHAT,
    "monocle": CHAT + AGENT,
    "openlit": CHAT,
    "pydantic_ai": [(165, 12), (293, 22)],
    "semantic_kernel": [(160, 15), (284, 25)],
    "strands": [(177, 12), (298, 22)],
    "traceai": CHAT + AGENT,
}
NO_PROVIDER = {"strands"}
ANSWERING_MODEL_ALONE = {"langfuse"}
"""The wrapper overwrites the model that was asked for."""
NO_TOOLS = {"openlit", "monocle", "strands"}
"""They do not tell which tools the model was offered."""
ANSWER = "says: Sunny, 21 C. Is there anything else that I can do for you?"
CALLS = """
    SELECT llm_calls.*, spans.input_messages, spans.output_messages
    FROM llm_calls
    JOIN spans ON spans.trace_id = llm_calls.trace_id AND spans.span_id = llm_calls.span_id
    WHERE llm_calls.operation_name <> 'embeddings'
    ORDER BY llm_calls.start_time
"""


@pytest.fixture(scope="module")
def peers(make_environment: Callable[..., Any]) -> Any:
    return make_environment(*PEERS, pinned=False)


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_call_of_a_vendors_program_is_there_once_with_what_it_says(
    peers: Any, openai: Endpoint, shared_processor: Any, vendor: str
) -> None:
    """As many calls as the endpoint saw, with tokens, cost, models, messages, prompt and tools."""
    before = len(shared_processor.sql(CALLS))
    peers.run(
        peers.python,
        PROGRAM,
        vendor,
        env={
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": openai.base_url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{shared_processor.http}",
        },
    )
    asked = [body for path, body in openai.requests if not path.endswith("/embeddings")]
    assert len(asked) == len(VENDORS[vendor])
    calls = shared_processor.wait_for(CALLS, rows=before + len(asked))[before:]
    assert [(call["input_tokens"], call["output_tokens"]) for call in calls] == VENDORS[vendor]
    for call, body in zip(calls, asked, strict=True):
        assert call["provider_name"] == (None if vendor in NO_PROVIDER else "openai")
        assert call["response_model"] in (None, "gpt-4o-mini", "gpt-4o-mini-2024-07-18")
        assert call["request_model"] == (
            call["response_model"] if vendor in ANSWERING_MODEL_ALONE else body["model"]
        )
        assert (call["cost_usd"] is None) == (call["input_tokens"] is None)
        assert call["cost_usd"] is None or float(call["cost_usd"]) == pytest.approx(price(call))
        said = json.loads(call["input_messages"])
        assert {part["type"] for message in said for part in message["parts"]} <= {
            "text",
            "tool_call",
            "tool_call_response",
            "uri",
        }
        assert said[-1]["parts"]
        (answered,) = json.loads(call["output_messages"])
        assert answered["role"] == "assistant"
        assert answered["parts"][0]["type"] in {"text", "tool_call"}
        assert call["prompt_version"] or call["prompt_reason"]
        if body.get("tools") and vendor not in NO_TOOLS:
            assert "get_weather" in str(call["tools_names"])
            assert call["tools_version"].startswith("tools-")
    assert ANSWER in calls[-1]["output_messages"]


def price(call: dict[str, Any]) -> float:
    """What genai-prices says."""
    usage = Usage(
        input_tokens=call["input_tokens"],
        cache_read_tokens=call["cache_read_tokens"],
        output_tokens=call["output_tokens"],
    )
    return float(calc_price(usage, "gpt-4o-mini", provider_id="openai").total_price)
