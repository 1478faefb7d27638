"""A guest in the user's process: nothing that the program sees changes, whatever it does."""

import asyncio
import gc
import inspect
import logging
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import get_current_span

Make = Callable[..., Any]
PROMPT = ChatPromptTemplate.from_messages([("human", "{question}")])
ASKED = {"question": "How are you?"}
OURS = ("tupletrace.", "opentelemetry.")


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> Any:
    """No test may leave a context attached, or a log of ours or of the API's behind."""
    before = get_current()
    with caplog.at_level(logging.INFO):
        yield
    assert get_current() == before
    loud = ("opentelemetry", "tupletrace", "asyncio", "langchain_core")
    assert not [record for record in caplog.get_records("call") if record.name.startswith(loud)]


def graph_of(model: Any) -> Any:
    made = StateGraph(dict)
    made.add_node("ask", lambda state: {"answer": model.invoke("Hi").text})
    made.add_edge(START, "ask")
    return made.compile()


def streams(model: Make) -> dict[str, Any]:
    return {"model": (model(), "Hi"), "chain": (PROMPT | model(), ASKED), "graph": (graph_of(model()), {})}


@pytest.mark.parametrize("kind", ["model", "chain", "graph"])
def test_a_stream_that_is_left_is_closed_and_leaves_the_context_as_it_was(
    trace: Any, model: Make, tracer_provider: TracerProvider, kind: str
) -> None:
    runnable, asked = streams(model)[kind]
    with tracer_provider.get_tracer("app").start_as_current_span("request") as request:
        stream = runnable.stream(asked)
        assert type(stream) is types.GeneratorType
        assert trace.spans == []
        for _ in stream:
            assert get_current_span() is request
            break
        assert get_current_span() is request
        stream.close()

    assert trace.tree()[0] == "request"
    assert len(trace.spans) > 1
    assert not [span for span in trace.spans if "error.type" in span.attributes]


@pytest.mark.parametrize("kind", ["model", "chain", "graph"])
def test_an_asynchronous_stream_that_is_left_is_closed_and_leaves_the_context_as_it_was(
    trace: Any, model: Make, tracer_provider: TracerProvider, kind: str
) -> None:
    runnable, asked = streams(model)[kind]

    async def leave() -> None:
        with tracer_provider.get_tracer("app").start_as_current_span("request") as request:
            stream = runnable.astream(asked)
            assert type(stream) is types.AsyncGeneratorType
            async for _ in stream:
                assert get_current_span() is request
                break
            assert get_current_span() is request
            await stream.aclose()
            assert get_current_span() is request

    asyncio.run(leave())

    assert trace.tree()[0] == "request"
    assert len(trace.spans) > 1
    assert not [span for span in trace.spans if "error.type" in span.attributes]


def test_a_stream_that_is_dropped_ends_its_span_and_keeps_nothing_alive(trace: Any, model: Make) -> None:
    asked = model()
    stream = asked.stream("Hi")
    message = weakref.ref(next(stream))
    asked = weakref.ref(asked)
    del stream
    gc.collect()

    assert trace.tree() == ["chat"]
    assert message() is None
    assert asked() is None


def test_a_stream_may_be_read_by_another_thread_or_task_than_began_it(trace: Any, model: Make) -> None:
    stream = model("one two three").stream("Hi")
    next(stream)
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    reader.join()

    async def tasks() -> None:
        later = model("one two three").astream("Hi")
        while await asyncio.create_task(anext(later, None)) is not None:
            pass

    asyncio.run(tasks())

    assert trace.tree() == ["chat", "chat"]


@pytest.mark.parametrize("kind", ["model", "chain", "graph"])
def test_a_stream_that_is_left_as_its_loop_ends_is_closed_without_a_word(
    trace: Any, model: Make, kind: str
) -> None:
    runnable, asked = streams(model)[kind]

    async def leave() -> None:
        async for _ in runnable.astream(asked):
            break

    asyncio.run(leave())
    gc.collect()

    assert len(trace.all("chat")) == 1


