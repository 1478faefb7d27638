"""Checks of conduct by their number, where no other test makes them: A8, A12, A17, A19."""

import asyncio
import copy
import gc
import pickle
import sys
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
from openai.resources.chat.completions import AsyncCompletions, Completions
from opentelemetry.sdk.trace import TracerProvider

from tupletrace.instrumentors.openai import OpenAIInstrumentor

CHAT: dict[str, Any] = {"model": "m", "messages": []}


def test_a8_results_and_clients_are_pickled_and_copied_as_before(
    provider: Any, program: Any, completion: dict[str, Any]
) -> None:
    provider.answers_json(completion)

    answer = program.call("chat.completions.create", **CHAT)

    assert answer == pickle.loads(pickle.dumps(answer))
    assert answer == copy.deepcopy(answer)
    assert isinstance(copy.copy(program.client), openai.OpenAI | openai.AsyncOpenAI)


def test_a12_a_hundred_times_on_and_off_restores_the_very_methods(tracer_provider: TracerProvider) -> None:
    before = [vars(kind)["create"] for kind in (Completions, AsyncCompletions)]

    for _ in range(100):
        OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
        OpenAIInstrumentor().uninstrument()

    assert all(
        vars(kind)["create"] is method
        for kind, method in zip((Completions, AsyncCompletions), before, strict=True)
    )


def test_a17_fifty_threads_and_a_thousand_tasks_have_each_their_span(
    provider: Any,
    instrumented: None,
    tracer_provider: TracerProvider,
    completion: dict[str, Any],
    spans: Any,
) -> None:
    provider.answers_json(completion)
    client, tracer = provider.client(), tracer_provider.get_tracer("app")

    def thread(number: int) -> None:
        with tracer.start_as_current_span(f"thread {number}"):
            for _ in range(10):
                client.chat.completions.create(**CHAT)

    async def task(asynchronous: Any, number: int) -> None:
        with tracer.start_as_current_span(f"task {number}"):
            await asynchronous.chat.completions.create(**CHAT)

    async def tasks() -> None:
        asynchronous = provider.async_client()
        await asyncio.gather(*(task(asynchronous, number) for number in range(1000)))

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(thread, range(50)))
    asyncio.run(tasks())

    finished = spans.get_finished_spans()
    names = {span.context.span_id: span.name for span in finished}
    parents = Counter(names[span.parent.span_id] for span in finished if span.name == "chat m")
    assert parents == {f"thread {n}": 10 for n in range(50)} | {f"task {n}": 1 for n in range(1000)}


def test_a19_a_long_stream_is_not_kept_while_content_is_off(
    provider: Any, instrumented: None, chat_chunks: list[Any]
) -> None:
    text_chunk = chat_chunks[1]
    peaks: list[int] = []
    for length in (200, 4000):
        provider.answers.clear()
        provider.answers_stream([*[text_chunk] * length, *chat_chunks[-3:]])
        stream = provider.client().chat.completions.create(**CHAT, stream=True)
        next(stream)
        gc.collect()
        tracemalloc.start()
        for _ in range(length - 2):
            next(stream)
        gc.collect()
        peaks.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        list(stream)

    # What grows is the test's own list of pieces sent: a pointer each.
    assert peaks[1] - peaks[0] < 4000 * sys.getsizeof(None) * 4
