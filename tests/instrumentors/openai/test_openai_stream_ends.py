"""The span of a stream ends once: by its end, its close, an error, a cancelled task or the last reference."""

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry.trace import StatusCode

CHAT: dict[str, Any] = {
    "model": "gpt-4.1-mini",
    "messages": [{"role": "user", "content": "Capital?"}],
    "stream": True,
}
RESPONSE: dict[str, Any] = {"model": "gpt-5", "input": "Capital?", "stream": True}


def test_a6_a_stream_that_nobody_reads_has_a_span_all_the_same(
    provider: Any, program: Any, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    program.call("chat.completions.create", **CHAT)

    assert provider.sent == []
    assert span().status.status_code is StatusCode.UNSET
    assert "gen_ai.response.time_to_first_chunk" not in span().attributes


def test_a6_a_stream_left_by_break_ends_with_what_had_arrived(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    for _ in provider.client().chat.completions.create(**CHAT):
        break

    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert "gen_ai.response.finish_reasons" not in span().attributes
    assert span().status.status_code is StatusCode.UNSET


def test_a6_an_async_stream_left_by_break_ends_with_what_had_arrived(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    async def program() -> None:
        async for _ in await provider.async_client().chat.completions.create(**CHAT):
            break

    asyncio.run(program())

    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"


def test_a6_close_ends_the_span(provider: Any, instrumented: None, chat_chunks: list[Any], span: Any) -> None:
    provider.answers_stream(chat_chunks)

    stream = provider.client().chat.completions.create(**CHAT)
    next(stream)
    stream.close()

    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert span().status.status_code is StatusCode.UNSET
    assert stream.response.is_closed


def test_a6_async_close_ends_the_span(
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


def test_a6_leaving_a_with_block_early_ends_the_span(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    with provider.client().chat.completions.create(**CHAT) as stream:
        next(stream)

    assert stream.response.is_closed
    assert span().status.status_code is StatusCode.UNSET


def test_a4_an_exception_of_the_program_in_a_with_block_is_the_span_s_error_and_passes_through(
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


def test_a4_an_exception_of_the_program_in_an_async_with_block_is_the_span_s_error(
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


def test_a5_a_generator_of_the_program_that_is_closed_around_the_stream_is_no_error(
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


def test_a5_a_cancelled_task_ends_the_span_of_its_stream_and_stays_cancelled(
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


def test_a5_a_call_cancelled_before_its_answer_is_the_span_s_error(
    provider: Any, instrumented: None, span: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def program() -> None:
        asked = asyncio.Event()

        async def wait(_: Any) -> None:
            asked.set()
            await asyncio.Event().wait()

        client = provider.async_client()
        client._client._transport.handler = wait
        task = asyncio.create_task(client.chat.completions.create(**CHAT))
        await asked.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(program())

    assert span().attributes["error.type"] == "asyncio.exceptions.CancelledError"
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a7_a_call_destroyed_while_it_waits_detaches_no_context_of_another(
    provider: Any, instrumented: None, spans: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asyncio.Event()

    async def wait(_: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    client = provider.async_client()
    client._client._transport.handler = wait
    loop = asyncio.new_event_loop()
    task = loop.create_task(client.chat.completions.create(**CHAT))
    loop.run_until_complete(asked.wait())
    task._log_destroy_pending = False
    loop.close()
    del task
    gc.collect()

    assert "Failed to detach context" not in caplog.text
    assert len(spans.get_finished_spans()) == 1


def test_a7_a_stream_may_end_in_another_thread(
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


def test_a6_a_finished_stream_that_the_program_keeps_keeps_nothing_of_ours(
    provider: Any, capturing: None, instrumented: None, chat_chunks: list[Any]
) -> None:
    provider.answers_stream(chat_chunks)
    stream = provider.client().chat.completions.create(**CHAT)
    observation = stream._self_observation
    gathered = weakref.ref(observation._gathered)

    list(stream)

    assert gathered() is None
    assert set(vars(stream.response)).isdisjoint({"close", "aclose", "iter_bytes", "aiter_bytes"})


def test_a6_an_abandoned_stream_s_response_is_freed_as_without_us(
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
