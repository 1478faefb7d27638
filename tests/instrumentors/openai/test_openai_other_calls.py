"""Images, audio, moderations, batches, fetched responses, vector stores, runs: a span each, no content."""

import asyncio
import json
from operator import attrgetter
from typing import Any

import openai
import pytest
from openai.pagination import AsyncPage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

CANARY = "kanarienvogel"
RUN = {
    "id": "run_1",
    "object": "thread.run",
    "created_at": 1,
    "assistant_id": "asst_1",
    "thread_id": "thread_1",
    "model": "gpt-4.1-2025-04-14",
    "status": "completed",
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
}
FOUND = {
    "object": "vector_store.search_results.page",
    "search_query": [CANARY],
    "data": [
        {
            "file_id": "file_1",
            "filename": CANARY,
            "score": 0.9,
            "content": [{"type": "text", "text": CANARY}],
        }
    ],
    "has_more": False,
    "next_page": None,
}
IMAGES = {
    "created": 1,
    "data": [{"url": f"https://images.test/{CANARY}.png"}],
    "usage": {
        "input_tokens": 12,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 12},
        "output_tokens": 99,
        "total_tokens": 111,
    },
}
TRANSCRIPT = {
    "text": CANARY,
    "usage": {
        "type": "tokens",
        "input_tokens": 40,
        "input_token_details": {"audio_tokens": 38, "text_tokens": 2},
        "output_tokens": 5,
        "total_tokens": 45,
    },
}
AUDIO = ("a.wav", b"RIFF", "audio/wav")
IMAGE = ("a.png", b"PNG", "image/png")
# method, arguments, answer, attributes
CALLS: list[Any] = [
    (
        "images.generate",
        {"model": "gpt-image-1", "prompt": CANARY},
        IMAGES,
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.request.model": "gpt-image-1",
            "gen_ai.output.type": "image",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.output_tokens": 99,
            "gen_ai.usage.image.input_tokens": 0,
        },
    ),
    (
        "images.generate",
        {"model": "flux", "prompt": CANARY},
        {"id": "img_1", "model": "flux-1", "object": "list", "data": [{"index": 0, "url": CANARY}]},
        {"gen_ai.response.id": "img_1", "gen_ai.response.model": "flux-1", "gen_ai.usage.input_tokens": None},
    ),
    (
        "images.edit",
        {"model": "gpt-image-1", "prompt": CANARY, "image": IMAGE, "n": 2},
        IMAGES,
        {"gen_ai.output.type": "image", "gen_ai.request.choice.count": 2},
    ),
    (
        "audio.transcriptions.create",
        {"model": "gpt-4o-transcribe", "file": AUDIO, "prompt": CANARY, "temperature": 0},
        TRANSCRIPT,
        {
            "gen_ai.output.type": "text",
            "gen_ai.request.temperature": 0.0,
            "gen_ai.usage.input_tokens": 40,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.audio.input_tokens": 38,
        },
    ),
    (
        "audio.translations.create",
        {"model": "whisper-1", "file": AUDIO},
        {"text": CANARY},
        {"gen_ai.operation.name": "generate_content", "gen_ai.usage.input_tokens": None},
    ),
    (
        "audio.speech.create",
        {"model": "tts-1", "voice": "alloy", "input": CANARY},
        {"bytes": CANARY},
        {"gen_ai.request.model": "tts-1", "gen_ai.output.type": "speech"},
    ),
    (
        "videos.create",
        {"model": "sora-2", "prompt": CANARY, "seconds": "4"},
        {"id": "video_1", "object": "video", "model": "sora-2", "status": "queued", "prompt": CANARY},
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.response.id": "video_1",
            "gen_ai.response.model": "sora-2",
        },
    ),
    (
        "moderations.create",
        {"model": "omni-moderation-latest", "input": CANARY},
        {"id": "modr_1", "model": "omni-moderation-2024-09-26", "results": []},
        {"gen_ai.operation.name": "moderation", "gen_ai.response.model": "omni-moderation-2024-09-26"},
    ),
    (
        "responses.compact",
        {"model": "gpt-5", "input": CANARY, "previous_response_id": "resp_1"},
        {
            "id": "resp_2",
            "object": "response.compaction",
            "created_at": 1,
            "output": [{"type": "compaction", "id": "cmp_1", "encrypted_content": CANARY}],
            "usage": {
                "input_tokens": 139,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 438,
                "output_tokens_details": {"reasoning_tokens": 64},
                "total_tokens": 577,
            },
        },
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.previous_response.id": "resp_1",
            "gen_ai.response.id": "resp_2",
            "gen_ai.response.finish_reasons": None,
            "gen_ai.usage.input_tokens": 139,
            "gen_ai.usage.output_tokens": 438,
            "gen_ai.usage.reasoning.output_tokens": 64,
        },
    ),
    (
        "decisions.create",
        {"model": "gpt-6-luna", "input": CANARY, "questions": [{"type": "predicate", "question": CANARY}]},
        {
            "id": "dec_1",
            "object": "decision",
            "created_at": 1,
            "model": "gpt-6-luna-2026-08-01",
            "answers": [{"type": "predicate", "probability": 0.5, "name": CANARY}],
            "usage": {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens": 1,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 10,
            },
        },
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.response.model": "gpt-6-luna-2026-08-01",
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.cache_read.input_tokens": 4,
            "gen_ai.usage.output_tokens": 1,
        },
    ),
    (
        "batches.create",
        {"completion_window": "24h", "endpoint": "/v1/responses", "input_file_id": "file_1"},
        {"id": "batch_1", "object": "batch", "status": "validating", "metadata": {"note": CANARY}},
        {"gen_ai.operation.name": "create_batch", "gen_ai.response.id": "batch_1"},
    ),
    (
        "vector_stores.search",
        {"vector_store_id": "vs_1", "query": CANARY, "max_num_results": 4},
        FOUND,
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": "vs_1",
            "gen_ai.retrieval.top_k": 4,
            "tupletrace.retriever.name": "vs_1",
        },
    ),
    (
        "beta.threads.runs.create",
        {"thread_id": "thread_1", "assistant_id": "asst_1", "instructions": CANARY},
        RUN,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": "asst_1",
            "gen_ai.conversation.id": "thread_1",
            "gen_ai.response.model": "gpt-4.1-2025-04-14",
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.output_tokens": 4,
            "tupletrace.prompt.provenance": "derived",
        },
    ),
    (
        "beta.threads.create_and_run",
        {"assistant_id": "asst_1"},
        RUN,
        {"gen_ai.conversation.id": "thread_1", "gen_ai.agent.id": "asst_1"},
    ),
]


