"""Retrievers: a name, a version that their configuration decides, and what was found by id."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode

Make = Callable[..., Any]


class Embedding(DeterministicFakeEmbedding):
    """Embeddings of a named model."""

    model: str = "embed-3"
    size: int = 8


class Chroma(InMemoryVectorStore):
    """A store that keeps its collection's name where Chroma does."""

    def __init__(self, embedding: Embeddings, collection: str) -> None:
        super().__init__(embedding)
        self._collection_name = collection


class PineconeVectorStore(InMemoryVectorStore):
    """A store that keeps index and namespace where Pinecone does."""

    def __init__(self, embedding: Embeddings) -> None:
        super().__init__(embedding)
        self._namespace = "eu"
        self._index = type(
            "Index", (), {"config": type("Config", (), {"host": "https://docs-a1b2.svc.pinecone.io"})}
        )


class Keywords(BaseRetriever):
    """A retriever of the user's own."""

    documents: list[Document]
    k: int = 1
    api_key: str = "sk-1"
    error: Any = None

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        if self.error is not None:
            raise self.error
        return self.documents[: self.k]


class Both(BaseRetriever):
    """A retriever that asks others."""

    retrievers: list[Any]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        config = {"callbacks": run_manager.get_child()}
        return [document for inner in self.retrievers for document in inner.invoke(query, config)]


DOCUMENTS = [
    Document("canary text", id="d1", metadata={"score": 0.5}),
    Document("more", metadata={"doc_id": "d2", "relevance_score": 0.25}),
    Document("nameless"),
]


def store(kind: Callable[..., Any] = Chroma, *rest: Any) -> Any:
    made = kind(Embedding(), *(rest or ("handbook",))) if kind is Chroma else kind(Embedding(), *rest)
    with suppress_instrumentation():
        made.add_documents([Document("How to return a parcel", id="p1"), Document("Opening hours", id="p2")])
    return made


def test_a_retrieval_tells_who_searched_what_and_found_which(trace: Any) -> None:
    found = store().as_retriever(search_kwargs={"k": 1}).invoke("parcels")

    facts = trace.facts("retrieval handbook")
    assert facts.pop("tupletrace.retriever.version").startswith("retriever-")
    assert facts == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "handbook",
        "gen_ai.request.model": "embed-3",
        "gen_ai.retrieval.top_k": 1,
        "gen_ai.retrieval.documents": json.dumps([{"id": found[0].id}]),
        "tupletrace.retriever.name": "VectorStoreRetriever",
    }


def version(trace: Any, retriever: Any, **given: Any) -> str:
    """The version of a retriever, as its span has it."""
    trace.clear()
    retriever.invoke("parcels", **given)
    (found,) = [span for span in trace.spans if span.parent is None]
    return dict(found.attributes)["tupletrace.retriever.version"]


def test_the_same_configuration_has_the_same_version_whatever_is_asked_and_stored(trace: Any) -> None:
    first = store().as_retriever(search_kwargs={"k": 1, "filter": lambda document: True})
    version_before = version(trace, first)
    first.vectorstore.add_documents([Document("New", id="p3")])

    assert version(trace, first) == version_before


@pytest.mark.parametrize(
    "other",
    [
        lambda: store(Chroma, "policies").as_retriever(),
        lambda: store(InMemoryVectorStore).as_retriever(),
        lambda: store().as_retriever(search_kwargs={"k": 2}),
        lambda: store().as_retriever(search_type="mmr"),
        lambda: store().as_retriever(search_kwargs={"filter": lambda document: True}),
    ],
    ids=["collection", "store", "top k", "search type", "filter"],
)
def test_another_configuration_is_another_version(trace: Any, other: Callable[[], Any]) -> None:
    assert version(trace, store().as_retriever()) != version(trace, other())


def test_another_embedding_model_is_another_version(trace: Any) -> None:
    other = store()
    other.embedding = Embedding(model="embed-4")

    assert version(trace, store().as_retriever()) != version(trace, other.as_retriever())


def test_a_top_k_that_is_not_given_is_the_stores_own_default(trace: Any) -> None:
    assert version(trace, store().as_retriever()) == version(
        trace, store().as_retriever(search_kwargs={"k": 4})
    )
    assert trace.facts("retrieval handbook")["gen_ai.retrieval.top_k"] == 4


def test_arguments_of_the_call_override_the_retrievers_own(trace: Any) -> None:
    retriever = store().as_retriever(search_kwargs={"k": 4})

    assert version(trace, retriever, k=1) == version(trace, store().as_retriever(search_kwargs={"k": 1}))
    assert trace.facts("retrieval handbook")["gen_ai.retrieval.top_k"] == 1


def test_values_and_secrets_of_a_filter_do_not_count_its_keys_do(trace: Any) -> None:
    def filtered(condition: dict[str, Any]) -> str:
        retriever = Filtered(vectorstore=store(), search_kwargs={"filter": condition})
        return version(trace, retriever)

    assert filtered({"tenant": "a"}) == filtered({"tenant": "b"})
    assert filtered({"tenant": "a"}) != filtered({"year": {"$gt": 2020}})


class Filtered(BaseRetriever):
    """A retriever over a store, whose filter is a mapping."""

    vectorstore: Any
    search_kwargs: dict[str, Any]

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return self.vectorstore.similarity_search(query)


