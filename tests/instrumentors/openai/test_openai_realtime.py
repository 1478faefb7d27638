"""Responses over a websocket: one span each, with the tokens that its last event tells."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

CANARY = "kanarienvogel"
pytest.importorskip("websockets")
pytestmark = pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")
SESSION = {
    "type": "realtime",
    "id": "sess_1",
    "model": "gpt-realtime-2025-08-28",
    "instructions": f"Be brief, {CANARY}.",
    "tools": [{"type": "function", "name": "find", "description": "Finds.", "parameters": {}}],
}
CREATED = {"id": "resp_1", "object": "realtime.response", "status": "in_progress", "output": []}
DONE = {
    "id": "resp_1",
    "object": "realtime.response",
    "status": "completed",
    "status_details": None,
    "conversation_id": "conv_1",
    "output": [
        {
            "id": "item_1",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_audio", "transcript": CANARY}],
        }
    ],
    "usage": {
        "total_tokens": 253,
        "input_tokens": 132,
        "output_tokens": 121,
        "input_token_details": {
            "text_tokens": 119,
            "audio_tokens": 13,
            "image_tokens": 0,
            "cached_tokens": 64,
            "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
    },
}
FACTS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-realtime",
    "gen_ai.response.model": "gpt-realtime-2025-08-28",
    "gen_ai.response.id": "resp_1",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.conversation.id": "conv_1",
    "gen_ai.usage.input_tokens": 132,
    "gen_ai.usage.output_tokens": 121,
    "gen_ai.usage.cache_read.input_tokens": 64,
    "gen_ai.usage.audio.input_tokens": 13,
    "gen_ai.usage.audio.output_tokens": 91,
    "gen_ai.usage.image.input_tokens": 0,
    "openai.api.type": "realtime",
    "tupletrace.tools.names": ("find",),
}


def event(kind: str, **said: Any) -> dict[str, Any]:
    return {"type": kind, "event_id": "e", **said}


SAID = [
    event("session.created", session=SESSION),
    event("response.created", response=CREATED),
    event("response.output_audio_transcript.delta", response_id="resp_1", delta=CANARY),
    event("response.novelty", response_id="resp_1"),
    event("response.done", response=DONE),
]


@pytest.fixture
def server() -> Iterator[Any]:
    """A websocket server that says what it is told to, and closes."""
    from websockets.sync.server import serve

    said: list[dict[str, Any]] = []

    def say(connection: Any) -> None:
        for one in said:
            connection.send(json.dumps(one))

    with serve(say, "127.0.0.1", 0) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        said_to = f"127.0.0.1:{listening.socket.getsockname()[1]}"
        yield said_to, said
        listening.shutdown()


def listened(server: Any, asynchronous: bool, resource: str = "realtime", **kwargs: Any) -> list[Any]:
    """Connect as a program does, and return what it is told."""
    options = {
        "api_key": "k",
        "base_url": "https://api.openai.com/v1",
        "websocket_base_url": f"ws://{server[0]}",
    }

    async def listen() -> list[Any]:
        client = openai.AsyncOpenAI(**options)
        async with getattr(client, resource).connect(**kwargs) as connection:
            return [one async for one in connection]

    if asynchronous:
        return asyncio.run(listen())
    with getattr(openai.OpenAI(**options), resource).connect(**kwargs) as connection:
        return list(connection)


both = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@both
def test_a_realtime_response_is_a_span_with_the_tokens_of_its_last_event(
    server: Any, instrumented: None, span: Any, asynchronous: bool
) -> None:
    server[1].extend(SAID)

    events = listened(server, asynchronous, model="gpt-realtime")

    assert [one.type for one in events] == [one["type"] for one in SAID]
    said = dict(span().attributes)
    assert {name: said.get(name) for name in FACTS} == FACTS
    assert said["tupletrace.prompt.provenance"] == "derived"
    assert (said["server.address"], said["server.port"]) == ("api.openai.com", 443)
    assert span().end_time > span().start_time
    assert CANARY not in span().to_json()


@both
def test_each_response_of_a_connection_is_a_span_and_one_that_never_ends_ends_with_it(
    server: Any, instrumented: None, spans: Any, asynchronous: bool
) -> None:
    failed = DONE | {
        "id": "resp_2",
        "status": "failed",
        "status_details": {"type": "failed", "error": {"code": "rate_limit_exceeded", "type": "x"}},
    }
    cut = DONE | {"id": "resp_3", "status": "incomplete", "status_details": {"reason": "max_output_tokens"}}
    server[1].extend(
        [
            *SAID,
            event("response.created", response=CREATED | {"id": "resp_2"}),
            event("response.created", response=CREATED | {"id": "resp_4"}),
            event("response.done", response=failed),
            event("response.done", response=cut),
        ]
    )

    listened(server, asynchronous, model="gpt-realtime")

    said = [dict(span.attributes) for span in spans.get_finished_spans()]
    assert [one.get("gen_ai.response.id") for one in said] == ["resp_1", "resp_2", "resp_3", None]
    assert said[1]["error.type"] == "rate_limit_exceeded"
    assert said[2]["gen_ai.response.finish_reasons"] == ("length",)
    assert "gen_ai.usage.input_tokens" not in said[3]


@both
@pytest.mark.skipif(
    not hasattr(getattr(openai.OpenAI(api_key="k"), "responses", None), "connect"),
    reason="not in this version",
)
def test_a_response_over_a_websocket_is_a_span_too(
    server: Any, instrumented: None, span: Any, response: dict[str, Any], asynchronous: bool
) -> None:
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    server[1].extend(
        [event("response.created", response=begun), event("response.completed", response=response)]
    )

    listened(server, asynchronous, "responses")

    said = dict(span().attributes)
    assert said["gen_ai.response.id"] == "resp_1"
    assert said["gen_ai.usage.cache_write.input_tokens"] == 4
    assert said["openai.api.type"] == "responses"


def test_the_content_is_there_when_it_is_asked_for(
    server: Any, capturing: None, instrumented: None, span: Any
) -> None:
    server[1].extend(SAID)

    listened(server, asynchronous=False, model="gpt-realtime")

    (message,) = json.loads(span().attributes["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": CANARY}]


def test_a9_a_bug_of_ours_leaves_the_events_as_they_are(
    server: Any, instrumented: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.delenv("TUPLETRACE_RAISE_ERRORS")
    monkeypatch.setattr("tupletrace.instrumentors.firewall._reported", set())
    monkeypatch.setattr("tupletrace.instrumentors.openai.realtime.start_inference", broken)
    server[1].extend(SAID)

    events = listened(server, asynchronous=False, model="gpt-realtime")

    assert [one.type for one in events] == [one["type"] for one in SAID]
    assert len([record for record in caplog.records if record.name == "tupletrace"]) == 1


@both
def test_what_is_heard_is_a_call_of_the_model_that_writes_it_down(
    server: Any, instrumented: None, span: Any, asynchronous: bool
) -> None:
    hears = {"audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
    usage = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
        "output_tokens": 5,
        "total_tokens": 19,
    }
    kind = "conversation.item.input_audio_transcription.completed"
    heard = event(kind, item_id="i", content_index=0, transcript=CANARY, usage=usage)
    server[1].extend([event("session.created", session=SESSION | hears), heard])

    listened(server, asynchronous, model="gpt-realtime")

    assert span().name == "generate_content gpt-4o-transcribe"
    assert span().attributes["gen_ai.usage.audio.input_tokens"] == 14
    assert span().attributes["gen_ai.usage.output_tokens"] == 5
    assert CANARY not in span().to_json()


@both
def test_what_a_live_session_delegates_is_a_span_each(
    server: Any, instrumented: None, spans: Any, asynchronous: bool
) -> None:
    pytest.importorskip("openai.resources.live")
    delegation = {"type": "responses", "responses": {"model": "gpt-5", "instructions": CANARY}}
    call = {"type": "function_call", "call_id": "c", "name": "find", "arguments": CANARY}
    head = {"id": "resp_1", "model": "gpt-5-2025-08-07", "output": [], "incomplete_details": None}
    usage = {"input_tokens": 30, "output_tokens": 12, "input_tokens_details": {"cached_tokens": 8}}
    decision = {"id": "dec_1", "model": "gpt-5-mini", "answers": [], "usage": {"input_tokens": 3}}
    nested = [
        {"type": "response.created", "response": head | {"status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": call},
        {"type": "response.completed", "response": head | {"status": "completed", "usage": usage}},
    ]
    server[1].append(event("session.started", session={"id": "live_1", "delegation": delegation}))
    server[1].extend(event("response.event", delegation_id="d", event=one) for one in nested)
    decided = {"type": "decision.completed", "decision": decision}
    server[1].append(event("decision.event", delegation_id=None, event=decided))

    listened(server, asynchronous, "live")

    responded, judged = (dict(span.attributes) for span in spans.get_finished_spans())
    assert responded["gen_ai.response.id"] == "resp_1"
    assert responded["gen_ai.response.model"] == "gpt-5-2025-08-07"
    assert responded["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert responded["gen_ai.usage.input_tokens"] == 30
    assert responded["gen_ai.usage.cache_read.input_tokens"] == 8
    assert responded["openai.api.type"] == "live"
    assert responded["tupletrace.prompt.provenance"] == "derived"
    assert (judged["gen_ai.response.id"], judged["gen_ai.usage.input_tokens"]) == ("dec_1", 3)
    assert not [span for span in spans.get_finished_spans() if CANARY in span.to_json()]