def installed(method: str) -> bool:
    found: Any = openai.OpenAI(api_key="k")
    return all((found := getattr(found, name, None)) is not None for name in method.split("."))


CALLS = [call for call in CALLS if installed(call[0])]
calls = pytest.mark.parametrize(("method", "kwargs", "answer", "expected"), CALLS, ids=[c[0] for c in CALLS])


@calls
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_is_one_span_with_its_facts_and_without_content(
    provider: Any, program: Any, span: Any, method: str, kwargs: Any, answer: Any, expected: Any
) -> None:
    provider.answers_json(answer)

    program.call(method, **kwargs)

    assert expected == {name: span().attributes.get(name) for name in expected}
    assert CANARY not in span().to_json()


@calls
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_raw_response_says_the_same(
    provider: Any, program: Any, span: Any, method: str, kwargs: Any, answer: Any, expected: Any
) -> None:
    provider.answers_json(answer)
    resource, _, name = method.rpartition(".")

    raw = program.call(f"{resource}.with_raw_response.{name}", **kwargs)

    assert raw.status_code == 200
    assert expected == {name: span().attributes.get(name) for name in expected}
    assert CANARY not in span().to_json()


@calls
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_content_is_there_when_it_is_asked_for(
    provider: Any,
    capturing: None,
    program: Any,
    span: Any,
    method: str,
    kwargs: Any,
    answer: Any,
    expected: Any,
) -> None:
    provider.answers_json(answer)

    program.call(method, **kwargs)

    without = method in ("batches.create", "beta.threads.runs.create", "beta.threads.create_and_run")
    assert without == (CANARY not in span().to_json())


