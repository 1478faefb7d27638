"""A guest in the user's program: nothing it returns, raises, imports or keeps is changed."""

import asyncio
import contextvars
import gc
import inspect
import subprocess
import sys
import threading
import weakref
from types import AsyncGeneratorType, GeneratorType
from typing import Any

import pytest
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.workflow import Context, StartEvent, StopEvent, Workflow, step
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation import DispatcherSpanMixin
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from tupletrace.instrumentors.firewall import RAISE_ERRORS
from tupletrace.instrumentors.llama_index import LlamaIndexInstrumentor

ASK = [ChatMessage(role="user", content="Hello")]
PATCHED: tuple[Any, ...] = (
    OpenAI,
    OpenAIEmbedding,
    BaseQueryEngine,
    PromptTemplate,
    DispatcherSpanMixin,
)


def test_uninstrument_puts_back_the_very_objects(tracer_provider: TracerProvider) -> None:
    def everything() -> Any:
        root = get_dispatcher()
        handlers = [*root.span_handlers, *root.event_handlers]
        return [list(map(id, vars(cls).values())) for cls in PATCHED], list(map(id, handlers))

    before = everything()
    for _ in range(3):
        LlamaIndexInstrumentor().instrument(tracer_provider=tracer_provider)
        assert everything() != before
        LlamaIndexInstrumentor().uninstrument()
        assert everything() == before


def test_after_uninstrument_there_are_no_spans(
    instrumented: LlamaIndexInstrumentor, index: VectorStoreIndex, llm: Any, tree: Any
) -> None:
    engine = index.as_query_engine(llm=llm())
    bound = engine.query
    instrumented.uninstrument()
    bound("What?")
    engine.query("What?")
    assert tree() == []


@pytest.mark.usefixtures("instrumented")
def test_methods_look_as_before(llm: Any) -> None:
    model = llm()
    assert inspect.iscoroutinefunction(model.achat)
    assert not inspect.iscoroutinefunction(model.chat)
    assert list(inspect.signature(model.chat).parameters) == ["messages", "kwargs"]
    assert model.chat.__name__ == "chat"
    assert OpenAI.chat.__module__ == "llama_index.llms.openai.base"


@pytest.mark.usefixtures("instrumented")
def test_a_stream_is_a_generator_whose_chunks_come_between_untouched_contexts(
    llm: Any, tree: Any, tracer_provider: Any
) -> None:
    with tracer_provider.get_tracer("user").start_as_current_span("request") as request:
        stream = llm().stream_chat(ASK)
        assert type(stream) is GeneratorType
        for _ in stream:
            assert trace.get_current_span() is request
            with tracer_provider.get_tracer("user").start_as_current_span("work"):
                pass
    assert tree() == [("request", ["chat gpt-4o-mini", *["work"] * 3])]


@pytest.mark.usefixtures("instrumented")
def test_an_async_stream_is_an_async_generator_whose_chunks_come_between_untouched_contexts(
    llm: Any, tree: Any, tracer_provider: Any
) -> None:
    async def read() -> None:
        with tracer_provider.get_tracer("user").start_as_current_span("request") as request:
            stream = await llm().astream_chat(ASK)
            assert type(stream) is AsyncGeneratorType
            async for _ in stream:
                assert trace.get_current_span() is request

    asyncio.run(read())
    assert tree() == [("request", ["chat gpt-4o-mini"])]


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize(("how", "error"), [("close", None), ("drop", None), ("never", "_OTHER")])
def test_a_stream_that_is_not_read_to_its_end_ends_its_span(
    llm: Any, named: Any, failures: Any, how: str, error: str | None
) -> None:
    stream = llm().stream_chat(ASK)
    if how != "never":
        next(stream)
    if how == "close":
        stream.close()
    del stream
    gc.collect()

    assert len(named("chat")) == 1
    assert failures() == ({"chat gpt-4o-mini": error} if error else {})
    if how != "never":
        assert named("chat")[0].attributes["gen_ai.response.id"] == "chatcmpl-1"


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("how", ["close", "drop", "never"])
def test_an_async_stream_that_is_not_read_to_its_end_ends_its_span(llm: Any, named: Any, how: str) -> None:
    async def read() -> None:
        stream = await llm().astream_chat(ASK)
        if how != "never":
            await anext(stream)
        if how == "close":
            await stream.aclose()

    asyncio.run(read())
    gc.collect()
    assert len(named("chat")) == 1


