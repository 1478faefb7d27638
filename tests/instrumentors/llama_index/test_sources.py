"""An inference says which retrievers' documents it was given, and nothing of those beside it."""

import asyncio
from typing import Any

import pytest
from llama_index.core import PromptTemplate, VectorStoreIndex, get_response_synthesizer
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool, QueryEngineTool
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from openai.resources.embeddings import Embeddings as OpenAIEmbeddings
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import use_span
from opentelemetry.util.genai.handler import TelemetryHandler
from wrapt import FunctionWrapper

from tupletrace.instrumentors.openai import OpenAIInstrumentor

pytestmark = pytest.mark.usefixtures("instrumented")

VERSION, VERSIONS = "tupletrace.retriever.version", "tupletrace.retriever.versions"


@pytest.fixture
def fed(named: Any) -> Any:
    """Return for each inference the versions that fed it."""
    return lambda: [span.attributes.get(VERSIONS, ()) for span in named("chat ")]


@pytest.fixture
def found(named: Any) -> Any:
    """Return the version of each retrieval."""
    return lambda: [span.attributes[VERSION] for span in named("retrieval")]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_query_engines_model_is_fed_by_its_retriever(
    index: VectorStoreIndex, llm: Any, fed: Any, found: Any, streaming: bool
) -> None:
    answer: Any = index.as_query_engine(llm=llm(), streaming=streaming).query("What is Paris?")
    if streaming:
        list(answer.response_gen)

    (version,) = found()
    assert fed() == [(version,)]


def test_queries_side_by_side_know_nothing_of_each_others_documents(
    index: VectorStoreIndex, llm: Any, named: Any
) -> None:
    engines = [index.as_query_engine(llm=llm(), similarity_top_k=1 + n % 2) for n in range(20)]

    async def ask() -> None:
        await asyncio.gather(*(engine.aquery("What is Paris?") for engine in engines))

    asyncio.run(ask())
    versions = {span.parent.span_id: span.attributes[VERSION] for span in named("retrieval")}
    assert len(set(versions.values())) == 2
    for inference in named("chat "):
        assert inference.attributes[VERSION] == versions[inference.parent.span_id]


def test_an_agents_next_turn_is_fed_by_the_tool_that_retrieved(
    index: VectorStoreIndex, llm: Any, endpoint: Any, fed: Any, found: Any
) -> None:
    def reply(body: dict[str, Any]) -> Any:
        done = any(message["role"] == "tool" for message in body["messages"])
        return endpoint.says("A city") if done else endpoint.calls(("search", {"query": "Paris"}))

    def search(query: str) -> str:
        """Search."""
        return index.as_retriever().retrieve(query)[0].get_content()

    endpoint.reply = reply
    agent = FunctionAgent(
        name="helper", llm=llm(), tools=[FunctionTool.from_defaults(search)], streaming=False
    )

    async def run() -> None:
        await agent.run(user_msg="What is Paris?")

    asyncio.run(run())
    assert fed() == [(), (found()[0],)]


def test_a_query_engine_that_is_a_tool_feeds_its_own_model_and_then_the_agents(
    index: VectorStoreIndex, llm: Any, endpoint: Any, fed: Any, found: Any
) -> None:
    def reply(body: dict[str, Any]) -> Any:
        asks = bool(body.get("tools")) and not any(message["role"] == "tool" for message in body["messages"])
        return endpoint.calls(("cities", {"input": "Paris"})) if asks else endpoint.says("A city")

    endpoint.reply = reply
    tool = QueryEngineTool.from_defaults(
        index.as_query_engine(llm=llm()), name="cities", description="Cities"
    )
    agent = FunctionAgent(name="helper", llm=llm(), tools=[tool], streaming=False)

    async def run() -> None:
        await agent.run(user_msg="What is Paris?")

    asyncio.run(run())
    (version,) = found()
    assert fed() == [(), (version,), (version,)]


class Found(Event):
    """Documents were found."""

    text: str


