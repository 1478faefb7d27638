"""A stream stays what it was, is read as lazily as before, and its span ends once, whoever ends it."""

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

CHAT: dict[str, Any] = {
    "model": "gpt-4.1-mini",
    "messages": [{"role": "user", "content": "Capital?"}],
    "stream": True,
}
RESPONSE: dict[str, Any] = {"model": "gpt-5", "input": "Capital?", "stream": True}


def test_a_chat_stream_read_to_its_end_says_what_the_answer_would_have_said(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    provider.answers_stream(chat_chunks)

    chunks = program.read("chat.completions.create", **CHAT, stream_options={"include_usage": True})

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Paris."
    assert facts().pop("gen_ai.response.time_to_first_chunk") > 0
    assert {name: value for name, value in facts().items() if "time_to" not in name} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4.1-mini",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-4.1-mini-2025-04-14",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 16,
        "openai.api.type": "chat_completions",
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_44",
        "server.address": "api.openai.com",
        "server.port": 443,
    }


def test_a_response_stream_says_what_its_last_event_says(
    provider: Any, program: Any, response_events: list[Any], facts: Any
) -> None:
    provider.answers_stream(response_events)

    events = program.read("responses.create", **RESPONSE)

    assert events[-1].type == "response.completed"
    assert facts()["gen_ai.response.id"] == "resp_1"
    assert facts()["gen_ai.response.model"] == "gpt-5-2025-08-07"
    assert facts()["gen_ai.response.finish_reasons"] == ("stop",)
    assert facts()["gen_ai.usage.input_tokens"] == 30
    assert facts()["gen_ai.usage.reasoning.output_tokens"] == 0
    assert facts()["openai.response.service_tier"] == "default"
    assert facts()["gen_ai.request.stream"] is True
    assert facts()["gen_ai.response.time_to_first_chunk"] > 0


def test_a_legacy_completion_stream_has_its_facts(provider: Any, program: Any, facts: Any) -> None:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "instruct-1"}
    provider.answers_stream(
        [
            head | {"choices": [{"index": 0, "text": "Par", "finish_reason": None, "logprobs": None}]},
            head | {"choices": [{"index": 0, "text": "is", "finish_reason": "length", "logprobs": None}]},
            "[DONE]",
        ]
    )

    program.read("completions.create", model="instruct", prompt="Capital?", stream=True)

    assert facts()["gen_ai.response.finish_reasons"] == ("length",)
    assert facts()["gen_ai.response.model"] == "instruct-1"


