"""Whose a call is, in every dialect: what it does not say itself is said by what it is within, or counted."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MS = 1_000_000
MINE = {"conversation_id": "c-1", "user_id": "u-1", "tags": ["blue"]}
GENAI = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20, "gen_ai.request.model": "gpt-4o"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "guide"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"} | GENAI
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"}
OPENINFERENCE = {"llm.token_count.prompt": 100, "llm.token_count.completion": 20, "llm.model_name": "gpt-4o"}

Said = dict[str, Any]
DIALECTS: dict[str, tuple[Said, Said, Said, Said]] = {
    "openinference": (
        {"session.id": "c-1", "user.id": "u-1", "tag.tags": ["blue"], "openinference.span.kind": "CHAIN"},
        {"openinference.span.kind": "AGENT", "agent.name": "guide"},
        {"openinference.span.kind": "LLM", "llm.provider": "openai"} | OPENINFERENCE,
        {"openinference.span.kind": "TOOL", "tool.name": "look"},
    ),
    "traceai": (
        {"session.id": "c-1", "user.id": "u-1", "tag.tags": ["blue"], "gen_ai.span.kind": "CHAIN"},
        {"gen_ai.span.kind": "AGENT", "gen_ai.agent.name": "guide"},
        {"gen_ai.span.kind": "LLM"} | GENAI,
        {"gen_ai.span.kind": "TOOL", "gen_ai.tool.name": "look"},
    ),
    "openllmetry": (
        {
            "traceloop.span.kind": "workflow",
            "traceloop.association.properties.session_id": "c-1",
            "traceloop.association.properties.user_id": "u-1",
            "traceloop.entity.input": json.dumps({"tags": ["blue"]}),
        },
        {"traceloop.span.kind": "agent", "traceloop.entity.name": "guide"},
        {"llm.request.type": "chat", "gen_ai.system": "OpenAI"} | GENAI,
        {"traceloop.span.kind": "tool", "traceloop.entity.name": "look"},
    ),
    "vercel": (
        {
            "ai.operationId": "ai.chain",
            "ai.telemetry.metadata.sessionId": "c-1",
            "ai.telemetry.metadata.userId": "u-1",
            "ai.telemetry.metadata.tags": ["blue"],
        },
        {"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "guide"},
        {"ai.operationId": "ai.generateText.doGenerate"} | GENAI,
        {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "look"},
    ),
    "mlflow": (
        {
            "mlflow.spanType": '"CHAIN"',
            "mlflow.trace.session": '"c-1"',
            "mlflow.trace.user": '"u-1"',
            "mlflow.traceTag.tags": '["blue"]',
        },
        {"mlflow.spanType": '"AGENT"', "name": "guide"},
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"gpt-4o"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 100, "output_tokens": 20}',
        },
        {"mlflow.spanType": '"TOOL"', "name": '"look"'},
    ),
    "langsmith": (
        {
            "langsmith.span.kind": "chain",
            "langsmith.metadata.thread_id": "c-1",
            "langsmith.metadata.user_id": "u-1",
            "langsmith.span.tags": "blue",
        },
        {"langsmith.span.kind": "chain"} | AGENT,
        {"langsmith.span.kind": "llm"} | GENAI,
        {"langsmith.span.kind": "tool"},
    ),
    "langfuse": (
        {"session.id": "c-1", "user.id": "u-1", "langfuse.trace.tags": ["blue"], "langfuse.release": "1"},
        {"langfuse.observation.type": "agent"},
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.usage_details": '{"input": 100, "output": 20}',
        },
        {"langfuse.observation.type": "tool"},
    ),
    "logfire": (
        {"logfire.span_type": "span", "session.id": "c-1", "user.id": "u-1", "tupletrace.tags": ["blue"]},
        {"logfire.span_type": "span", "agent_name": "guide"} | AGENT,
        {"logfire.span_type": "span"} | CHAT,
        {"logfire.span_type": "span"} | TOOL,
    ),
    "openlit": (
        {
            "gen_ai.application_name": "x",
            "gen_ai.session.id": "c-1",
            "gen_ai.user.id": "u-1",
            "tupletrace.tags": ["blue"],
        },
        {"gen_ai.application_name": "x"} | AGENT,
        {"gen_ai.application_name": "x"} | CHAT,
        {"gen_ai.application_name": "x"} | TOOL,
    ),
    "strands": (
        {"session.id": "c-1", "user.id": "u-1", "tag.tags": ["blue"], "gen_ai.event.start_time": "x"},
        {"gen_ai.event.start_time": "x", "gen_ai.system": "strands-agents"} | AGENT | GENAI,
        {"gen_ai.event.start_time": "x", "gen_ai.system": "strands-agents"} | CHAT,
        {"gen_ai.event.start_time": "x"} | TOOL,
    ),
    "semantic_kernel": (
        {"gen_ai.conversation.id": "c-1", "user.id": "u-1", "tupletrace.tags": ["blue"], "sk.x": "1"},
        {"sk.x": "1"} | AGENT,
        {"gen_ai.system": "openai", "gen_ai.response.finish_reason": "FinishReason.TOOL_CALLS"} | CHAT,
        TOOL,
    ),
    "genai_older": (
        {"gen_ai.conversation.id": "c-1", "user.id": "u-1", "tupletrace.tags": ["blue"]},
        AGENT,
        {"gen_ai.system": "openai", "gen_ai.operation.name": "chat"} | GENAI,
        TOOL,
    ),
}  # fmt: skip
"""The root, which says whose the trace is; an agent's run; a call and a tool, which say nothing."""


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any], otlp: Any) -> Any:
    made = open_database()
    for number, (root, agent, call, tool) in enumerate(DIALECTS.values(), 1):
        spans = [(1, None, root, 0, 90), (2, 1, agent, 1, 80), (3, 2, {}, 2, 79), (4, 3, call, 3, 9)]
        spans += [(5, 3, tool, 10, 20), (6, 3, tool, 11, 19), (7, 2, call, 30, 40)]
        made.insert(
            otlp.request(
                *(
                    otlp.span(
                        number, span, parent, said, name="guide",
                        start=otlp.noon + start * MS, end=otlp.noon + end * MS,
                    )
                    for span, parent, said, start, end in spans
                )
            )
        )  # fmt: skip
    made.store.settle(0)
    return made


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_is_whose_the_spans_around_it_say(database: Any, dialect: str) -> None:
    trace = f"{list(DIALECTS).index(dialect) + 1:032x}"
    query = "SELECT * FROM llm_calls WHERE trace_id = ? ORDER BY start_time"
    calls = database.rows(query, [trace])
    assert [call["agent_step"] for call in calls] == [0, 2], "both tools are of one step"
    for call in calls:
        assert {column: call[column] for column in MINE} == MINE
        assert call["agent_name"] == "guide"
        assert set(call["inherited"]) == {"agent_name", "agent_step", *MINE}