class Rag(Workflow):
    """Looks up in one step and asks in another."""

    def __init__(self, index: VectorStoreIndex, llm: Any) -> None:
        super().__init__()
        self._index, self._llm = index, llm

    @step
    async def look_up(self, ctx: Context, ev: StartEvent) -> Found:
        nodes = await self._index.as_retriever().aretrieve("What is Paris?")
        return Found(text=nodes[0].get_content())

    @step
    async def ask(self, ctx: Context, ev: Found) -> StopEvent:
        return StopEvent(result=await self._llm.acomplete(f"Sum up: {ev.text}"))


def test_a_step_of_a_workflow_is_fed_by_the_steps_before_it(
    index: VectorStoreIndex, llm: Any, fed: Any, found: Any
) -> None:
    async def run() -> None:
        await Rag(index, llm()).run()

    asyncio.run(run())
    assert fed() == [(found()[0],)]


def test_what_the_program_retrieves_by_hand_is_recognised_in_what_it_asks(
    index: VectorStoreIndex, llm: Any, fed: Any, found: Any
) -> None:
    nodes = index.as_retriever().retrieve("What is Paris?")
    llm().predict(PromptTemplate("Of {context} answer"), context="; ".join(n.get_content() for n in nodes))
    get_response_synthesizer(llm=llm()).synthesize("What is Paris?", nodes)
    llm().chat([ChatMessage(role="user", content="Something else")])

    assert fed() == [(found()[0],), (found()[0],), ()]


def also_told(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Wrap the client as another vendor's instrumentor does, beside ours."""
    with TelemetryHandler().embedding("openai", request_model=kwargs["model"]) as invocation:
        answer = wrapped(*args, **kwargs)
        invocation.input_tokens = answer.usage.prompt_tokens
        return answer


@pytest.mark.parametrize("beside", [False, True])
def test_embedding_calls_of_several_requests_say_all_their_tokens_once(
    index: VectorStoreIndex,
    tracer_provider: TracerProvider,
    named: Any,
    monkeypatch: pytest.MonkeyPatch,
    beside: bool,
) -> None:
    if beside:
        create = FunctionWrapper(OpenAIEmbeddings.create, also_told)
        monkeypatch.setattr(OpenAIEmbeddings, "create", create)
    model: Any = index._embed_model

    class OneByOne(type(model)):
        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return [
                list(self._get_client().embeddings.create(input=[text], model="m").data[0].embedding)
                for text in texts
            ]

    one_by_one = OneByOne(model="text-embedding-3-small", api_key="sk-test", http_client=model._http_client)
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    try:
        one_by_one.get_text_embedding_batch(["one", "two", "three"])
    finally:
        OpenAIInstrumentor().uninstrument()

    (embeddings,) = named("embeddings")
    assert embeddings.attributes["gen_ai.usage.input_tokens"] == 15


def test_a_synthesizer_that_leaves_the_documents_out_is_not_fed(
    index: VectorStoreIndex, llm: Any, fed: Any
) -> None:
    index.as_query_engine(llm=llm(), response_mode="generation").query("Where is Paris?")

    assert fed() == [()]


def test_what_is_found_by_hand_in_another_trace_does_not_feed_this_one(
    index: VectorStoreIndex, llm: Any, fed: Any, found: Any, tracer_provider: TracerProvider
) -> None:
    """Two retrievers find the same page, each for a request of its own, before either asks."""
    tracer = tracer_provider.get_tracer("app")
    requests = [tracer.start_span("request") for _ in range(2)]
    pages: list[str] = []
    for top_k, request in enumerate(requests, start=1):
        with use_span(request):
            pages.append(index.as_retriever(similarity_top_k=top_k).retrieve("Where?")[0].text)
    for page, request in zip(pages, requests, strict=True):
        with use_span(request, end_on_exit=True):
            llm().complete(f"Of {page} tell more")

    first, second = found()
    assert first != second
    assert fed() == [(first,), (second,)]
