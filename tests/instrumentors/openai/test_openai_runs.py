"""Assistants' runs: one span each, with the tokens of the finished run, however a program waits for it."""

import asyncio
import contextlib
import json
import warnings
from operator import attrgetter
from typing import Any

import pytest
from openai import AssistantEventHandler, AsyncAssistantEventHandler

from tupletrace.instrumentors.openai import OpenAIInstrumentor

CREATED: dict[str, Any] = {
    "id": "run_1",
    "object": "thread.run",
    "created_at": 1,
    "assistant_id": "asst_1",
    "thread_id": "thread_1",
    "model": "gpt-4.1-2025-04-14",
    "status": "queued",
    "usage": None,
}
FINISHED = CREATED | {
    "status": "completed",
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_token_details": {"cached_tokens": 2},
    },
}
FACTS = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.provider.name": "openai",
    "gen_ai.agent.id": "asst_1",
    "gen_ai.conversation.id": "thread_1",
    "gen_ai.response.id": "run_1",
    "gen_ai.response.model": "gpt-4.1-2025-04-14",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.usage.output_tokens": 4,
    "gen_ai.usage.cache_read.input_tokens": 2,
    "server.address": "api.openai.com",
    "server.port": 443,
}
RUNS = "beta.threads.runs"
RUN = {"thread_id": "thread_1", "run_id": "run_1"}
NEW = {"thread_id": "thread_1", "assistant_id": "asst_1"}
OUTPUTS = {"tool_outputs": [{"tool_call_id": "call_1", "output": "x"}]}
WAITS: list[Any] = [
    (f"{RUNS}.create_and_poll", NEW, [CREATED, CREATED, FINISHED]),
    ("beta.threads.create_and_run_poll", {"assistant_id": "asst_1"}, [CREATED, CREATED, FINISHED]),
    (f"{RUNS}.poll", RUN, [CREATED, FINISHED]),
    (f"{RUNS}.submit_tool_outputs", RUN | OUTPUTS, [FINISHED]),
    (f"{RUNS}.submit_tool_outputs_and_poll", RUN | OUTPUTS, [CREATED, FINISHED]),
]
STREAMS: list[Any] = [
    (f"{RUNS}.stream", NEW),
    ("beta.threads.create_and_run_stream", {"assistant_id": "asst_1"}),
    (f"{RUNS}.submit_tool_outputs_stream", RUN | OUTPUTS),
]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize(("method", "kwargs", "answers"), WAITS, ids=[method for method, *_ in WAITS])
def test_waiting_for_a_run_is_one_span_with_what_the_finished_run_says(
    provider: Any, program: Any, facts: Any, method: str, kwargs: Any, answers: Any
) -> None:
    for answer in answers:
        provider.answers_json(answer, **{"openai-poll-after-ms": "1"})

    run = program.call(method, **kwargs)

    assert run.status == "completed"
    assert facts() == FACTS


def test_a_run_that_fails_while_it_is_waited_for_is_an_error(provider: Any, program: Any, facts: Any) -> None:
    provider.answers_json(CREATED)
    provider.answers_json(
        FINISHED | {"status": "failed", "last_error": {"code": "rate_limit_exceeded", "message": "a secret"}}
    )

    program.call(f"{RUNS}.create_and_poll", **NEW)

    assert facts()["error.type"] == "rate_limit_exceeded"
    assert facts()["gen_ai.usage.input_tokens"] == 9
    assert "secret" not in str(facts())