@pytest.mark.parametrize("method", ["responses.retrieve", "responses.cancel"])
def test_a_fetched_response_counts_no_tokens_again(
    provider: Any, program: Any, response: dict[str, Any], facts: Any, method: str
) -> None:
    response["output"][0]["content"][0]["text"] = CANARY
    provider.answers_json(response)

    program.call(method, response_id="resp_1")

    assert facts()["gen_ai.operation.name"] == "fetch_response"
    assert facts()["gen_ai.response.id"] == "resp_1"
    assert facts()["gen_ai.response.status"] == "completed"
    assert facts()["gen_ai.response.model"] == "gpt-5-2025-08-07"
    assert not [name for name in facts() if "usage" in name]
    assert CANARY not in str(facts())


def test_a_response_fetched_as_a_stream_is_read_to_its_end(
    provider: Any, program: Any, response_events: list[Any], facts: Any
) -> None:
    provider.answers_stream(response_events)

    program.read("responses.retrieve", response_id="resp_1", stream=True, starting_after=3)

    assert facts()["gen_ai.response.status"] == "completed"
    assert facts()["gen_ai.request.stream_cursor"] == "3"
    assert not [name for name in facts() if "usage" in name]


def test_a_response_id_may_come_without_its_name(
    provider: Any, instrumented: None, response: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(response)

    provider.client().responses.retrieve("resp_1")

    assert facts()["gen_ai.response.id"] == "resp_1"


def test_a_streamed_transcript_has_the_tokens_of_its_last_event(
    provider: Any, program: Any, facts: Any
) -> None:
    provider.answers_stream(
        [
            {"type": "transcript.text.delta", "delta": CANARY},
            {"type": "transcript.text.done", **TRANSCRIPT},
        ]
    )

    program.read("audio.transcriptions.create", model="gpt-4o-transcribe", file=AUDIO, stream=True)

    assert facts()["gen_ai.usage.input_tokens"] == 40
    assert facts()["gen_ai.request.stream"] is True
    assert CANARY not in str(facts())


@pytest.mark.parametrize("way", ["create", "with_raw_response.create", "with_streaming_response.create"])
def test_speech_that_comes_in_events_has_the_tokens_of_the_last(
    provider: Any, instrumented: None, facts: Any, way: str
) -> None:
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    events = [{"type": "speech.audio.delta", "audio": CANARY}, {"type": "speech.audio.done", "usage": usage}]
    provider.answers_stream(events)
    said: dict[str, Any] = {"model": "tts-2", "voice": "alloy", "input": CANARY, "stream_format": "sse"}

    spoken = attrgetter(f"audio.speech.{way}")(provider.client())(**said)
    if "streaming" in way:
        with spoken as answer:
            assert [json.loads(line[6:]) for line in answer.iter_lines() if line[:5] == "data:"] == events
    else:
        assert CANARY in spoken.text

    assert (facts()["gen_ai.usage.input_tokens"], facts()["gen_ai.usage.output_tokens"]) == (14, 101)
    assert CANARY not in str(facts())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_streamed_run_has_the_tokens_of_its_last_event(provider: Any, program: Any, facts: Any) -> None:
    begun = RUN | {"status": "queued", "usage": None}
    events = "".join(
        f"event: thread.run.{run['status']}\ndata: {json.dumps(run)}\n\n" for run in (begun, RUN)
    )
    provider.answers.append(
        lambda _: provider.http.Response(
            200, content=events.encode(), headers={"content-type": "text/event-stream"}
        )
    )

    program.read("beta.threads.runs.create", thread_id="thread_1", assistant_id="asst_1", stream=True)

    assert facts()["gen_ai.usage.output_tokens"] == 4
    assert facts()["gen_ai.response.finish_reasons"] == ("stop",)


def test_a_search_with_the_async_client_is_awaited_or_iterated(
    provider: Any, instrumented: None, spans: Any
) -> None:
    provider.answers_json(FOUND)

    async def both() -> tuple[Any, list[Any]]:
        search = provider.async_client().vector_stores.search
        return await search("vs_1", query="q"), [found async for found in search("vs_1", query="q")]

    page, found = asyncio.run(both())

    assert isinstance(page, AsyncPage)
    assert [one.file_id for one in found] == ["file_1"]
    assert len(spans.get_finished_spans()) == 2


def test_a_retriever_is_another_version_when_it_ranks_otherwise(
    provider: Any, program: Any, spans: Any
) -> None:
    provider.answers_json(FOUND)

    for query, ranking in (("a", 0.1), ("b", 0.1), ("b", 0.2)):
        options = {"score_threshold": ranking}
        program.call("vector_stores.search", vector_store_id="vs_1", query=query, ranking_options=options)

    versions = [span.attributes["tupletrace.retriever.version"] for span in spans.get_finished_spans()]
    assert versions[0] == versions[1] != versions[2]


def test_tokens_of_a_response_made_in_the_background_are_told_once_by_the_fetch_that_brings_them(
    provider: Any, program: Any, response: dict[str, Any], spans: Any
) -> None:
    response |= {"id": f"resp_{program.asynchronous}", "background": True}
    queued = response | {"status": "queued", "output": [], "usage": None}
    for answer in (queued, queued | {"status": "in_progress"}, response, response):
        provider.answers_json(answer)

    program.call("responses.create", model="gpt-5", input=CANARY, background=True)
    for _ in range(3):
        program.call("responses.retrieve", response_id=response["id"])

    create, first, done, again = (dict(span.attributes) for span in spans.get_finished_spans())
    told = {
        "tupletrace.usage.input_tokens": 30,
        "tupletrace.usage.output_tokens": 12,
        "tupletrace.usage.cache_read.input_tokens": 8,
        "tupletrace.usage.cache_write.input_tokens": 4,
        "tupletrace.usage.reasoning.output_tokens": 0,
    }
    assert {name: value for name, value in done.items() if ".usage." in name} == told
    assert not any(".usage." in name for span in (create, first, again) for name in span)
    assert done["gen_ai.response.status"] == "completed"


def test_a_background_response_whose_stream_was_read_tells_its_tokens_itself(
    provider: Any, program: Any, response: dict[str, Any], response_events: list[Any], spans: Any
) -> None:
    response |= {"id": f"resp_streamed_{program.asynchronous}", "background": True}
    response_events[-1]["response"] = response
    provider.answers_stream(response_events)
    provider.answers_json(response)

    program.read("responses.create", model="gpt-5", input=CANARY, background=True, stream=True)
    program.call("responses.retrieve", response_id=response["id"])

    create, fetch = (dict(span.attributes) for span in spans.get_finished_spans())
    assert create["gen_ai.usage.input_tokens"] == 30
    assert not any(".usage." in name for name in fetch)


@pytest.mark.parametrize("kind", ["model", "dictionary", "response"])
def test_a_call_by_its_path_says_what_its_method_would(
    provider: Any, program: Any, completion: dict[str, Any], facts: Any, kind: str
) -> None:
    provider.answers_json(completion)
    cast_to = {"model": ChatCompletion, "dictionary": dict[str, Any], "response": provider.http.Response}[
        kind
    ]
    body = {"model": "m", "temperature": 0.5, "messages": [{"role": "user", "content": CANARY}]}

    answer = program.call("post", path="/chat/completions", cast_to=cast_to, body=body)

    assert isinstance(answer, dict if kind == "dictionary" else cast_to)
    assert facts()["gen_ai.request.temperature"] == 0.5
    assert facts()["gen_ai.response.id"] == completion["id"]
    assert facts()["gen_ai.usage.input_tokens"] == completion["usage"]["prompt_tokens"]
    assert CANARY not in str(facts())


def test_a_streamed_call_by_its_path_is_one_span(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    provider.answers_stream(chat_chunks)
    stream_cls = openai.AsyncStream if program.asynchronous else openai.Stream

    read = program.read(
        "post",
        path="/chat/completions",
        cast_to=ChatCompletionChunk,
        body={"model": "m", "messages": [], "stream": True},
        stream=True,
        stream_cls=stream_cls[ChatCompletionChunk],
    )

    assert len(read) == len(chat_chunks) - 1
    assert facts()["gen_ai.request.stream"] is True
    assert facts()["gen_ai.usage.output_tokens"] == 7


def test_a_path_of_no_model_is_left_alone(provider: Any, program: Any, spans: Any) -> None:
    provider.answers_json({"results": []})

    assert program.call("post", path="/rerank", cast_to=dict[str, Any], body={}) == {"results": []}
    assert not spans.get_finished_spans()