@pytest.mark.parametrize(
    ("view", "key", "said"),
    [
        ("agent", "agent_name", "guide"),
        ("conversation", "conversation_id", "c-1"),
        ("user", "user_id", "u-1"),
        ("tag", "tag", "blue"),
    ],
)
def test_costs_are_nobodys_in_no_dialect(database: Any, view: str, key: str, said: str) -> None:
    (spent,) = database.rows(f"FROM costs_by_{view}")
    assert (spent[key], spent["llm_calls"], spent["unpriced_calls"]) == (said, 2 * len(DIALECTS), 0)


class Trees:
    """New traces in a shared store, as (span, parent, attributes, start and end in ms)."""

    count = 5_000

    def __init__(self, database: Any, otlp: Any) -> None:
        self.database, self.otlp = database, otlp

    def insert(self, *spans: tuple[int, int | None, Said, int, int], scope: str = "", trace: int = 0) -> int:
        Trees.count += not trace
        trace = trace or Trees.count
        made = [
            self.otlp.span(
                trace, span, parent, said,
                start=self.otlp.noon + start * MS, end=self.otlp.noon + end * MS,
            )
            for span, parent, said, start, end in spans
        ]  # fmt: skip
        request = ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add(spans=made).scope.name = scope
        self.database.insert(request.SerializeToString())
        self.database.store.settle(0)
        return trace

    def calls(self, trace: int) -> list[tuple[Any, ...]]:
        """Agent, step and what was inherited, of each call."""
        query = "SELECT * FROM llm_calls WHERE trace_id = ? ORDER BY start_time"
        rows = self.database.rows(query, [f"{trace:032x}"])
        return [(row["agent_name"], row["agent_step"], row["inherited"]) for row in rows]


@pytest.fixture(scope="module")
def trees(open_database: Callable[..., Any], otlp: Any) -> Trees:
    return Trees(open_database(), otlp)


INNER = AGENT | {"gen_ai.agent.name": "clerk"}


def test_the_nearest_agent_has_the_call_and_an_agent_beside_it_has_not(trees: Trees) -> None:
    trace = trees.insert(
        (1, None, {}, 0, 99), (2, 1, AGENT, 1, 50), (3, 2, TOOL, 9, 40), (4, 3, INNER, 10, 30),
        (5, 4, CHAT, 11, 12), (6, 2, CHAT, 41, 42), (7, 1, CHAT, 60, 61),
    )  # fmt: skip
    told = ["agent_name", "agent_step"]
    assert trees.calls(trace) == [("clerk", 0, told), ("guide", 1, told), (None, None, None)]