def test_settings_of_the_users_own_retriever_count_and_its_key_does_not(trace: Any) -> None:
    base = version(trace, Keywords(documents=DOCUMENTS))

    assert base == version(trace, Keywords(documents=DOCUMENTS[:1], api_key="sk-2"))
    assert base != version(trace, Keywords(documents=DOCUMENTS, k=2))


def test_an_index_is_known_by_its_host_and_namespace(trace: Any) -> None:
    store(PineconeVectorStore).as_retriever().invoke("parcels")

    assert trace.tree() == ["retrieval docs/eu", ["embeddings embed-3"]]


def test_a_store_without_collections_is_known_by_its_class(trace: Any) -> None:
    store(InMemoryVectorStore).as_retriever().invoke("parcels")

    assert trace.tree() == ["retrieval InMemoryVectorStore", ["embeddings embed-3"]]


def test_a_retriever_is_called_as_the_user_named_it(trace: Any) -> None:
    retriever = Keywords(documents=DOCUMENTS)
    retriever.invoke("q")
    retriever.with_config(run_name="faq").invoke("q")

    names = [dict(span.attributes)["tupletrace.retriever.name"] for span in trace.spans]
    assert names == ["Keywords", "faq"]


def test_documents_are_listed_by_id_and_score_without_their_text(trace: Any) -> None:
    assert Keywords(documents=DOCUMENTS, k=3).invoke("canary query") == DOCUMENTS

    listed = json.loads(trace.facts("retrieval")["gen_ai.retrieval.documents"])
    assert listed == [{"id": "d1", "score": 0.5}, {"id": "d2", "score": 0.25}, {}]
    assert "canary" not in trace.one("retrieval").to_json()


def test_text_and_query_are_captured_when_asked_for(
    trace: Any, instrumentor: Any, tracer_provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrumentor.uninstrument()
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    instrumentor.instrument(tracer_provider=tracer_provider)
    Keywords(documents=DOCUMENTS).invoke("canary query")

    facts = trace.facts("retrieval")
    assert facts["gen_ai.retrieval.query.text"] == "canary query"
    assert json.loads(facts["gen_ai.retrieval.documents"])[0]["content"] == "canary text"


def test_retrievers_inside_another_have_spans_below_it(trace: Any) -> None:
    both = Both(retrievers=[store().as_retriever(), Keywords(documents=DOCUMENTS)])

    assert len(both.invoke("parcels")) == 3
    assert trace.tree() == ["retrieval", ["retrieval handbook", ["embeddings embed-3"], "retrieval"]]


def test_a_change_of_an_inner_retriever_changes_the_outer_ones_version(trace: Any) -> None:
    def outer(k: int) -> str:
        trace.clear()
        Both(retrievers=[store().as_retriever(search_kwargs={"k": k})]).invoke("parcels")
        return dict(trace.spans[0].attributes)["tupletrace.retriever.version"]

    assert outer(1) == outer(1) != outer(2)


def test_a_retrieval_in_a_chain_is_below_it_and_what_it_calls_below_the_retrieval(
    trace: Any, tracer_provider: TracerProvider
) -> None:
    tracer = tracer_provider.get_tracer("app")

    class Traced(Embedding):
        def embed_query(self, text: str) -> list[float]:
            with tracer.start_as_current_span("embed"):
                return super().embed_query(text)

        async def aembed_query(self, text: str) -> list[float]:
            await asyncio.sleep(0)
            return self.embed_query(text)

    chain = (Chroma(Traced(), "handbook").as_retriever() | len).with_config(run_name="count")
    chain.invoke("parcels")
    asyncio.run(chain.ainvoke("parcels"))

    assert (
        trace.tree()
        == ["invoke_workflow count", ["retrieval handbook", ["embeddings embed-3", ["embed"]]]] * 2
    )


@pytest.mark.parametrize("asynchronous", [False, True], ids=["invoke", "ainvoke"])
def test_an_error_of_a_retriever_is_recorded_and_raised_as_it_was(trace: Any, asynchronous: bool) -> None:
    error = KeyError("canary")
    retriever = Keywords(documents=DOCUMENTS, error=error)

    with pytest.raises(KeyError) as raised:
        asyncio.run(retriever.ainvoke("q")) if asynchronous else retriever.invoke("q")

    assert raised.value is error
    assert trace.one("retrieval").status.status_code is StatusCode.ERROR
    assert trace.facts("retrieval")["error.type"] == "KeyError"
    assert "canary" not in trace.one("retrieval").to_json()


def test_a_chain_that_a_retriever_runs_is_below_it_though_langchain_says_otherwise(
    trace: Any, model: Make
) -> None:
    class Rephrasing(BaseRetriever):
        """Has a chain rephrase the question, without handing its callbacks on."""

        chain: Any

        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            return [Document(self.chain.invoke({"query": query}))]

    rephrase = (
        ChatPromptTemplate.from_template("Rephrase {query}") | model() | StrOutputParser()
    ).with_config(run_name="rephrase")
    (RunnableLambda(str.lower) | Rephrasing(chain=rephrase)).with_config(run_name="outer").invoke("Why?")

    assert trace.tree() == ["invoke_workflow outer", ["retrieval", ["invoke_workflow rephrase", ["chat"]]]]