@pytest.mark.usefixtures("instrumented")
def test_a_provider_error_in_a_stream_reaches_the_reader(llm: Any, endpoint: Any, failures: Any) -> None:
    endpoint.refused = "/chat/completions"
    stream = llm().stream_chat(ASK)
    with pytest.raises(Exception, match="canary"):
        next(stream)
    assert failures() == {"chat gpt-4o-mini": "openai.AuthenticationError"}


@pytest.mark.usefixtures("instrumented")
def test_a_stream_may_be_read_in_another_thread(llm: Any, tree: Any, tracer_provider: Any) -> None:
    with tracer_provider.get_tracer("user").start_as_current_span("request"):
        stream = llm().stream_chat(ASK)
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    reader.join()
    assert tree() == [("request", ["chat gpt-4o-mini"])]


@pytest.mark.usefixtures("instrumented")
def test_streamed_usage_is_reported_where_the_provider_sends_it(llm: Any, named: Any) -> None:
    list(llm(additional_kwargs={"stream_options": {"include_usage": True}}).stream_chat(ASK))
    list(llm().stream_chat(ASK))

    with_usage, without = named("chat")
    assert with_usage.attributes["gen_ai.usage.input_tokens"] == 20
    assert with_usage.attributes["gen_ai.usage.cache_read.input_tokens"] == 0
    assert with_usage.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert "gen_ai.usage.input_tokens" not in without.attributes


@pytest.mark.usefixtures("instrumented")
def test_a_finished_stream_and_its_answers_are_let_go(llm: Any) -> None:
    stream = llm().stream_chat(ASK)
    answers = [weakref.ref(answer) for answer in stream]
    kept = weakref.ref(stream)
    del stream
    gc.collect()
    assert kept() is None
    assert [answer() for answer in answers] == [None] * 3


@pytest.mark.usefixtures("instrumented")
def test_a_call_that_is_closed_from_another_context_detaches_nothing_there(
    llm: Any, endpoint: Any, failures: Any
) -> None:
    async def ask() -> None:
        endpoint.reached = asyncio.Event()
        call = llm().achat(ASK)
        contextvars.copy_context().run(call.send, None)
        # LlamaIndex's own reset of its span id is what raises here.
        with pytest.raises(ValueError, match="active_span_id"):
            call.close()

    asyncio.run(ask())
    assert set(failures()) == {"chat gpt-4o-mini"}


class Summing(Workflow):
    """A workflow with a model call, in a context that the program keeps."""

    @step
    async def sum_up(self, event: StartEvent) -> StopEvent:
        text = PromptTemplate("Sum up {text}").format(text=event.text)
        return StopEvent(result=str(await MockLLM(max_tokens=2).acomplete(text)))


