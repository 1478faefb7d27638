"""Vector stores that the program searches itself, and the embedding models that LangChain is silent about."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode

from tupletrace.instrumentors.openai import OpenAIInstrumentor

EMBEDDED = ["embeddings embed-3"]


class Embedding(DeterministicFakeEmbedding):
    """Embeddings of a named model."""

    model: str = "embed-3"
    size: int = 8


class Redis(InMemoryVectorStore):
    """A store that keeps its index's name where Redis does."""

    index_name = "handbook"


@pytest.fixture
def store() -> Redis:
    """A store of two pages."""
    made = Redis(Embedding())
    with suppress_instrumentation():
        made.add_documents([Document("How to return a parcel", id="p1"), Document("Opening hours", id="p2")])
    return made


SEARCHES: dict[str, Callable[[Any], Any]] = {
    "similarity": lambda store: store.similarity_search("parcels", k=1),
    "positional": lambda store: store.similarity_search("parcels", 1),
    "search": lambda store: store.search("parcels", "similarity", k=1),
    "score": lambda store: store.similarity_search_with_score("parcels", k=1),
    "mmr": lambda store: store.max_marginal_relevance_search("parcels", k=1, fetch_k=2),
    "async": lambda store: asyncio.run(store.asimilarity_search("parcels", k=1)),
    "async mmr": lambda store: asyncio.run(store.amax_marginal_relevance_search("parcels", k=1, fetch_k=2)),
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_search_of_a_store_is_one_retrieval_with_its_embedding_below(
    trace: Any, store: Any, search: Callable[[Any], Any]
) -> None:
    search(store)

    assert trace.tree() == ["retrieval handbook", EMBEDDED]
    facts = trace.facts("retrieval handbook")
    (document,) = json.loads(facts.pop("gen_ai.retrieval.documents"))
    assert document["id"] in ("p1", "p2")
    assert facts.pop("tupletrace.retriever.version").startswith("retriever-")
    assert facts == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "handbook",
        "gen_ai.request.model": "embed-3",
        "gen_ai.retrieval.top_k": 1,
        "tupletrace.retriever.name": "Redis",
    }


def test_how_a_store_is_searched_decides_the_version_and_what_is_asked_does_not(
    trace: Any, store: Any
) -> None:

    def version(search: Callable[[], Any]) -> Any:
        trace.clear()
        search()
        return trace.facts("retrieval handbook")["tupletrace.retriever.version"]

    first = version(lambda: store.similarity_search("parcels", k=1))
    assert first == version(lambda: store.similarity_search("hours", 1))
    assert first != version(lambda: store.similarity_search("parcels", k=2))
    assert first != version(lambda: store.max_marginal_relevance_search("parcels", k=1))
    assert first != version(lambda: store.similarity_search("parcels", k=1, filter=lambda _: True))


def test_the_scores_that_a_store_returns_beside_documents_are_theirs(trace: Any, store: Any) -> None:
    ((document, score),) = store.similarity_search_with_score("parcels", k=1)

    listed = json.loads(trace.facts("retrieval handbook")["gen_ai.retrieval.documents"])
    assert listed == [{"id": document.id, "score": pytest.approx(score)}]


def test_a_retrievers_search_of_its_own_store_is_no_second_retrieval(trace: Any, store: Any) -> None:
    store.as_retriever().invoke("parcels")
    asyncio.run(store.as_retriever().ainvoke("parcels"))

    assert trace.tree() == ["retrieval handbook", EMBEDDED] * 2


def test_a_store_that_a_retriever_of_the_users_own_hides_is_seen_below_it(trace: Any, store: Any) -> None:
    class Hiding(BaseRetriever):
        db: Any

        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            return self.db.similarity_search(query)

    (RunnableLambda(lambda question: question) | Hiding(db=store)).with_config(run_name="rag").invoke("?")

    assert trace.tree() == ["invoke_workflow rag", ["retrieval", ["retrieval handbook", EMBEDDED]]]


def test_a_search_in_a_chain_is_below_it_and_feeds_its_model(trace: Any, store: Any, model: Any) -> None:
    chain = RunnableLambda(store.similarity_search) | RunnableLambda(str) | model()
    chain.with_config(run_name="rag").invoke("parcels")

    assert trace.tree() == ["invoke_workflow rag", ["retrieval handbook", EMBEDDED, "chat"]]
    found, asked = trace.facts("retrieval handbook"), trace.facts("chat")
    assert asked["tupletrace.retriever.version"] == found["tupletrace.retriever.version"]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["search", "asearch"])
