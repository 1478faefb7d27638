"""A bug anywhere in our code changes nothing that the program sees, and is one line in its log.

Every function of ours that a call enters is made to raise, one after the other. Exempt are the few that make
the program's own calls: they hold nothing but those calls and guards.
"""

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel

import tupletrace.instrumentors.openai as package
from tupletrace.instrumentors.openai import OpenAIInstrumentor, batches
from tupletrace.instrumentors.openai import response as openai_response

OURS = str(Path(package.__file__).parents[1])
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Capital?"}]},
]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}, "strict": True}}
CHAT: dict[str, Any] = {"model": "m", "messages": MESSAGES, "tools": [TOOL], "temperature": 0.5}
RESPONSE: dict[str, Any] = {"model": "m", "input": "Capital?", "instructions": "Be brief."}
RUN = {"id": "run_1", "object": "thread.run", "status": "completed", "assistant_id": "a", "thread_id": "t"}
BATCH = json.dumps({"id": "batch_req_1", "custom_id": "c", "response": {"body": {"id": "c"}}}) + "\n"
FOUND = {"object": "x", "search_query": ["q"], "data": [], "has_more": False, "next_page": None}


class Answer(BaseModel):
    """What `parse` is to make of the answer."""

    city: str


class Broken(Exception):
    """A bug of ours."""


def shown(result: Any) -> Any:
    if isinstance(result, list):
        return [shown(one) for one in result]
    return type(result), repr(result) if isinstance(result, openai.BaseModel) else None


# name: what is answered (JSON, or a list of events), and what the program does
KINDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "chat": ("completion", lambda p: p.call("chat.completions.create", **CHAT)),
    "chat, raw": (
        "completion",
        lambda p: p.call("chat.completions.with_raw_response.create", **CHAT).parse(),
    ),
    "chat, streamed": ("chat_chunks", lambda p: p.read("chat.completions.create", **CHAT, stream=True)),
    "chat, streamed raw": (
        "chat_chunks",
        lambda p: p.read_raw("chat.completions.with_raw_response.create", **CHAT, stream=True),
    ),
    "chat, helper": ("chat_chunks", lambda p: p.read_helper("chat.completions.stream", **CHAT)),
    "chat, helper left": ("chat_chunks", lambda p: p.read_helper("chat.completions.stream", 1, **CHAT)),
    "chat, parsed": (
        "parsed",
        lambda p: p.call("chat.completions.parse", model="m", messages=MESSAGES, response_format=Answer),
    ),
    "chat, parsed in vain": (
        "completion",
        lambda p: p.call("chat.completions.parse", model="m", messages=MESSAGES, response_format=Answer),
    ),
    "chat, refused": ("refused", lambda p: p.call("chat.completions.create", **CHAT)),
    "responses": ("response", lambda p: p.call("responses.create", **RESPONSE)),
    "responses, streamed": ("response_events", lambda p: p.read("responses.create", **RESPONSE, stream=True)),
    "responses, helper": ("response_events", lambda p: p.read_helper("responses.stream", **RESPONSE)),
    "responses, fetched": ("response", lambda p: p.call("responses.retrieve", response_id="resp_1")),
    "responses, made in the background": (
        "background",
        lambda p: p.call("responses.retrieve", response_id="resp_1"),
    ),
    "completions": ("text_completion", lambda p: p.call("completions.create", model="m", prompt="Capital?")),
    "embeddings": ("embeddings", lambda p: p.call("embeddings.create", model="m", input="Capital?")),
    "images": ("images", lambda p: p.call("images.generate", model="m", prompt="Paris")),
    "posted": (
        "completion",
        lambda p: p.call(
            "post", path="/chat/completions", cast_to=ChatCompletion, body={"model": "m", "messages": []}
        ),
    ),
    "speech": ("embeddings", lambda p: p.call("audio.speech.create", model="m", voice="v", input="Paris")),
    "moderations": ("moderation", lambda p: p.call("moderations.create", input="Paris")),
    "search": ("found", lambda p: p.call("vector_stores.search", vector_store_id="vs_1", query="q")),
    "runs": ("run", lambda p: p.call("beta.threads.runs.create_and_poll", thread_id="t", assistant_id="a")),
    "runs, fetched": (
        "run",
        lambda p: p.call("beta.threads.runs.retrieve", run_id="r", thread_id="t"),
    ),
    "batches": ("batch", lambda p: p.call("files.content", file_id="file_1").text),
}
ASYNC_TOO = ("chat", "chat, streamed", "chat, streamed raw", "chat, helper", "search", "runs", "batches")
"""Kinds whose async twin enters other functions of ours; the rest would be tried twice."""


