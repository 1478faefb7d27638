"""Checks of conduct by their number, where no other file makes them."""

import asyncio
import copy
import gc
import pickle
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
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


class Hostile(dict[str, Any]):
    """A message whose every question is answered with an exception."""

    def get(self, *_: Any) -> Any:
        raise ValueError("no")

    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = __bool__ = __len__ = __str__  # pyright: ignore[reportAssignmentType]


def deep(levels: int) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(levels):
        nested = {"properties": nested}
    return nested


def recursive() -> list[Any]:
    messages: list[Any] = []
    messages.append({"role": "system", "content": messages})
    return messages


HOSTILE: dict[str, Callable[[], dict[str, Any]]] = {
    "mapping": lambda: {"messages": [Hostile(role="system", content="a")]},
    "content": lambda: {"messages": [{"role": "system", "content": Hostile()}]},
    "recursion": lambda: {"messages": recursive()},
    "depth": lambda: {"tools": [{"type": "function", "function": {"name": "f", "parameters": deep(10_000)}}]},
    "no JSON": lambda: {"messages": [{"role": "system", "content": object()}]},
    "numbers": lambda: {"temperature": float("nan"), "n": 10**30, "seed": -(10**30), "max_tokens": "many"},
    "names": lambda: {"tools": [{"type": 7}, None, 3, {"function": None}], "stop": [None, 3], "model": 7},
    "surrogates": lambda: {"messages": [{"role": "system", "content": "\ud800"}]},
}


@pytest.mark.parametrize("content", ["no_content", "span_only"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a9_hostile_arguments_are_refused_or_sent_as_without_us(
    provider: Any,
    tracer_provider: TracerProvider,
    completion: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    spans: Any,
    name: str,
    content: str,
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", content)
    monkeypatch.delenv("TUPLETRACE_RAISE_ERRORS")
    provider.answers_json(completion)

    def outcome() -> Any:
        try:
            return provider.client().chat.completions.create(**CHAT | HOSTILE[name]()).to_dict()
        except Exception as error:  # noqa: BLE001 - whichever the client raises
            return type(error)

    before, sent = outcome(), len(provider.requests)
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    during = outcome()
    OpenAIInstrumentor().uninstrument()

    assert during == before
    assert len(provider.requests) == 2 * sent
    assert len(spans.get_finished_spans()) == 1


def test_a19_calls_leave_nothing_behind(
    provider: Any, instrumented: None, completion: dict[str, Any], chat_chunks: list[Any], spans: Any
) -> None:
    client = provider.client()

    def calls(number: int) -> int:
        for call in range(number):
            provider.answers.clear()
            provider.answers_json(completion)
            messages = [{"role": "system", "content": f"Be brief {call} {'x' * 200}."}]
            client.chat.completions.create(model="m", messages=messages)
            provider.answers.clear()
            provider.answers_stream(chat_chunks)
            for _ in client.chat.completions.create(**CHAT, stream=True):
                break
            spans.clear()
            provider.requests.clear()
            provider.sent.clear()
        gc.collect()
        return sys.getallocatedblocks()

    calls(300)  # what is remembered, such as the versions of 256 texts, is full

    # Other threads of this process may be at work; what every call leaves is left each time.
    assert any(-calls(50) + calls(400) < 400 for _ in range(3))
