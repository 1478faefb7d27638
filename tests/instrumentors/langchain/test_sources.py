"""An inference says which retrievers' documents it was given, and nothing of those beside it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import before_model
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import use_span

Make = Callable[..., Any]
PROMPT = ChatPromptTemplate.from_template("Of {documents}\nanswer {question}")


class Faq(BaseRetriever):
    """Finds the answers to frequent questions."""

    text: str = "Parcels may be returned within 30 days."

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return [Document(self.text, id="f1")]


class Handbook(Faq):
    """Finds a page of the handbook."""


def facts(span: Any) -> dict[str, Any]:
    """What a span says of retrievers."""
    names = ("tupletrace.retriever.name", "tupletrace.retriever.version", "tupletrace.retriever.versions")
    return {name.rpartition(".")[2]: span.attributes[name] for name in names if name in span.attributes}


def of(trace: Any, *retrievers: str) -> dict[str, Any]:
    """What an inference says that was given the documents of these retrievers."""
    versions = {
        span.attributes["tupletrace.retriever.name"]: span.attributes["tupletrace.retriever.version"]
        for span in trace.all("retrieval")
    }
    listed = {"versions": tuple(sorted(versions[name] for name in retrievers))}
    return (
        listed
        if len(retrievers) > 1
        else {"name": retrievers[0], "version": versions[retrievers[0]], **listed}
    )


def rag(retriever: Any, model: Any) -> Any:
    """A chain that answers from what a retriever finds."""
    return {"documents": retriever, "question": RunnablePassthrough()} | PROMPT | model | StrOutputParser()


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "batch"])
def test_a_chains_model_is_fed_by_its_retriever(trace: Any, model: Make, how: str) -> None:
    chain = rag(Faq(), model())
    match how:
        case "invoke":
            chain.invoke("May I?")
        case "ainvoke":
            asyncio.run(chain.ainvoke("May I?"))
        case "stream":
            list(chain.stream("May I?"))
        case _:
            chain.batch(["May I?", "Must I?"])

    inferences = [span for span in trace.spans if span.name.startswith("chat")]
    assert [facts(span) for span in inferences] == [of(trace, "Faq")] * len(inferences) != []


def test_a_model_that_two_retrievers_feed_lists_both_versions(trace: Any, model: Make) -> None:
    both = {"documents": Faq(), "more": Handbook(), "question": RunnablePassthrough()}
    (both | PROMPT | model()).invoke("May I?")

    assert facts(trace.one("chat")) == of(trace, "Faq", "Handbook")


def test_branches_that_run_side_by_side_know_nothing_of_each_others_documents(
    trace: Any, model: Make
) -> None:
    plain = ChatPromptTemplate.from_template("Answer {question}") | model()
    beside = RunnableParallel(
        faq=rag(Faq(), model()),
        handbook=rag(Handbook(), model()),
        plain=RunnableLambda(lambda question: {"question": question}) | plain,
    )
    asyncio.run((beside | RunnableLambda(str) | model()).ainvoke("May I?"))

    *branches, last = [facts(span) for span in trace.all("chat")]
    assert sorted(found.get("name", "none") for found in branches) == ["Faq", "Handbook", "none"]
    assert last == of(trace, "Faq", "Handbook")


def test_a_chain_that_has_ended_feeds_no_later_one(trace: Any, model: Make) -> None:
    rag(Faq(), model()).invoke("May I?")
    trace.clear()
    (ChatPromptTemplate.from_template("Say {what}") | model()).invoke({"what": "hello"})

    assert facts(trace.one("chat")) == {}


class State(TypedDict, total=False):
    """What the nodes of a graph pass on."""

    question: str
    documents: list[Document]
    aside: str
    answer: str


def test_a_graphs_node_is_fed_by_the_nodes_before_it_and_not_by_those_beside_it(
    trace: Any, model: Make
) -> None:
    async def retrieve(state: State) -> State:
        return {"documents": await Faq().ainvoke(state["question"])}

    async def chatter(state: State) -> State:
        await asyncio.sleep(0.01)
        return {"aside": (await model("aside").ainvoke("Small talk, please")).content}

    async def answer(state: State) -> State:
        return {"answer": (await model("answer").ainvoke(f"{state['documents']}")).content}

    graph = StateGraph(State)
    for node in (retrieve, chatter, answer):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "retrieve").add_edge(START, "chatter")
    graph.add_edge(["retrieve", "chatter"], "answer").add_edge("answer", END)
    asyncio.run(graph.compile(name="faq").ainvoke({"question": "May I?"}))

    assert [facts(span) for span in trace.all("chat")] == [{}, of(trace, "Faq")]


def test_an_agents_next_turn_is_fed_by_the_tool_that_retrieved(trace: Any, model: Make) -> None:
    @tool
    def search(query: str) -> str:
        """Search the answers."""
        return Faq().invoke(query)[0].page_content

    call = AIMessage("", tool_calls=[{"name": "search", "args": {"query": "return"}, "id": "c1"}])
    agent = create_agent(model(call, "Within 30 days"), tools=[search], name="helper")
    agent.invoke({"messages": [("user", "May I?")]})

    assert [facts(span) for span in trace.all("chat")] == [{}, of(trace, "Faq")]


def test_what_the_program_retrieves_by_hand_is_recognised_in_what_it_asks(trace: Any, model: Make) -> None:
    def answer(question: str) -> Any:
        context = "\n".join(f"> {one.page_content}" for one in Faq().invoke(question))
        return model().invoke(f"{context}\n{question}")

    answer("May I?")
    model().invoke("Something else")

    assert [facts(span) for span in trace.all("chat")] == [of(trace, "Faq"), {}]


def test_a_retriever_that_asks_others_is_the_one_that_feeds(trace: Any, model: Make) -> None:
    class Both(BaseRetriever):
        retrievers: list[Any]

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            config = {"callbacks": run_manager.get_child()}
            return [document for inner in self.retrievers for document in inner.invoke(query, config)]

    rag(Both(retrievers=[Faq(), Handbook()]), model()).invoke("May I?")

    assert facts(trace.one("chat")) == of(trace, "Both")


def test_a_retrieval_that_failed_feeds_nothing(trace: Any, model: Make) -> None:
    class Broken(BaseRetriever):
        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            raise KeyError(query)

    none = RunnableLambda(lambda _: "nothing")
    rag(Broken().with_fallbacks([none]), model()).invoke("May I?")

    assert facts(trace.one("chat")) == {}


def test_branches_that_the_user_named_run_side_by_side_too(trace: Any, model: Make) -> None:
    branches = RunnableParallel(faq=Faq(), plain=RunnableLambda(lambda _: "Hi") | model()).with_config(
        run_name="both"
    )
    (RunnablePassthrough() | branches).invoke("May I?")

    assert facts(trace.one("chat")) == {}


def test_of_several_retrievers_those_feed_whose_documents_are_asked_about(trace: Any, model: Make) -> None:
    pages, returns = Handbook(text="Opening hours are from nine to five."), Faq()
    found = {"pages": pages, "documents": returns, "question": RunnablePassthrough()}
    (found | PROMPT | model()).invoke("May I?")

    assert facts(trace.one("chat")) == of(trace, "Faq")


def test_what_one_tool_found_does_not_feed_the_tool_beside_it(trace: Any, model: Make) -> None:
    done = threading.Event()

    @tool
    def look_up(question: str) -> str:
        """Look it up."""
        found = Faq().invoke(question)[0].page_content
        done.set()
        return found

    @tool
    def translate(text: str) -> str:
        """Translate it."""
        assert done.wait(120)
        return str(model().invoke(text).text)

    calls = [
        ToolCall(name=one.name, args={key: "Hi"}, id=key)
        for one, key in ((look_up, "question"), (translate, "text"))
    ]
    state = StateGraph(MessagesState)
    state.add_node("tools", ToolNode([look_up, translate]))
    state.add_edge(START, "tools")
    state.compile().invoke({"messages": [AIMessage("", tool_calls=calls)]})

    assert facts(trace.one("chat")) == {}


def test_what_is_found_by_hand_in_another_trace_does_not_feed_this_one(
    trace: Any, model: Make, tracer_provider: TracerProvider
) -> None:
    """Two retrievers find the same page, each for a request of its own, before either asks."""
    tracer = tracer_provider.get_tracer("app")
    requests = [tracer.start_span("request") for _ in range(2)]
    pages = []
    for request, retriever in zip(requests, (Faq(), Handbook()), strict=True):
        with use_span(request):
            pages.append(retriever.invoke("May I?")[0].page_content)
    for request, page in zip(requests, pages, strict=True):
        with use_span(request, end_on_exit=True):
            model().invoke(page)

    assert [facts(span) for span in trace.all("chat")] == [of(trace, "Faq"), of(trace, "Handbook")]


def test_what_is_found_by_hand_in_another_task_does_not_feed_this_one(trace: Any, model: Make) -> None:
    async def answer(retriever: BaseRetriever, found: asyncio.Barrier) -> None:
        (page,) = await retriever.ainvoke("May I?")
        await found.wait()
        await model().ainvoke(page.page_content)

    async def both() -> None:
        found = asyncio.Barrier(2)
        await asyncio.gather(answer(Faq(), found), answer(Handbook(), found))

    asyncio.run(both())

    credited = [facts(span)["name"] for span in trace.all("chat")]
    assert sorted(credited) == ["Faq", "Handbook"]


def test_what_a_hook_of_an_agent_found_feeds_its_model(trace: Any, model: Make) -> None:
    @before_model
    def look_up(state: Any, runtime: Any) -> dict[str, Any]:
        return {"messages": [("user", Faq().invoke("May I?")[0].page_content)]}

    create_agent(model(), [], middleware=[look_up]).invoke({"messages": [("user", "May I?")]})

    assert facts(trace.one("chat")) == of(trace, "Faq")
    steps = {span.name: span.attributes.get("agent.trajectory.step") for span in trace.spans}
    assert steps == {
        "invoke_agent test_what_a_hook_of_an_agent_found_feeds_its_model": None,
        "look_up.before_model": 0,
        "retrieval": 0,
        "model": 1,
        "chat": 1,
    }