@pytest.fixture
def answers(completion: Any, chat_chunks: Any, response: Any, response_events: Any) -> dict[str, Any]:
    choice = completion["choices"][0]
    message = choice["message"] | {"content": '{"city": "Paris"}'}
    return {
        "completion": completion,
        "chat_chunks": chat_chunks,
        "parsed": completion | {"choices": [choice | {"message": message}]},
        "response": response,
        "response_events": response_events,
        "background": response | {"background": True},
        "text_completion": completion | {"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]},
        "embeddings": {"object": "list", "model": "m", "data": [{"embedding": [0.1], "index": 0}]},
        "images": {"created": 1, "data": [{"b64_json": "AAAA"}], "usage": {"input_tokens": 1}},
        "moderation": {"id": "modr_1", "model": "m", "results": []},
        "found": FOUND,
        "run": RUN,
    }


def answer(provider: Any, name: str, answers: dict[str, Any]) -> None:
    provider.answers.clear()
    if name == "refused":
        provider.answers_json({"error": {"message": "no"}}, status=400)
    elif name == "batch":
        provider.answers.append(lambda _: provider.http.Response(200, content=BATCH.encode()))
    elif isinstance(answers[name], list):
        provider.answers_stream(answers[name])
    else:
        provider.answers_json(answers[name])


EXEMPT = (
    "Patches.wrap",
    "synchronous.",
    "asynchronous.",
    "outermost.",
    "paginated.",
    "posted.",
    "warning_first.",
    "_awaited",
    "guard.",
    "Call.__init__",
    "Call.start",
    "Call.leave",
    "Call.returned",
    "Call.fail",
    "Call._stop",
    "Observed",
    "Observation.",
    "closing.",
    "async_closing.",
    "_closed",
    "_reading.",
    "_async_reading.",
    "_noted",
    "_async_noted",
    "_within_telemetry",
)
"""What calls the program's functions, or is called where they are: what the guards are around is tried."""


def is_exempt(frame: FrameType) -> bool:
    name = frame.f_code.co_qualname
    return name.startswith(EXEMPT) or name.endswith("<genexpr>")


class Fault:
    """Raises on entering a function of ours from where it was not entered before."""

    def __init__(self, tried: set[Any]) -> None:
        self._tried, self.where = tried, ""

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if not frame.f_code.co_filename.startswith(OURS) or is_exempt(frame):
            return
        caller = frame.f_back
        place = frame.f_code, caller and caller.f_code, caller and caller.f_lineno
        if place not in self._tried:
            self._tried.add(place)
            self.where = f"{Path(frame.f_code.co_filename).name}: {frame.f_code.co_qualname}"
            raise Broken(self.where)


def outcome(provider: Any, program: Any, kind: str, answers: dict[str, Any], fault: Fault | None) -> Any:
    name, do = KINDS[kind]
    answer(provider, name, answers)
    batches._told.clear()
    openai_response._told.clear()
    sys.settrace(fault)
    try:
        return shown(do(program))
    except Exception as error:  # noqa: BLE001 - whatever the program sees
        return type(error), str(error), type(error.__cause__), type(error.__context__)
    finally:
        sys.settrace(None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a9_no_function_of_ours_that_raises_changes_what_the_program_sees(
    provider: Any,
    capturing: None,
    program: Any,
    answers: dict[str, Any],
    kind: str,
    tracer_provider: TracerProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # What tests before left open is closed now, not while functions are counted.
    gc.collect()
    if program.asynchronous and kind not in ASYNC_TOO:
        pytest.skip("tried in its sync twin")
    monkeypatch.delenv("TUPLETRACE_RAISE_ERRORS")
    OpenAIInstrumentor().uninstrument()
    undisturbed = outcome(provider, program, kind, answers, None)
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    program = type(program)(provider)  # a client keeps the raw methods that it has given out
    outcome(provider, program, kind, answers, None)
    tried: set[Any] = set()
    found: list[str] = []
    while True:
        monkeypatch.setattr("tupletrace.instrumentors.firewall._reported", set())
        caplog.clear()
        fault = Fault(tried)
        disturbed = outcome(provider, program, kind, answers, fault)
        if not fault.where:
            break
        lines = len([record for record in caplog.records if record.name == "tupletrace"])
        if disturbed != undisturbed or lines != 1 or "Failed to detach" in caplog.text:
            found.append(f"{fault.where}: {lines} lines, {'changed' if disturbed != undisturbed else 'same'}")

    assert "\n".join(found) == ""
    assert len(tried) > 5