def test_what_is_kept_does_not_grow_with_the_number_of_runs(content: None) -> None:
    """Queries, runs, and streams that are begun and dropped, each with a text of its own."""
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=TracerProvider())
    documents = [Document(text="Paris is a city.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(2))
    engine, workflow = index.as_query_engine(llm=MockLLM(max_tokens=2)), Summing()

    async def run(number: int) -> None:
        for each in range(number, number + 100):
            engine.query(f"Question {each}?")
            stream = MockLLM(max_tokens=2).stream_complete(f"Text {each}")
            next(stream)
            del stream
            if each % 5 == 0:
                await workflow.run(text=f"Text {each}", ctx=Context(workflow))

    def kept() -> int:
        gc.collect()
        return len(gc.get_objects())

    def grown(begin: int) -> int:
        before = kept()
        for number in (begin, begin + 100):
            asyncio.run(run(number))
        return kept() - before

    try:
        for number in range(0, 500, 100):  # until what is bounded is full
            asyncio.run(run(number))
        # Other threads of this process may be at work; what every run leaves is left each time.
        assert any(grown(begin) < 100 for begin in (500, 700, 900))
    finally:
        instrumentor.uninstrument()


@pytest.mark.parametrize("streaming", [False, True])
def test_what_a_query_leaves_waits_for_no_garbage_collector(
    index: VectorStoreIndex, llm: Any, instrumented: LlamaIndexInstrumentor, streaming: bool
) -> None:
    engine = index.as_query_engine(llm=llm(), streaming=streaming)
    answer: Any = engine.query("Where is Paris?")
    str(answer)
    del answer
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        str(engine.query("Where is Lyon?"))
        gc.collect()
        left = [kept for kept in gc.garbage if type(kept).__module__.startswith(("tupletrace.", "opentel"))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


class Listener(BaseEventHandler):
    """A handler of the user's own."""

    heard: list[str] = []  # noqa: RUF012 - a pydantic field

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.heard.append(type(event).__name__)


def test_handlers_of_the_users_own_hear_what_they_would_hear_without_us(
    index: VectorStoreIndex, llm: Any, tracer_provider: TracerProvider
) -> None:
    def heard() -> tuple[list[str], list[str]]:
        root, listener, simple = get_dispatcher(), Listener(heard=[]), SimpleSpanHandler()
        root.add_event_handler(listener)
        root.add_span_handler(simple)
        index.as_query_engine(llm=llm()).query("What is Paris?")
        root.event_handlers.remove(listener)
        root.span_handlers.remove(simple)
        return listener.heard, [span.id_.rpartition(".")[2][:-37] for span in simple.completed_spans]

    alone = heard()
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=tracer_provider)
    beside = heard()
    instrumentor.uninstrument()
    assert beside == alone
    assert len(alone[0]) > 5


class Faulty(SpanProcessor):
    """A span processor with a bug, at either end."""

    def __init__(self, at: str) -> None:
        self.at = at

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self.at == "start":
            raise RuntimeError

    def on_end(self, span: Any) -> None:
        if self.at == "end":
            raise RuntimeError


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("at", ["start", "end"])
def test_a_fault_in_telemetry_does_not_reach_the_user(
    index: VectorStoreIndex,
    llm: Any,
    tracer_provider: TracerProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    at: str,
) -> None:
    monkeypatch.delenv(RAISE_ERRORS)
    tracer_provider.add_span_processor(Faulty(at))
    engine = index.as_query_engine(llm=llm())
    assert str(engine.query("What?")) == "Hello world"
    assert str(asyncio.run(engine.aquery("What?"))) == "Hello world"
    assert "".join(chunk.delta or "" for chunk in llm().stream_chat(ASK)) == "Hello world "
    caplog.clear()


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_instrumenting_imports_nothing_that_the_program_does_not() -> None:
    assert (
        run(
            "import sys\n"
            "from tupletrace.instrumentors.llama_index import LlamaIndexInstrumentor\n"
            "LlamaIndexInstrumentor().instrument()\n"
            "print([m for m in sys.modules if m.split('.')[0] in"
            " ('llama_index', 'llama_index_instrumentation', 'workflows', 'pydantic', 'openai')])"
        )
        == "[]"
    )


def test_a_program_that_imports_llama_index_later_is_traced() -> None:
    assert (
        run(
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
            "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
            "from tupletrace.instrumentors.llama_index import LlamaIndexInstrumentor\n"
            "exporter, provider = InMemorySpanExporter(), TracerProvider()\n"
            "provider.add_span_processor(SimpleSpanProcessor(exporter))\n"
            "LlamaIndexInstrumentor().instrument(tracer_provider=provider)\n"
            "import asyncio\n"
            "from llama_index.core.llms import MockLLM\n"
            "from llama_index.core.query_engine import CustomQueryEngine\n"
            "class Later(CustomQueryEngine):\n"
            "    def custom_query(self, query_str):\n"
            "        return MockLLM().complete(query_str).text\n"
            "Later().query('Hello')\n"
            "print([span.name for span in exporter.get_finished_spans()])"
        )
        == "['text_completion', 'invoke_workflow Later']"
    )
