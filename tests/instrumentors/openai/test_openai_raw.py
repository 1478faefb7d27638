"""Raw responses: the program gets what it would get without us, and one span has the facts."""

import asyncio
import gc
import gzip
import json
from typing import Any

import openai
import pytest
from opentelemetry.trace import StatusCode

CHAT: dict[str, Any] = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Capital?"}]}
CREATE = "chat.completions.with_raw_response.create"


def test_a_raw_response_parses_to_the_answer_and_has_the_facts(
    provider: Any, program: Any, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(completion, **{"x-request-id": "req_1"})

    raw = program.call(CREATE, **CHAT)

    assert type(raw).__name__ == "LegacyAPIResponse"
    assert raw.request_id == "req_1"
    assert raw.parse().choices[0].message.content == "Paris."
    assert facts()["gen_ai.response.id"] == "chatcmpl-1"
    assert facts()["gen_ai.usage.cache_read.input_tokens"] == 0
    assert facts()["openai.response.system_fingerprint"] == "fp_44"


def test_a_raw_response_of_embeddings_has_the_facts(provider: Any, program: Any, facts: Any) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    provider.answers_json({"object": "list", "model": "small", "data": data, "usage": usage})

    program.call("embeddings.with_raw_response.create", model="small", input="text", encoding_format="float")

    assert facts()["gen_ai.usage.input_tokens"] == 4
    assert facts()["gen_ai.embeddings.dimension.count"] == 2


def test_a_raw_error_is_raised_and_is_the_span_s_error(provider: Any, program: Any, facts: Any) -> None:
    provider.answers_json({"error": {"message": "no"}}, status=404)

    with pytest.raises(openai.NotFoundError):
        program.call(CREATE, **CHAT)

    assert facts()["http.response.status_code"] == 404


def test_a_body_that_is_no_json_ends_the_span_without_facts(provider: Any, program: Any, span: Any) -> None:
    provider.answers_json("<html>")

    program.call(CREATE, **CHAT)

    assert span().status.status_code is StatusCode.UNSET
    assert "gen_ai.response.id" not in span().attributes


@pytest.mark.parametrize("loaded", [False, True], ids=["sent piece by piece", "there at once"])
def test_a_raw_stream_parses_to_the_client_s_stream_and_has_the_facts(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any, loaded: bool
) -> None:
    (provider.answers_loaded_stream if loaded else provider.answers_stream)(chat_chunks)

    raw = program.call(CREATE, **CHAT, stream=True)
    stream = raw.parse()
    chunks = asyncio.run(read_all(stream)) if program.asynchronous else list(stream)

    assert type(stream) is (openai.AsyncStream if program.asynchronous else openai.Stream)
    assert len(chunks) == 5
    assert facts()["gen_ai.response.finish_reasons"] == ("stop",)
    assert facts()["gen_ai.usage.cache_read.input_tokens"] == 16
    assert facts()["gen_ai.request.stream"] is True
    assert facts()["gen_ai.response.time_to_first_chunk"] > 0


async def read_all(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


def test_a_raw_stream_of_a_response_has_the_facts(
    provider: Any, instrumented: None, response_events: list[Any], facts: Any
) -> None:
    provider.answers_stream(response_events)

    raw = provider.client().responses.with_raw_response.create(model="m", input="Capital?", stream=True)
    for _ in raw.parse():
        pass

    assert facts()["gen_ai.response.id"] == "resp_1"
    assert facts()["gen_ai.usage.cache_write.input_tokens"] == 4


def test_a_raw_stream_that_is_never_read_ends_with_its_last_reference(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    raw = provider.client().chat.completions.with_raw_response.create(**CHAT, stream=True)
    del raw
    gc.collect()

    assert span().status.status_code is StatusCode.UNSET


def test_a_raw_stream_that_breaks_is_the_span_s_error(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks[:2], breaks=True)
    raw = provider.client().chat.completions.with_raw_response.create(**CHAT, stream=True)

    with pytest.raises(Exception, match=r"cut|Connection error"):
        list(raw.parse())

    assert span().status.status_code is StatusCode.ERROR
    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"


@pytest.mark.parametrize("reading", ["parse", "json", "read", "iter_bytes", "iter_lines", "iter_text"])
def test_a_streaming_response_is_read_by_the_program_alone_and_has_the_facts(
    provider: Any, instrumented: None, completion: dict[str, Any], facts: Any, spans: Any, reading: str
) -> None:
    body = gzip.compress(json.dumps(completion).encode())
    provider.answers.append(lambda _: gzipped(provider.http, body))

    with provider.client().chat.completions.with_streaming_response.create(**CHAT) as raw:
        assert type(raw) is openai._response.APIResponse
        assert spans.get_finished_spans() == ()
        read = getattr(raw, reading)()
        if reading.startswith("iter"):
            list(read)

    assert facts()["gen_ai.response.id"] == "chatcmpl-1"
    assert facts()["gen_ai.usage.output_tokens"] == 7


def gzipped(http: Any, body: bytes) -> Any:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    return http.Response(200, content=iter([body[:40], body[40:]]), headers=headers)


def test_an_async_streaming_response_has_the_facts(
    provider: Any, instrumented: None, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(completion)

    async def program() -> Any:
        create = provider.async_client().chat.completions.with_streaming_response.create
        async with create(**CHAT) as raw:
            return await raw.parse()

    assert asyncio.run(program()).choices[0].message.content == "Paris."
    assert facts()["gen_ai.response.id"] == "chatcmpl-1"


def test_server_sent_events_read_line_by_line_have_the_facts(
    provider: Any, instrumented: None, chat_chunks: list[Any], facts: Any
) -> None:
    provider.answers_stream(chat_chunks)

    create = provider.client().chat.completions.with_streaming_response.create
    with create(**CHAT, stream=True) as raw:
        lines = [line for line in raw.iter_lines() if line]

    assert len(lines) == 6
    assert facts()["gen_ai.response.finish_reasons"] == ("stop",)
    assert facts()["gen_ai.usage.input_tokens"] == 20


PAST: dict[str, Any] = {
    "its response's lines": lambda stream: list(stream.response.iter_lines()),
    "its response's bytes": lambda stream: stream.response.read(),
    "its own iterator": lambda stream: list(stream._iterator),
    "its own iterator, then itself": lambda stream: [next(stream._iterator), *stream],
}


@pytest.mark.parametrize("past", PAST)
def test_a_stream_that_is_read_past_itself_has_the_facts(
    provider: Any, instrumented: None, chat_chunks: list[Any], facts: Any, past: str
) -> None:
    provider.answers_stream(chat_chunks)
    stream = provider.client().chat.completions.create(**CHAT, stream=True)

    assert len(PAST[past](stream)) >= 5

    assert facts()["gen_ai.response.finish_reasons"] == ("stop",)
    assert facts()["gen_ai.usage.input_tokens"] == 20
    assert facts()["gen_ai.response.time_to_first_chunk"] > 0
    assert set(vars(stream.response)).isdisjoint({"close", "aclose", "iter_bytes", "aiter_bytes"})


def test_an_async_stream_that_is_read_past_itself_has_the_facts(
    provider: Any, instrumented: None, chat_chunks: list[Any], facts: Any
) -> None:
    provider.answers_stream(chat_chunks)

    async def program() -> list[str]:
        stream = await provider.async_client().chat.completions.create(**CHAT, stream=True)
        return [line async for line in stream.response.aiter_lines() if line]

    assert len(asyncio.run(program())) == 6
    assert facts()["gen_ai.usage.input_tokens"] == 20


def test_a_streaming_response_left_unread_ends_when_its_block_ends(
    provider: Any, instrumented: None, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    create = provider.client().chat.completions.with_streaming_response.create
    with create(**CHAT, stream=True):
        pass

    assert provider.sent == []
    assert span().status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("loaded", [False, True], ids=["sent piece by piece", "there at once"])
@pytest.mark.parametrize("way", ["with_raw_response", "with_streaming_response"])
def test_a_stream_that_is_read_as_one_text_has_the_facts(
    provider: Any, instrumented: None, chat_chunks: list[Any], facts: Any, way: str, loaded: bool
) -> None:
    (provider.answers_loaded_stream if loaded else provider.answers_stream)(chat_chunks)
    create = getattr(provider.client().chat.completions, way).create

    if way == "with_raw_response":
        assert "[DONE]" in create(**CHAT, stream=True).http_response.read().decode()
    else:
        with create(**CHAT, stream=True) as answer:
            assert "[DONE]" in answer.text()
    gc.collect()

    assert facts()["gen_ai.usage.output_tokens"] == 7
    assert facts()["gen_ai.response.finish_reasons"] == ("stop",)
