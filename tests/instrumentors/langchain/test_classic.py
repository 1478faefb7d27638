"""What lives on in langchain-classic: retrievers made of others, and the agents before LangGraph."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.retrievers import BaseRetriever
from langchain_core.stores import InMemoryByteStore, InMemoryStore
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from opentelemetry import trace as trace_api
from opentelemetry.instrumentation.utils import suppress_instrumentation


class Embedding(DeterministicFakeEmbedding):
    """Embeddings of a named model."""

    model: str = "embed-3"
    size: int = 8


class Keep(BaseDocumentCompressor):
    """Keeps the first documents."""

    top_n: int

    def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Any:
        return documents[: self.top_n]


class Faq(BaseRetriever):
    """Finds the answers to frequent questions."""

    text: str = "Parcels may be returned within 30 days."

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return [Document(self.text, id="f1")]


class Handbook(Faq):
    """Finds a page of the handbook."""


STORE, EMBEDDED = "retrieval InMemoryVectorStore", ["embeddings embed-3"]


def names(trace: Any) -> list[Any]:
    """What the retrievals are called, in the order in which they began."""
    return [span.attributes["tupletrace.retriever.name"] for span in trace.spans if "retrieval" in span.name]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["invoke", "ainvoke"])
def test_the_retrievers_of_an_ensemble_are_below_it(trace: Any, asynchronous: bool) -> None:
    from langchain_classic.retrievers import EnsembleRetriever

    ensemble = EnsembleRetriever(retrievers=[Faq(), Handbook()], weights=[0.5, 0.5])
    asyncio.run(ensemble.ainvoke("?")) if asynchronous else ensemble.invoke("?")

    assert trace.tree() == ["retrieval", ["retrieval", "retrieval"]]
    assert names(trace) == ["EnsembleRetriever", "Faq", "Handbook"]


def test_what_compresses_is_part_of_the_version_and_its_retriever_below(trace: Any) -> None:
    from langchain_classic.retrievers import ContextualCompressionRetriever

    def version(top_n: int) -> Any:
        trace.clear()
        keep = Keep(top_n=top_n)
        ContextualCompressionRetriever(base_compressor=keep, base_retriever=Faq()).invoke("?")
        return trace.spans[0].attributes["tupletrace.retriever.version"]

    assert version(1) == version(1)
    assert names(trace) == ["ContextualCompressionRetriever", "Faq"]
    assert version(1) != version(2)


def test_the_questions_that_a_model_makes_of_one_are_asked_below_it(trace: Any, model: Any) -> None:
    from langchain_classic.retrievers import MultiQueryRetriever

    MultiQueryRetriever.from_llm(retriever=Faq(), llm=model("one\ntwo")).invoke("?")

    (root, below) = trace.tree()
    assert root == "retrieval"
    assert below.count("retrieval") == 2
    asked = next(span for span in trace.spans if span.name == "chat")
    assert "tupletrace.retriever.versions" not in asked.attributes


@pytest.mark.parametrize("kind", ["parent document", "multi vector"])
def test_a_retriever_that_looks_up_what_it_found_searches_its_store_once(trace: Any, kind: str) -> None:
    from langchain_classic.retrievers import MultiVectorRetriever, ParentDocumentRetriever
    from langchain_text_splitters import CharacterTextSplitter

    store = InMemoryVectorStore(Embedding())
    if kind == "multi vector":
        retriever: Any = MultiVectorRetriever(vectorstore=store, byte_store=InMemoryByteStore())
    else:
        retriever = ParentDocumentRetriever(
            vectorstore=store, docstore=InMemoryStore(), child_splitter=CharacterTextSplitter()
        )
        with suppress_instrumentation():
            retriever.add_documents([Document("A page of the handbook")])
    retriever.invoke("?")

    assert trace.tree() == [STORE, EMBEDDED]


def test_a_self_query_is_one_retrieval_over_the_model_that_writes_it(trace: Any, model: Any) -> None:
    from langchain_classic.retrievers import SelfQueryRetriever
    from langchain_core.structured_query import StructuredQuery, Visitor

    class Translator(Visitor):
        def visit_operation(self, operation: Any) -> Any:
            return None

        def visit_comparison(self, comparison: Any) -> Any:
            return None

        def visit_structured_query(self, structured_query: Any) -> Any:
            return structured_query.query, {}

    template = ChatPromptTemplate.from_template("Write a query for {query}")
    written = template | model() | (lambda _: StructuredQuery(query="parcels", filter=None))
    store = InMemoryVectorStore(Embedding())
    SelfQueryRetriever(
        vectorstore=store, query_constructor=written, structured_query_translator=Translator()
    ).invoke("?")

    assert [name for name in str(trace.tree()).split("'") if "retrieval" in name] == [STORE]
    assert trace.all("chat")[0].parent is not None


@tool
def search(query: str) -> str:
    """Search the answers."""
    return Faq().invoke(query)[0].page_content


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream"])
def test_an_agent_executor_is_one_agent_whose_turns_are_counted(
    trace: Any, model: Callable[..., Any], how: str
) -> None:
    from langchain_classic.agents import AgentExecutor, create_tool_calling_agent

    prompt = ChatPromptTemplate.from_messages(
        [("system", "Be helpful."), ("user", "{input}"), MessagesPlaceholder("agent_scratchpad")]
    )
    call = AIMessage("", tool_calls=[{"name": "search", "args": {"query": "return"}, "id": "c1"}])
    agent = create_tool_calling_agent(model(call, "Within 30 days"), [search], prompt)
    executor: Any = AgentExecutor(agent=agent, tools=[search], name="helper", stream_runnable=False)
    match how:
        case "invoke":
            assert executor.invoke({"input": "May I?"})["output"] == "Within 30 days"
        case "ainvoke":
            asyncio.run(executor.ainvoke({"input": "May I?"}))
        case _:
            list(executor.stream({"input": "May I?"}))

    first, second = trace.all("chat")
    assert trace.one("invoke_agent helper").parent is None
    assert [span.attributes["gen_ai.agent.name"] for span in (first, second)] == ["helper"] * 2
    assert trace.facts("execute_tool search")["gen_ai.agent.name"] == "helper"
    assert trace.facts("execute_tool search")["gen_ai.tool.call.id"] == "c1"
    steps = [
        span.attributes["agent.trajectory.step"] for span in (first, trace.one("execute_tool search"), second)
    ]
    assert steps == [0, 1, 2]
    assert first.attributes["gen_ai.prompt.version"] == second.attributes["gen_ai.prompt.version"]
    assert first.attributes["gen_ai.prompt.version"].startswith("template-")
    assert len(second.attributes["tupletrace.retriever.versions"]) == 1


def test_tools_that_an_agent_executor_runs_side_by_side_keep_their_call_ids(
    trace: Any, model: Callable[..., Any]
) -> None:
    from langchain_classic.agents import AgentExecutor, create_tool_calling_agent

    @tool
    async def look(query: str) -> str:
        """Look it up."""
        trace_api.get_current_span().set_attribute("query", query)
        await asyncio.sleep(0)
        return query

    prompt = ChatPromptTemplate.from_messages([("user", "{input}"), MessagesPlaceholder("agent_scratchpad")])
    asked = [{"name": "look", "args": {"query": name}, "id": f"call-{name}"} for name in "aba"]
    asked[2]["id"] = "call-a-again"
    agent = create_tool_calling_agent(model(AIMessage("", tool_calls=asked), "Done"), [look], prompt)
    asyncio.run(AgentExecutor(agent=agent, tools=[look], stream_runnable=False).ainvoke({"input": "?"}))

    tools = [span.attributes for span in trace.all("execute_tool look")]
    told = sorted((tool["query"], tool["gen_ai.tool.call.id"]) for tool in tools)
    assert told == [("a", "call-a"), ("a", "call-a-again"), ("b", "call-b")]