def test_what_a_call_says_itself_stays(trees: Trees) -> None:
    own = CHAT | {"gen_ai.agent.name": "clerk", "agent.trajectory.step": 7, "user.id": "u-2"}
    trace = trees.insert(
        (1, None, {"user.id": "u-1", "session.id": "c"}, 0, 99), (2, 1, AGENT, 1, 50), (3, 2, own, 2, 3)
    )
    assert trees.calls(trace) == [("clerk", 7, ["conversation_id"])]


def test_a_call_whose_parent_did_not_come_is_below_the_only_root(trees: Trees) -> None:
    trace = trees.insert((1, None, AGENT, 0, 99), (3, 2, CHAT, 2, 3))
    assert trees.calls(trace) == [("guide", 0, ["agent_name", "agent_step"])]
    assert (
        trees.calls(trees.insert((1, None, AGENT, 0, 9), (4, None, {}, 0, 9), (3, 2, CHAT, 2, 3)))[0][0]
        is None
    )
    trees.insert((2, 1, INNER, 1, 9), trace=trace)
    assert trees.calls(trace)[0][0] == "clerk", "until it comes"


def test_an_agent_that_ends_last_still_has_its_calls(trees: Trees) -> None:
    trace = trees.insert((3, 2, CHAT, 2, 3))
    assert trees.calls(trace) == [(None, None, None)]
    trees.insert((2, None, AGENT, 1, 9), trace=trace)
    assert trees.calls(trace) == [("guide", 0, ["agent_name", "agent_step"])]


def test_a_clients_span_beside_the_frameworks_is_the_frameworks_agents(trees: Trees) -> None:
    trace = trees.insert((1, None, {}, 0, 99), (2, 1, AGENT, 1, 50), (3, 2, CHAT, 2, 20), scope="frame")
    trees.insert(
        (4, 1, CHAT | {"gen_ai.response.model": "gpt-4o-2024-08-06"}, 3, 19), scope="cli", trace=trace
    )
    assert trees.calls(trace) == [("guide", 0, ["agent_name", "agent_step"])]


def test_tools_that_only_the_agents_span_tells_are_what_its_calls_were_offered(trees: Trees) -> None:
    tools = json.dumps([{"type": "function", "name": "look", "parameters": {"type": "object"}}])
    run = AGENT | {"gen_ai.tool.definitions": tools}
    trace = trees.insert((1, None, run, 0, 99), (2, 1, CHAT, 1, 2), (3, 1, TOOL, 3, 4), (4, 1, CHAT, 5, 6))
    query = "SELECT steps, llm_calls FROM costs_by_loop WHERE trace_id = ?"
    assert trees.database.row(query, [f"{trace:032x}"]) == {"steps": 2, "llm_calls": 2}
    (layer,) = trees.database.rows(
        "SELECT name, provenance FROM trace_layers WHERE trace_id = ? AND layer = 'tools'", [f"{trace:032x}"]
    )
    assert layer == {"name": "look", "provenance": "derived"}
    both = (2, 1, CHAT | {"gen_ai.tool.definitions": tools}, 1, 2), (3, 1, CHAT, 5, 6)
    trace = trees.insert((1, None, run, 0, 99), *both)
    assert trees.database.row(query, [f"{trace:032x}"])["llm_calls"] == 1, "the other was offered none"


def test_the_loop_of_an_agent_whose_tools_nobody_tells_is_all_of_its_steps(trees: Trees) -> None:
    asks = CHAT | {"gen_ai.response.finish_reasons": ["tool_calls"]}
    trace = trees.insert((1, None, AGENT, 0, 99), (2, 1, asks, 1, 2), (3, 1, TOOL, 3, 4), (4, 1, CHAT, 5, 6))
    spent = trees.database.row("FROM costs_by_loop WHERE trace_id = ?", [f"{trace:032x}"])
    assert (spent["agent_name"], spent["steps"], spent["llm_calls"]) == ("guide", 2, 2)
    by_step = trees.database.rows("SELECT agent_step FROM costs_by_step WHERE agent_name = 'guide'")
    assert {0, 2} <= {row["agent_step"] for row in by_step}


def test_two_runs_of_one_agent_are_numbered_apart(trees: Trees) -> None:
    trace = trees.insert(
        (1, None, {}, 0, 99), (2, 1, AGENT, 1, 20), (3, 2, CHAT, 2, 3), (4, 2, CHAT, 4, 5),
        (5, 1, AGENT, 30, 50), (6, 5, CHAT, 31, 40), (7, 5, CHAT, 32, 39), (8, 5, CHAT, 41, 42),
    )  # fmt: skip
    assert [step for _, step, _ in trees.calls(trace)] == [0, 1, 0, 0, 1], "side by side is one step"