def test_a_run_that_the_program_polls_tells_its_tokens_once(provider: Any, program: Any, spans: Any) -> None:
    run = {"id": f"run_{program.asynchronous}"}
    for answer in (CREATED, CREATED | {"status": "in_progress"}, FINISHED, FINISHED):
        provider.answers_json(answer | run)

    program.call(f"{RUNS}.create", **NEW)
    for _ in range(3):
        program.call(f"{RUNS}.retrieve", run_id=run["id"], thread_id="thread_1")

    create, first, done, again = (dict(span.attributes) for span in spans.get_finished_spans())
    assert create["gen_ai.operation.name"] == "invoke_agent"
    assert done == {
        "gen_ai.operation.name": "fetch_response",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.id": "asst_1",
        "gen_ai.conversation.id": "thread_1",
        "gen_ai.response.id": run["id"],
        "gen_ai.response.model": "gpt-4.1-2025-04-14",
        "gen_ai.response.status": "completed",
        "gen_ai.response.finish_reasons": ("stop",),
        "server.address": "api.openai.com",
        "server.port": 443,
        "tupletrace.usage.input_tokens": 9,
        "tupletrace.usage.output_tokens": 4,
        "tupletrace.usage.cache_read.input_tokens": 2,
    }
    assert not any(".usage." in name for span in (create, first, again) for name in span)


def events(provider: Any) -> None:
    said = "".join(
        f"event: thread.run.{run['status']}\ndata: {json.dumps(run)}\n\n" for run in (CREATED, FINISHED)
    )
    headers = {"content-type": "text/event-stream"}
    body = f"{said}event: done\ndata: [DONE]\n\n".encode()
    provider.answers.append(lambda _: provider.http.Response(200, content=body, headers=headers))


def read(program: Any, method: str, kwargs: dict[str, Any], *, leaves: bool = False) -> list[str]:
    """Read the events of a helper, to their end or only the first; return their names."""
    found: list[str] = []
    start = attrgetter(method)(program.client)

    def sync_read() -> None:
        with start(**kwargs) as stream:
            assert isinstance(stream, AssistantEventHandler)
            for event in stream:
                found.append(event.event)
                if leaves:
                    return

    async def async_read() -> None:
        async with start(**kwargs) as stream:
            assert isinstance(stream, AsyncAssistantEventHandler)
            async for event in stream:
                found.append(event.event)
                if leaves:
                    return

    if program.asynchronous:
        asyncio.run(async_read())
    else:
        sync_read()
    return found


@pytest.mark.parametrize(("method", "kwargs"), STREAMS, ids=[method for method, _ in STREAMS])
def test_a_run_s_stream_helper_is_one_span_with_what_the_finished_run_says(
    provider: Any, program: Any, facts: Any, method: str, kwargs: Any
) -> None:
    events(provider)

    assert read(program, method, kwargs) == ["thread.run.queued", "thread.run.completed"]

    said = facts()
    assert said.pop("gen_ai.response.time_to_first_chunk") > 0
    assert said == FACTS | {"gen_ai.request.stream": True}


def test_a_run_s_stream_helper_left_early_has_what_had_arrived(
    provider: Any, program: Any, facts: Any
) -> None:
    events(provider)

    assert read(program, f"{RUNS}.stream", NEW, leaves=True) == ["thread.run.queued"]

    assert facts()["gen_ai.response.id"] == "run_1"
    assert not [name for name in facts() if "usage" in name]


def test_an_error_before_a_run_s_stream_is_the_span_s(provider: Any, program: Any, facts: Any) -> None:
    provider.answers_json({"error": {"message": "no"}}, status=404)

    with pytest.raises(Exception, match="no"):
        read(program, f"{RUNS}.stream", NEW)

    assert facts()["error.type"] == "openai.NotFoundError"


def test_a_deprecated_method_warns_of_the_program_s_line_as_before(
    provider: Any, tracer_provider: Any
) -> None:
    provider.answers_json(FINISHED)

    def warned() -> list[tuple[str, int, str]]:
        runs = provider.client().beta.threads.runs
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            runs.create(**NEW)
            runs.poll(**RUN)
            runs.with_raw_response.create(**NEW)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with contextlib.suppress(DeprecationWarning):
                runs.poll(**RUN)
        return [(one.filename, one.lineno, str(one.message)) for one in caught]

    before = warned()
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    during = warned()
    OpenAIInstrumentor().uninstrument()

    assert during == before
    assert any("Assistants" in message for _, _, message in before)