def test_what_a_model_leaves_in_its_own_context_is_there_at_its_next_chunk(
    model: Make, tracer_provider: TracerProvider
) -> None:
    tracer = tracer_provider.get_tracer("client")
    seen: list[bool] = []

    class Slow(type(model())):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            with tracer.start_as_current_span("http") as http:
                for word in ("one", "two"):
                    await asyncio.sleep(0)
                    seen.append(get_current_span() is http)
                    yield ChatGenerationChunk(message=AIMessageChunk(word))

    async def read() -> None:
        stream = Slow(messages=iter(())).astream("Hi")
        while await anext(stream, None) is not None:
            seen.append(get_current_span().is_recording())

    asyncio.run(read())

    assert seen[:4] == [True, False, True, False]


class Raising(Exception):
    """What a test raises into a stream."""


def test_what_is_thrown_into_a_stream_arrives_in_it_and_comes_back(trace: Any, model: Make) -> None:
    error = Raising()
    stream = model().stream("Hi")
    next(stream)
    with pytest.raises(Raising) as raised:
        stream.throw(error)
    assert raised.value is error

    async def later() -> None:
        stream = model().astream("Hi")
        await anext(stream)
        with pytest.raises(Raising) as raised:
            await stream.athrow(error)
        assert raised.value is error

    asyncio.run(later())
    assert [span.attributes["error.type"].split(".")[-1] for span in trace.spans] == ["Raising"] * 2


@pytest.mark.parametrize("what", ["model", "chain", "tool", "function", "retriever", "graph"])
def test_a_cancelled_run_ends_its_spans_and_stays_cancelled(trace: Any, model: Make, what: str) -> None:
    from langchain_core.retrievers import BaseRetriever

    asleep = asyncio.Event()

    async def sleep(*args: Any, **kwargs: Any) -> Any:
        asleep.set()
        await asyncio.Event().wait()

    class Sleeping(type(model())):
        _agenerate = sleep

    class Searching(BaseRetriever):
        def _get_relevant_documents(self, query: str, **_: Any) -> Any:
            raise NotImplementedError

        async def _aget_relevant_documents(self, query: str, **_: Any) -> Any:
            return await sleep()

    @tool
    async def search(query: str) -> str:
        """Search."""
        return await sleep()

    sleeping = Sleeping(messages=iter(()))
    made = StateGraph(dict)
    made.add_node("ask", RunnableLambda(lambda state: None, afunc=sleep))
    made.add_edge(START, "ask")
    runnable, asked = {
        "model": (sleeping, "Hi"),
        "chain": (PROMPT | sleeping, ASKED),
        "tool": (search, {"query": "Hi"}),
        "function": (RunnableLambda(sleep), "Hi"),
        "retriever": (Searching(), "Hi"),
        "graph": (made.compile(), {}),
    }[what]

    async def cancel() -> None:
        task = asyncio.create_task(runnable.ainvoke(asked))
        await asleep.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(cancel())

    assert trace.spans
    assert {span.attributes["error.type"] for span in trace.spans} == {"asyncio.exceptions.CancelledError"}


class Seen(BaseCallbackHandler):
    """A handler of the user's, not inline."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("chain")

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("chat")

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("llm")

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("end")


class SeenLater(AsyncCallbackHandler):
    """An asynchronous handler of the user's."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("llm")

    async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("end")


def test_handlers_of_the_user_hear_all_that_they_heard_before(trace: Any, model: Make) -> None:
    seen, later, text = Seen(), SeenLater(), Seen()
    (PROMPT | model()).invoke(ASKED, {"callbacks": [seen]})
    # LangChain tells handlers that are not inline nothing of an LLM's start when one is that is.
    asyncio.run(FakeListLLM(responses=["a"]).ainvoke("Hi", {"callbacks": [later, text]}))

    assert seen.events == ["chain", "chain", "chat", "end"]
    assert later.events == text.events == ["llm", "end"]
    assert len(trace.all("text_completion")) == 1


