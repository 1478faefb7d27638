"""The program never notices: arguments, results and errors are what they are without us."""

import copy
import inspect
import logging
import subprocess
import sys
from typing import Any

import openai
import pytest
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.embeddings import Embeddings
from openai.resources.responses import Responses

from tupletrace.instrumentors.openai import OpenAIInstrumentor

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Capital?"}]}


def test_a3_arguments_are_not_touched(provider: Any, program: Any, completion: dict[str, Any]) -> None:
    provider.answers_json(completion)
    kwargs = {
        "model": "m",
        "messages": [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "extra_body": {"top_k": 4},
        "extra_headers": {"x-a": "b"},
    }
    before = copy.deepcopy(kwargs)

    program.call("chat.completions.create", **kwargs)

    assert kwargs == before
    assert provider.requests[0] == before["extra_body"] | {
        name: before[name] for name in ("model", "messages", "tools")
    }


def test_a3_iterators_are_left_to_the_client(
    provider: Any, instrumented: None, completion: dict[str, Any]
) -> None:
    provider.answers_json(completion)

    provider.client().chat.completions.create(model="m", messages=iter(CHAT["messages"]))

    assert provider.requests[0]["messages"] == CHAT["messages"]


def test_a8_the_result_is_the_very_type_and_copies_and_compares_as_before(
    provider: Any, program: Any, completion: dict[str, Any]
) -> None:
    provider.answers_json(completion)

    result = program.call("chat.completions.create", **CHAT)

    assert type(result) is openai.types.chat.ChatCompletion
    assert copy.deepcopy(result) == result


def test_a8_a_stream_can_be_copied_as_before(
    provider: Any, instrumented: None, chat_chunks: list[Any]
) -> None:
    provider.answers_stream(chat_chunks)

    stream = provider.client().chat.completions.create(**CHAT, stream=True)

    assert type(copy.copy(stream)) is openai.Stream


def test_missing_arguments_are_refused_as_before(provider: Any, instrumented: None) -> None:
    with pytest.raises(TypeError, match="Missing required arguments"):
        provider.client().chat.completions.create(model="m")
    with pytest.raises(TypeError, match="Missing required arguments"):
        provider.async_client().chat.completions.create(model="m")


def test_nothing_happens_before_a_coroutine_is_awaited(provider: Any, instrumented: None, spans: Any) -> None:
    coroutine = provider.async_client().embeddings.create(model="m", input="text")

    assert inspect.iscoroutine(coroutine)
    assert provider.requests == []
    with pytest.warns(RuntimeWarning, match="never awaited"):
        del coroutine
    assert spans.get_finished_spans() == ()


def test_a4_an_error_of_the_client_s_is_raised_as_it_is(provider: Any, instrumented: None) -> None:
    provider.refuses()

    with pytest.raises(openai.APIConnectionError) as raised:
        provider.client().chat.completions.create(**CHAT)

    assert type(raised.value.__cause__).__name__ == "ConnectError"
    frames = [frame.filename for frame in inspect.getinnerframes(raised.value.__traceback__)]
    assert "/openai/" in frames[-1]
    assert "tupletrace" not in frames[-1]


def test_a8_methods_keep_their_names_and_signatures(instrumented: None) -> None:
    assert Completions.create.__name__ == "create"
    assert Completions.create.__module__ == "openai.resources.chat.completions.completions"
    assert "messages" in inspect.signature(Completions.create).parameters
    assert inspect.signature(Embeddings.create) is not None


def test_a12_uninstrument_puts_back_the_very_methods_and_instrumenting_twice_is_harmless(
    tracer_provider: Any, provider: Any, completion: dict[str, Any], spans: Any
) -> None:
    def methods() -> list[Any]:
        return [
            vars(resource).get(method)
            for resource in (Completions, AsyncCompletions, Responses, Embeddings)
            for method in ("create", "parse")
        ]

    provider.answers_json(completion)
    before = methods()
    for _ in range(3):
        OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
        OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
        provider.client().chat.completions.create(**CHAT)
        OpenAIInstrumentor().uninstrument()

    assert all(now is then for now, then in zip(methods(), before, strict=True))
    assert len(spans.get_finished_spans()) == 3


def test_a_raw_wrapper_that_the_client_has_cached_goes_silent_too(
    tracer_provider: Any, provider: Any, completion: dict[str, Any], spans: Any
) -> None:
    provider.answers_json(completion)
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    create = provider.client().chat.completions.with_raw_response.create
    create(**CHAT)
    OpenAIInstrumentor().uninstrument()

    assert create(**CHAT).parse().id == "chatcmpl-1"
    assert len(spans.get_finished_spans()) == 1


def test_a13_a_program_that_does_not_use_the_client_does_not_import_it() -> None:
    program = """
import sys
from tupletrace.instrumentors.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument()
assert "openai" not in sys.modules
import openai
assert "openai.resources.audio" not in sys.modules
openai.resources.chat.completions.Completions.create.__wrapped__.__wrapped__
"""
    subprocess.run([sys.executable, "-c", program], check=True)


SPAN_HOOKS = [
    "tupletrace.instrumentors.inference.Telemetry.inference",
    "tupletrace.instrumentors.inference._Inference._apply_finish",
    "opentelemetry.util.genai.invocation.InferenceInvocation.stop",
    "opentelemetry.util.genai.invocation.InferenceInvocation.fail",
    "opentelemetry.util.genai.invocation.InferenceInvocation.record_stream_chunk",
    "opentelemetry.sdk.trace.Tracer.start_span",
    "opentelemetry.sdk.trace.Span.set_attributes",
    "opentelemetry.sdk.trace.Span.set_status",
    "opentelemetry.sdk.trace.Span.end",
]


@pytest.mark.parametrize("hook", SPAN_HOOKS)
def test_a9_a_fault_below_us_is_logged_once_and_changes_no_result(
    provider: Any,
    capturing: None,
    program: Any,
    completion: dict[str, Any],
    chat_chunks: list[Any],
    hook: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("TUPLETRACE_RAISE_ERRORS")
    monkeypatch.setattr("tupletrace.instrumentors.firewall._reported", set())
    monkeypatch.setattr(hook, broken)
    messages = [{"role": "system", "content": "Be brief."}, *CHAT["messages"]]
    tools = [{"type": "function", "function": {"name": "f", "strict": True}}]
    kwargs: dict[str, Any] = {"model": "m", "messages": messages, "tools": tools, "temperature": 0.5}
    provider.answers_json(completion)
    provider.answers_stream(chat_chunks)
    provider.answers_stream(chat_chunks)
    provider.answers_json(completion)
    provider.answers_stream(chat_chunks)
    provider.answers_json({"error": {"message": "no"}}, status=400)

    assert program.call("chat.completions.create", **kwargs).choices[0].message.content == "Paris."
    assert len(program.read("chat.completions.create", **kwargs, stream=True)) == 5
    program.read_helper("chat.completions.stream", 1, **kwargs)
    raw = program.call("chat.completions.with_raw_response.create", **kwargs)
    assert raw.parse().id == "chatcmpl-1"
    assert len(program.read_raw("chat.completions.with_raw_response.create", **kwargs, stream=True)) == 5
    with pytest.raises(openai.BadRequestError) as raised:
        program.call("chat.completions.create", **kwargs)
    assert raised.value.__cause__ is None
    assert "Failed to detach" not in caplog.text
    reports = [record for record in caplog.records if record.name == "tupletrace"]
    assert len({record.getMessage() for record in reports}) == len(reports)
    assert reports


class Broken(Exception):
    """A bug of ours."""


def broken(*args: Any, **kwargs: Any) -> Any:
    raise Broken("a bug of ours")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a5_what_is_to_stop_the_program_stops_it_and_ends_the_span(
    provider: Any, instrumented: None, span: Any, kind: type[BaseException]
) -> None:
    def answer(_: bool) -> Any:
        raise kind

    provider.answers.append(answer)

    with pytest.raises(kind):
        provider.client().chat.completions.create(**CHAT)

    assert span().attributes["error.type"] == kind.__name__


def test_a9_hostile_arguments_are_the_client_s_to_refuse(
    provider: Any, capturing: None, instrumented: None, completion: dict[str, Any], spans: Any
) -> None:
    provider.answers_json(completion)
    recursive: dict[str, Any] = {"role": "system"}
    recursive["content"] = [recursive]

    with pytest.raises((ValueError, RecursionError)):
        provider.client().chat.completions.create(model="m", messages=[recursive])

    assert len(spans.get_finished_spans()) == 1


def test_an_answer_that_breaks_the_schema_is_read_as_far_as_it_goes(
    provider: Any, program: Any, facts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    provider.answers_json(
        {
            "id": 7,
            "model": "m-1",
            "choices": [{"finish_reason": None}, None, 3],
            "usage": {"prompt_tokens": "many", "completion_tokens": 2.0, "prompt_tokens_details": 5},
        }
    )

    program.call("chat.completions.create", **CHAT)

    assert facts()["gen_ai.response.model"] == "m-1"
    assert facts()["gen_ai.usage.output_tokens"] == 2
    assert "gen_ai.usage.input_tokens" not in facts()
    assert "gen_ai.response.id" not in facts()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