def test_usage_that_the_program_did_not_ask_for_stays_absent(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    provider.answers_stream([chunk for chunk in chat_chunks if "usage" not in chunk])

    program.read("chat.completions.create", **CHAT)

    assert "stream_options" not in provider.requests[0]
    assert [name for name in facts() if "usage" in name] == []


def test_usage_in_groq_s_own_field_is_found(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    chunks = [chunk for chunk in chat_chunks if "usage" not in chunk]
    chunks[-2]["x_groq"] = {"id": "req_1", "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    provider.answers_stream(chunks)

    program.read("chat.completions.create", **CHAT)

    assert (facts()["gen_ai.usage.input_tokens"], facts()["gen_ai.usage.output_tokens"]) == (9, 2)


def test_azure_s_first_chunk_without_id_and_model_hides_neither(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    first = {"id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": []}
    provider.answers_stream([first, *chat_chunks])

    program.read("chat.completions.create", **CHAT)

    assert facts()["gen_ai.response.id"] == "chatcmpl-1"
    assert facts()["gen_ai.response.model"] == "gpt-4.1-mini-2025-04-14"


def test_each_choice_of_a_stream_has_its_finish_reason(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    second = chat_chunks[3] | {"choices": [{"index": 1, "delta": {}, "finish_reason": "tool_calls"}]}
    provider.answers_stream([second, *chat_chunks])

    program.read("chat.completions.create", **CHAT, n=2)

    assert facts()["gen_ai.response.finish_reasons"] == ("stop", "tool_call")


def test_the_stream_is_the_client_s_own_to_the_program(
    provider: Any, program: Any, chat_chunks: list[Any]
) -> None:
    provider.answers_stream(chat_chunks)

    stream = program.call("chat.completions.create", **CHAT)

    kind = openai.AsyncStream if program.asynchronous else openai.Stream
    assert isinstance(stream, kind)
    assert stream.__class__ is kind
    assert stream.response.status_code == 200


def test_nothing_is_read_before_the_program_reads(
    provider: Any, instrumented: None, chat_chunks: list[Any], spans: Any
) -> None:
    provider.answers_stream(chat_chunks)

    stream = provider.client().chat.completions.create(**CHAT)

    assert provider.sent == []
    next(stream)
    assert len(provider.sent) == 1
    assert spans.get_finished_spans() == ()


def test_a_stream_that_nobody_reads_has_a_span_all_the_same(
    provider: Any, program: Any, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    program.call("chat.completions.create", **CHAT)

    assert provider.sent == []
    assert span().status.status_code is StatusCode.UNSET
    assert "gen_ai.response.time_to_first_chunk" not in span().attributes


def test_a_stream_left_by_break_ends_with_what_had_arrived(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    for _ in provider.client().chat.completions.create(**CHAT):
        break

    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert "gen_ai.response.finish_reasons" not in span().attributes
    assert span().status.status_code is StatusCode.UNSET


def test_an_async_stream_left_by_break_ends_with_what_had_arrived(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    async def program() -> None:
        async for _ in await provider.async_client().chat.completions.create(**CHAT):
            break

    asyncio.run(program())

    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"


def test_close_ends_the_span(provider: Any, instrumented: None, chat_chunks: list[Any], span: Any) -> None:
    provider.answers_stream(chat_chunks)

    stream = provider.client().chat.completions.create(**CHAT)
    next(stream)
    stream.close()

    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert span().status.status_code is StatusCode.UNSET
    assert stream.response.is_closed


def test_async_close_ends_the_span(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    async def program() -> Any:
        stream = await provider.async_client().chat.completions.create(**CHAT)
        await anext(stream)
        await stream.close()
        return stream

    stream = asyncio.run(program())

    assert span().status.status_code is StatusCode.UNSET
    assert stream.response.is_closed


def test_closing_the_response_itself_ends_the_span(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    stream = provider.client().chat.completions.create(**CHAT)
    next(stream)
    stream.response.close()

    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert "close" not in vars(stream.response)


def test_closing_the_response_of_an_async_stream_ends_the_span(
    provider: Any, instrumented: None, chat_chunks: list[Any], spans: Any
) -> None:
    provider.answers_stream(chat_chunks)

    async def program() -> int:
        stream = await provider.async_client().chat.completions.create(**CHAT)
        await anext(stream)
        await stream.response.aclose()
        return len(spans.get_finished_spans())

    assert asyncio.run(program()) == 1


def test_leaving_a_with_block_early_ends_the_span(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    with provider.client().chat.completions.create(**CHAT) as stream:
        next(stream)

    assert stream.response.is_closed
    assert span().status.status_code is StatusCode.UNSET


def test_an_exception_of_the_program_in_a_with_block_is_the_span_s_error_and_passes_through(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)
    mine = ValueError("a secret of the answer")

    def program() -> None:
        with provider.client().chat.completions.create(**CHAT) as stream:
            for _ in stream:
                raise mine

    with pytest.raises(ValueError, match="secret") as raised:
        program()

    assert raised.value is mine
    assert mine.__cause__ is None
    assert mine.__context__ is None
    assert span().attributes["error.type"] == "ValueError"
    assert "secret" not in span().to_json()


def test_an_exception_of_the_program_in_an_async_with_block_is_the_span_s_error(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    async def program() -> None:
        async with await provider.async_client().chat.completions.create(**CHAT) as stream:
            async for _ in stream:
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(program())

    assert span().attributes["error.type"] == "KeyError"


def test_a_generator_of_the_program_that_is_closed_around_the_stream_is_no_error(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    def answer() -> Iterator[Any]:
        with provider.client().chat.completions.create(**CHAT) as stream:
            yield from stream

    generator = answer()
    next(generator)
    generator.close()

    assert span().status.status_code is StatusCode.UNSET


def test_a_connection_lost_in_the_middle_is_the_span_s_error_beside_what_had_arrived(
    provider: Any, program: Any, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks[:2], breaks=True)

    with pytest.raises(Exception, match=r"cut|Connection error") as raised:
        program.read("chat.completions.create", **CHAT)

    assert span().status.status_code is StatusCode.ERROR
    assert span().attributes["error.type"].endswith(type(raised.value).__name__)
    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"


def test_an_error_sent_inside_the_stream_is_the_span_s_error(
    provider: Any, program: Any, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream([chat_chunks[0], {"error": {"message": "overloaded"}}])

    with pytest.raises(openai.APIError, match="overloaded"):
        program.read("chat.completions.create", **CHAT)

    assert span().attributes["error.type"] == "openai.APIError"


@pytest.mark.parametrize(
    "last",
    [
        {"type": "error", "code": "rate_limit_exceeded", "message": "a secret", "param": None},
        {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}},
    ],
    ids=["error event", "response.failed"],
)
def test_a_response_that_fails_while_it_streams_is_an_error_with_its_code(
    provider: Any,
    program: Any,
    response: dict[str, Any],
    response_events: list[Any],
    span: Any,
    last: dict[str, Any],
) -> None:
    if "response" in last:
        last = {"type": last["type"], "response": response | last["response"] | {"status": "failed"}}
    provider.answers_stream([*response_events[:3], last | {"sequence_number": 3}])

    events = program.read("responses.create", **RESPONSE)

    assert events[-1].type == last["type"]
    assert span().status.status_code is StatusCode.ERROR
    assert span().attributes["error.type"] == "rate_limit_exceeded"
    assert span().attributes["gen_ai.response.id"] == "resp_1"


def test_a_cancelled_task_ends_the_span_of_its_stream_and_stays_cancelled(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    async def program() -> None:
        stream = await provider.async_client().chat.completions.create(**CHAT)
        await anext(stream)
        task = asyncio.create_task(read_forever(stream))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def read_forever(stream: Any) -> None:
        await asyncio.Event().wait()
        await anext(stream)

    asyncio.run(program())

    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"


def test_a_call_cancelled_before_its_answer_is_the_span_s_error(
    provider: Any, instrumented: None, span: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def program() -> None:
        async def wait(_: Any) -> None:
            await asyncio.Event().wait()

        client = provider.async_client()
        client._client._transport.handler = wait
        await asyncio.wait_for(client.chat.completions.create(**CHAT), timeout=0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(program())

    assert span().attributes["error.type"] == "asyncio.exceptions.CancelledError"
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_call_destroyed_while_it_waits_detaches_no_context_of_another(
    provider: Any, instrumented: None, spans: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def wait(_: Any) -> None:
        await asyncio.Event().wait()

    client = provider.async_client()
    client._client._transport.handler = wait
    loop = asyncio.new_event_loop()
    task = loop.create_task(client.chat.completions.create(**CHAT))
    loop.run_until_complete(asyncio.sleep(0.01))
    task._log_destroy_pending = False
    loop.close()
    del task
    gc.collect()

    assert "Failed to detach context" not in caplog.text
    assert len(spans.get_finished_spans()) == 1


@pytest.mark.parametrize("reads", [None, 2], ids=["read to the end", "left early"])
@pytest.mark.parametrize("loaded", [False, True], ids=["sent piece by piece", "there at once"])
def test_the_stream_helpers_are_one_span_with_the_stream_s_facts(
    provider: Any,
    program: Any,
    chat_chunks: list[Any],
    response_events: list[Any],
    spans: Any,
    reads: int | None,
    loaded: bool,
) -> None:
    answers = provider.answers_loaded_stream if loaded else provider.answers_stream
    answers(chat_chunks)
    answers(response_events)

    program.read_helper("chat.completions.stream", reads, model="gpt-4.1", messages=CHAT["messages"])
    program.read_helper("responses.stream", reads, model="gpt-5", input="Capital?")

    chat, answered = (span.attributes for span in spans.get_finished_spans())
    assert chat["gen_ai.response.id"] == "chatcmpl-1"
    assert answered["gen_ai.response.id"] == "resp_1"
    assert chat["gen_ai.request.stream"] is answered["gen_ai.request.stream"] is True
    assert ("gen_ai.usage.input_tokens" in answered) is (reads is None)
    assert not [name for name in chat if name.startswith("gen_ai.request.") and "omit" in str(chat[name])]


def test_the_caller_s_context_is_its_own_before_while_and_after_streaming(
    provider: Any, instrumented: None, chat_chunks: list[Any]
) -> None:
    provider.answers_stream(chat_chunks)
    before = trace.get_current_span()

    stream = provider.client().chat.completions.create(**CHAT)

    assert trace.get_current_span() is before
    assert all(trace.get_current_span() is before for _ in stream)
    assert trace.get_current_span() is before


def test_a_stream_may_end_in_another_thread(
    provider: Any,
    instrumented: None,
    chat_chunks: list[Any],
    span: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.answers_stream(chat_chunks)
    stream = provider.client().chat.completions.create(**CHAT)

    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    reader.join()

    assert span().attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert "Failed to detach context" not in caplog.text


def test_a_finished_stream_that_the_program_keeps_keeps_nothing_of_ours(
    provider: Any, capturing: None, instrumented: None, chat_chunks: list[Any]
) -> None:
    provider.answers_stream(chat_chunks)
    stream = provider.client().chat.completions.create(**CHAT)
    observation = stream._self_observation
    gathered = weakref.ref(observation._gathered)

    list(stream)

    assert gathered() is None
    assert set(vars(stream.response)).isdisjoint({"close", "aclose", "iter_bytes", "aiter_bytes"})


def test_an_abandoned_stream_s_response_is_freed_as_without_us(
    provider: Any, instrumented: None, chat_chunks: list[Any]
) -> None:
    provider.answers_stream(chat_chunks)
    stream = provider.client().chat.completions.create(**CHAT)
    next(stream)
    response = weakref.ref(stream.response)

    del stream
    gc.collect()

    assert response() is None


def test_reading_on_after_the_end_ends_nothing_twice(
    provider: Any, instrumented: None, chat_chunks: list[Any], spans: Any
) -> None:
    provider.answers_stream(chat_chunks)
    stream = provider.client().chat.completions.create(**CHAT)

    assert len(list(stream)) == 5
    assert list(stream) == []
    stream.close()

    assert len(spans.get_finished_spans()) == 1
