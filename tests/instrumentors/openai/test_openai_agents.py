"""Agents that the provider runs: a span for each turn of a session whose events the program reads."""

from typing import Any

import openai
import pytest

from tupletrace.instrumentors.openai import OpenAIInstrumentor
from tupletrace.instrumentors.openai import response as openai_response

pytest.importorskip("openai.resources.beta.agents")
CANARY = "kanarienvogel"
USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 42,
}


def turn(identity: str, state: str, **said: Any) -> dict[str, Any]:
    """Return the event of a turn's state."""
    about = {"id": identity, "agent_id": "agent_1", "session_id": "sess_1", "status": state, **said}
    return {
        "type": f"agent.session.turn.{state}",
        "event_id": f"{identity} {state}",
        "session_id": "sess_1",
        "turn_id": identity,
        "turn": about | {"object": "agent.session.turn", "created_at": 1},
    }


EVENTS = [
    turn("turn_1", "created"),
    {"type": "agent.session.turn.output_text.delta", "event_id": "e", "turn_id": "turn_1", "delta": CANARY},
    turn("turn_2", "created", subagent_id="sub_1"),
    turn("turn_2", "failed", subagent_id="sub_1", error={"code": "server_overloaded", "message": CANARY}),
    turn("turn_1", "completed", usage=USAGE),
    turn("turn_3", "created"),
]


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    openai_response._told.clear()


def read(program: Any) -> list[str]:
    return [repr(event) for event in program.read("beta.agents.sessions.events.stream", session_id="sess_1")]


def test_each_turn_is_a_span_with_the_tokens_that_its_last_event_tells(
    provider: Any, program: Any, spans: Any
) -> None:
    provider.answers_stream(EVENTS)

    events = read(program)

    assert len(events) == len(EVENTS)
    failed, completed, left = spans.get_finished_spans()
    assert failed.attributes["error.type"] == "server_overloaded"
    assert "gen_ai.usage.input_tokens" not in failed.attributes
    facts = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.response.id": "turn_1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.agent.id": "agent_1",
        "gen_ai.conversation.id": "sess_1",
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 8,
        "gen_ai.usage.reasoning.output_tokens": 0,
    }
    assert {name: completed.attributes.get(name) for name in facts} == facts
    assert "gen_ai.response.id" not in left.attributes
    assert not [span for span in (failed, completed, left) if CANARY in span.to_json()]

    spans.clear()
    provider.answers_stream(EVENTS)
    read(program)
    assert not [one for one in spans.get_finished_spans() if "gen_ai.usage.input_tokens" in one.attributes]


def test_the_program_reads_what_it_would_read_without_us(
    provider: Any, tracer_provider: Any, spans: Any
) -> None:
    def outcome() -> Any:
        provider.answers.clear()
        provider.answers_stream(EVENTS, breaks=True)
        stream = provider.client().beta.agents.sessions.events.stream("sess_1")
        seen = [type(stream), next(stream), *(next(iter(stream)) for _ in range(2))]
        with pytest.raises((provider.http.ReadError, openai.APIConnectionError)) as raised:
            list(stream)
        return repr(seen), type(raised.value), str(raised.value)

    before = outcome()
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    try:
        assert outcome() == before
    finally:
        OpenAIInstrumentor().uninstrument()
    assert len(spans.get_finished_spans()) == 3


def test_a_session_that_is_begun_with_a_stream_says_which_model_was_asked_for(
    provider: Any, program: Any, spans: Any
) -> None:
    provider.answers_stream(EVENTS[-2:-1])

    program.read(
        "beta.agents.sessions.create",
        agent={"model": "gpt-5"},
        environment={"type": "none"},
        input="a",
        stream=True,
    )

    (span,) = spans.get_finished_spans()
    assert span.name == "invoke_agent gpt-5"
    assert span.attributes["gen_ai.usage.output_tokens"] == 12