class Telling(FakeListChatModel):
    """Tells its run's manager of three tokens; after the first one a handler joins in."""

    joining: Any

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for word in ("One", "two", "three"):
            run_manager.on_llm_new_token(word)
            if word == "One":
                run_manager.handlers.append(self.joining)
        return super()._generate(messages, stop, run_manager, **kwargs)

    async def _agenerate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Any:
        for word in ("One", "two", "three"):
            await run_manager.on_llm_new_token(word)
            if word == "One":
                run_manager.handlers.append(self.joining)
        return super()._generate(messages, stop, None, **kwargs)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_handler_that_joins_in_the_middle_of_a_stream_hears_of_every_token_from_then_on(
    trace: Any, asynchronous: bool
) -> None:
    class Joining(BaseCallbackHandler):
        run_inline = True

        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            heard.append(token)

        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            heard.append("end")

    heard: list[str] = []
    model = Telling(responses=["a"], joining=Joining())
    asyncio.run(model.ainvoke("Hi")) if asynchronous else model.invoke("Hi")

    assert heard == ["two", "three", "end"]
    assert trace.facts("chat")["gen_ai.response.time_to_first_chunk"] > 0


def test_removing_the_callbacks_of_a_run_removes_ours_from_it_no_more_than_its_parent(
    trace: Any, model: Make
) -> None:
    def ask(question: str) -> str:
        return model().invoke(question, {"callbacks": []}).text

    RunnableLambda(ask, name="ask").invoke("Hi")

    assert trace.tree() == ["invoke_workflow ask", ["chat"]]


def test_nothing_is_recorded_where_instrumentation_is_suppressed(trace: Any, model: Make) -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    with suppress_instrumentation():
        (PROMPT | model()).invoke(ASKED)
        list(model().stream("Hi"))

    assert trace.spans == []


def test_what_was_patched_looks_as_it_did() -> None:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.tools import BaseTool

    assert inspect.isgeneratorfunction(BaseChatModel.stream)
    assert inspect.isasyncgenfunction(BaseChatModel.astream)
    assert inspect.iscoroutinefunction(BaseTool.arun)
    assert inspect.iscoroutinefunction(BaseRetriever.ainvoke)
    assert list(inspect.signature(BaseRetriever.invoke).parameters) == ["self", "input", "config", "kwargs"]
    assert BaseChatModel.stream.__module__ == "langchain_core.language_models.chat_models"


def test_after_uninstrumenting_everything_is_what_it_was(
    trace: Any, model: Make, instrumentor: Any, tracer_provider: TracerProvider
) -> None:
    import langgraph._internal._runnable as graphs
    from langchain_core import prompts, retrievers, tools
    from langchain_core.callbacks.manager import AsyncCallbackManager
    from langchain_core.language_models import chat_models, llms
    from langchain_core.runnables import config
    from langchain_core.tracers import context
    from langgraph.pregel import Pregel

    def state() -> list[Any]:
        owners = [
            chat_models.BaseChatModel,
            llms.BaseLLM,
            retrievers.BaseRetriever,
            tools.BaseTool,
            Pregel,
            AsyncCallbackManager,
            *(kind for kind in vars(prompts.chat).values() if isinstance(kind, type)),
            prompts.PromptTemplate,
            prompts.FewShotPromptTemplate,
            prompts.StringPromptTemplate,
            config,
            graphs,
        ]
        return [*(dict(vars(owner)) for owner in owners), list(context._configure_hooks)]

    instrumentor.uninstrument()
    before = state()
    for _ in range(3):
        instrumentor.instrument(tracer_provider=tracer_provider)
        assert state() != before
        instrumentor.uninstrument()
    after = state()

    for was, now in zip(before[:-1], after[:-1], strict=True):
        assert {key for key in was if was[key] is not now.get(key)} <= {"__annotations_cache__"}
        assert was.keys() == now.keys()
    assert before[-1] == after[-1]
    (PROMPT | model()).invoke(ASKED)
    assert trace.spans == []


def test_runs_that_are_open_when_it_is_uninstrumented_still_end(
    trace: Any, model: Make, instrumentor: Any
) -> None:
    stream = (PROMPT | model()).stream(ASKED)
    next(stream)
    instrumentor.uninstrument()
    list(stream)

    assert len(trace.spans) == 2


def test_no_run_is_kept_once_it_has_ended(model: Make, instrumentor: Any) -> None:
    def one() -> None:
        chain = (PROMPT | model()).with_config(run_name="x")
        list(chain.stream(ASKED))
        graph_of(model()).invoke({})
        with pytest.raises(ZeroDivisionError):
            (chain | (lambda answer: 1 / 0)).invoke(ASKED)

    from tupletrace.instrumentors.langchain.runs import Run

    def runs() -> int:
        gc.collect()
        return sum(type(kept) is Run for kept in gc.get_objects())

    before = runs()
    one()

    assert runs() <= before


