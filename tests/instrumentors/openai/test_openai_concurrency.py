"""Many calls at once: every one has its span, its parent and its facts, and nothing deadlocks."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from tupletrace.instrumentors.openai import OpenAIInstrumentor

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Capital?"}]}


def check_parents(spans: Any, calls: int) -> None:
    finished = {span.context.span_id: span for span in spans.get_finished_spans()}
    made = [span for span in finished.values() if span.name.startswith("chat ")]
    assert len(made) == calls
    for span in made:
        assert finished[span.parent.span_id].name == span.attributes["gen_ai.request.model"]


def test_threads_do_not_mix_their_spans(
    provider: Any, instrumented: None, chat_chunks: list[Any], tracer_provider: Any, spans: Any
) -> None:
    provider.answers_stream(chat_chunks)
    client, tracer = provider.client(), tracer_provider.get_tracer("app")

    def work(number: int) -> None:
        for turn in range(5):
            name = f"{number}.{turn}"
            with tracer.start_as_current_span(name):
                list(client.chat.completions.create(**CHAT | {"model": name}, stream=True))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))

    check_parents(spans, 80)


def test_tasks_do_not_mix_their_spans(
    provider: Any, instrumented: None, chat_chunks: list[Any], tracer_provider: Any, spans: Any
) -> None:
    provider.answers_stream(chat_chunks)
    tracer = tracer_provider.get_tracer("app")

    async def work(client: Any, name: str) -> None:
        with tracer.start_as_current_span(name):
            stream = await client.chat.completions.create(**CHAT | {"model": name}, stream=True)
            async for _ in stream:
                await asyncio.sleep(0)

    async def main() -> None:
        client = provider.async_client()
        await asyncio.gather(*(work(client, str(number)) for number in range(200)))

    asyncio.run(main())

    check_parents(spans, 200)


class Locked(SpanProcessor):
    """Like an exporter: a lock that is not reentrant, within which the garbage collector may run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ended: list[str] = []
        self.deadlocked = False
        self.two = threading.Event()

    def on_end(self, span: Any) -> None:
        if not self.lock.acquire(timeout=60):
            self.deadlocked = True
            return
        try:
            self.ended.append(span.name)
            gc.collect()
        finally:
            self.lock.release()
        if len(self.ended) == 2:
            self.two.set()


def test_a_stream_collected_within_the_exporter_does_not_deadlock_it(
    provider: Any, chat_chunks: list[Any]
) -> None:
    processor, tracer_provider = Locked(), TracerProvider()
    tracer_provider.add_span_processor(processor)
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    provider.answers_stream(chat_chunks)
    gc.disable()
    try:
        abandoned = {"stream": provider.client().chat.completions.create(**CHAT, stream=True)}
        abandoned["itself"] = abandoned
        del abandoned
        tracer_provider.get_tracer("app").start_span("other").end()
        ended = processor.two.wait(timeout=120)
    finally:
        gc.enable()
        OpenAIInstrumentor().uninstrument()

    assert ended
    assert not processor.deadlocked
    assert processor.ended == ["other", "chat m"]