def test_an_error_of_a_store_is_recorded_and_raised_as_it_was(trace: Any, asynchronous: bool) -> None:
    error = KeyError("canary")

    class Broken(InMemoryVectorStore):
        def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
            raise error

        async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
            raise error

    broken = Broken(Embedding())
    with pytest.raises(KeyError) as raised:
        asyncio.run(broken.asimilarity_search("q")) if asynchronous else broken.similarity_search("q")

    assert raised.value is error
    assert trace.spans[0].status.status_code is StatusCode.ERROR
    assert "canary" not in trace.spans[0].to_json()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["embed", "aembed"])
def test_an_embedding_is_one_span_with_model_and_dimensions(trace: Any, asynchronous: bool) -> None:
    model = Embedding()
    if asynchronous:
        asyncio.run(model.aembed_query("parcels"))
    else:
        assert len(model.embed_documents(["parcels", "hours"])) == 2

    assert trace.facts("embeddings embed-3") == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "Embedding",
        "gen_ai.request.model": "embed-3",
        "gen_ai.embeddings.dimension.count": 8,
    }


def test_embeddings_that_are_made_of_one_another_are_one_call(trace: Any) -> None:
    class Made(Embeddings):
        model = "made"

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[1.0, 2.0] for _ in texts]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    assert asyncio.run(Made().aembed_query("parcels")) == [1.0, 2.0]
    assert trace.tree() == ["embeddings made"]


def test_an_error_of_an_embedding_is_recorded_and_raised_as_it_was(trace: Any) -> None:
    class Broken(Embedding):
        def embed_query(self, text: str) -> list[float]:
            raise KeyError(text)

    with pytest.raises(KeyError):
        Broken().embed_query("canary")

    assert trace.facts("embeddings embed-3")["error.type"] == "KeyError"
    assert "canary" not in trace.one("embeddings embed-3").to_json()


@pytest.fixture
def openai_embeddings() -> Callable[..., OpenAIEmbeddings]:
    """Make OpenAI's embeddings over an endpoint that charges ten tokens a request."""

    def make(**settings: Any) -> OpenAIEmbeddings:
        def endpoint(request: httpx.Request) -> httpx.Response:
            given = json.loads(request.content)["input"]
            data = [{"object": "embedding", "index": i, "embedding": [0.1, 0.2]} for i in range(len(given))]
            usage = {"prompt_tokens": 10, "total_tokens": 10}
            body = {"object": "list", "model": "text-embedding-3-small", "data": data, "usage": usage}
            return httpx.Response(200, json=body)

        return OpenAIEmbeddings(
            model="text-embedding-3-small",
            api_key="none",
            check_embedding_ctx_length=False,
            http_client=httpx.Client(transport=httpx.MockTransport(endpoint)),
            **settings,
        )

    return make


def test_beside_the_openai_client_a_call_of_several_requests_is_one_span_with_all_their_tokens(
    trace: Any, openai_embeddings: Any, tracer_provider: TracerProvider
) -> None:
    client = OpenAIInstrumentor()
    client.instrument(tracer_provider=tracer_provider)
    try:
        openai_embeddings(chunk_size=1).embed_documents(["one", "two", "three"])
    finally:
        client.uninstrument()

    assert trace.tree() == ["embeddings text-embedding-3-small"]
    facts = trace.facts("embeddings text-embedding-3-small")
    assert facts["gen_ai.usage.input_tokens"] == 30
    assert facts["gen_ai.response.model"] == "text-embedding-3-small"
    assert facts["gen_ai.provider.name"] == "openai"


def test_the_provider_of_embeddings_is_who_answers_at_their_address(
    trace: Any, openai_embeddings: Any
) -> None:
    openai_embeddings(base_url="https://api.mistral.ai/v1").embed_query("one")

    assert trace.facts("embeddings text-embedding-3-small")["gen_ai.provider.name"] == "mistral_ai"


def test_embeddings_of_a_deployment_are_known_by_it_and_by_a_model_that_is_given(trace: Any) -> None:
    class Azure(Embedding):
        model: str = "text-embedding-ada-002"
        deployment: str | None = None

    Azure(deployment="embed-eu").embed_query("one")
    Azure(deployment="embed-eu", model="models/embed-4").embed_query("one")

    assert trace.tree() == ["embeddings embed-eu", "embeddings embed-4"]


def test_nothing_is_wrapped_once_uninstrumented(trace: Any, instrumentor: Any, store: Any) -> None:
    class Later(Embedding):
        def embed_query(self, text: str) -> list[float]:
            return super().embed_query(text)

    instrumentor.uninstrument()
    store.similarity_search("parcels")
    Later().embed_query("parcels")

    assert trace.tree() == []
    assert "__init_subclass__" not in vars(Embeddings)
    assert type(vars(Later)["embed_query"]).__name__ == "function"