@pytest.mark.parametrize("kind", ["model", "chain", "graph"])
@pytest.mark.parametrize("capture", ["NO_CONTENT", "SPAN_ONLY"])
def test_what_a_run_leaves_waits_for_no_garbage_collector(
    model: Make, instrumentor: Any, monkeypatch: pytest.MonkeyPatch, kind: str, capture: str
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", capture)
    instrumentor.uninstrument()
    instrumentor.instrument(tracer_provider=TracerProvider())
    runnable, asked = streams(model)[kind]

    def garbage() -> list[Any]:
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            runnable.invoke(asked)
            list(runnable.stream(asked))
            gc.collect()
            return [left for left in gc.garbage if type(left).__module__.startswith(OURS)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    garbage()
    assert garbage() == []


def test_a_program_that_does_not_use_langchain_does_not_import_it() -> None:
    program = """
import sys
from tupletrace.instrumentors.langchain import LangChainInstrumentor
LangChainInstrumentor().instrument()
assert not [name for name in sys.modules if name.startswith(("langchain", "langgraph", "langsmith"))]
from langchain_core.prompts import ChatPromptTemplate
assert "langgraph" not in sys.modules
LangChainInstrumentor().uninstrument()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_of_ours_does_not_reach_the_user(
    trace: Any,
    model: Make,
    instrumentor: Any,
    tracer_provider: TracerProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    instrumentor.uninstrument()
    monkeypatch.delenv("TUPLETRACE_RAISE_ERRORS")
    monkeypatch.setattr("tupletrace.instrumentors.firewall._reported", set())
    instrumentor.instrument(tracer_provider=tracer_provider)

    class Hostile(dict[str, Any]):
        def get(self, *args: Any) -> Any:
            raise RuntimeError("hostile")

    template = ChatPromptTemplate([("human", "{question}")])
    template.metadata = Hostile(a=1)

    assert (template | model()).invoke(ASKED).text == "Fine, thanks"
    assert model().bind(tools=[Hostile()]).invoke("Hi").text == "Fine, thanks"
    assert len(trace.all("chat")) == 2
    assert [record.name for record in caplog.records] == ["tupletrace"] * len(caplog.records) != []
    caplog.clear()


class Sealed:
    """An object of the user's that notes whenever its own code runs."""

    def __init__(self, seen: list[str]) -> None:
        object.__setattr__(self, "_seen", seen)

    def __getattribute__(self, name: str) -> Any:
        if name not in ("__class__", "_seen"):
            object.__getattribute__(self, "_seen").append(name)
        return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        object.__getattribute__(self, "_seen").append("repr")
        return "sealed"

    __str__ = __repr__


def test_code_of_the_users_objects_does_not_run_though_content_is_captured(
    trace: Any, instrumentor: Any, tracer_provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool
    def passing(given: Any) -> Any:
        """Pass on what it is given."""
        return given

    def run() -> list[str]:
        seen: list[str] = []
        sealed = Sealed(seen)
        (RunnableLambda(lambda one: one) | RunnableLambda(lambda one: [one])).invoke(sealed)
        passing.invoke({"given": sealed})
        return seen

    instrumentor.uninstrument()
    before = run()
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    instrumentor.instrument(tracer_provider=tracer_provider)

    assert run() == before
    assert "<Sealed>" in trace.facts("execute_tool passing")["gen_ai.tool.call.result"]


def test_a_graphs_stream_that_is_left_as_the_event_loop_ends_logs_no_error(
    trace: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def wait(state: Any) -> Any:
        writer = get_stream_writer()
        writer("begun")
        await asyncio.Event().wait()

    made = StateGraph(dict)
    made.add_node("wait", wait)
    made.add_edge(START, "wait")
    graph = made.compile(name="waiting")

    async def leave() -> None:
        async for _ in graph.astream({}, stream_mode="custom"):
            break

    asyncio.run(leave())

    assert caplog.messages == []
    assert trace.tree() == ["invoke_workflow waiting", ["wait"]]
