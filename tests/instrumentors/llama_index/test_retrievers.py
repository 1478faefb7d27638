"""The retriever's identity: equal in every process, other when the configuration is."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core import Document, MockEmbedding, SQLDatabase, StorageContext, VectorStoreIndex
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import NLSQLTableQueryEngine
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores import ExactMatchFilter, MetadataFilters, SimpleVectorStore
from pydantic import PrivateAttr
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

pytestmark = pytest.mark.usefixtures("instrumented")

NAME, VERSION = "tupletrace.retriever.name", "tupletrace.retriever.version"


def build(model_name: str = "embed-1", **settings: Any) -> VectorStoreIndex:
    documents = [Document(text="Paris is a city."), Document(text="Lyon is a city.")]
    return VectorStoreIndex.from_documents(
        documents, embed_model=MockEmbedding(4, model_name=model_name), **settings
    )


@pytest.fixture
def version(named: Any, spans: Any) -> Callable[[Any], str]:
    """Ask a retriever or query engine and return the version of the retriever that was asked."""

    def ask(asked: Any) -> str:
        spans.clear()
        (asked.query if hasattr(asked, "query") else asked.retrieve)("What is Paris?")
        return str(named("retrieval")[0].attributes[VERSION])

    return ask


def test_a_retrieval_says_who_was_asked_and_which_documents_came_back(named: Any, spans: Any) -> None:
    index = build()
    spans.clear()
    found = index.as_retriever(similarity_top_k=1).retrieve("What is Paris?")

    (retrieval,) = named("retrieval")
    assert retrieval.name == "retrieval SimpleVectorStore"
    said = dict(retrieval.attributes)
    assert said.pop(VERSION).startswith("retriever-")
    assert json.loads(said.pop("gen_ai.retrieval.documents")) == [
        {"id": found[0].node.node_id, "score": found[0].score}
    ]
    assert said == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "SimpleVectorStore",
        "gen_ai.request.model": "embed-1",
        "gen_ai.retrieval.top_k": 1,
        NAME: "VectorIndexRetriever",
    }


def test_the_version_follows_the_configuration_and_nothing_else(version: Any) -> None:
    same = {version(build().as_retriever()) for _ in range(2)}
    assert len(same) == 1

    def filtered(key: str, value: str) -> Any:
        return build().as_retriever(filters=MetadataFilters(filters=[ExactMatchFilter(key=key, value=value)]))

    others = {
        version(build().as_retriever(similarity_top_k=5)),
        version(build("embed-2").as_retriever()),
        version(build().as_retriever(alpha=0.5)),
        version(filtered("lang", "fr")),
        version(filtered("year", "fr")),
    }
    assert len(others) == 5
    assert not others & same
    assert version(filtered("lang", "fr")) == version(filtered("lang", "en"))


def test_an_index_id_is_the_data_source_only_if_somebody_set_it(named: Any, version: Any) -> None:
    index = build()
    index.set_index_id("cities")
    assert version(index.as_retriever()) != version(build().as_retriever())

    version(index.as_retriever())
    assert named("retrieval")[0].name == "retrieval cities"


class CollectionStore(SimpleVectorStore):
    """A vector store with a collection, as Chroma's and Qdrant's have."""

    collection_name: str = ""


class ChromaStore(SimpleVectorStore):
    """A vector store that keeps a collection of Chroma's, whose name is a property of its model's."""

    _collection: Any = PrivateAttr()


def in_collection(name: str) -> CollectionStore:
    store = CollectionStore()
    store.collection_name = name
    return store


def over_chroma(name: str) -> ChromaStore:
    store = ChromaStore()
    store._collection = SimpleNamespace(_model=SimpleNamespace(name=name))
    return store


@pytest.mark.parametrize("store", [in_collection, over_chroma])
def test_a_stores_collection_is_the_data_source(named: Any, version: Any, store: Any) -> None:
    def over(collection: str) -> Any:
        context = StorageContext.from_defaults(vector_store=store(collection))
        return build(storage_context=context).as_retriever()

    assert version(over("docs-v1")) != version(over("docs-v2"))
    assert named("retrieval")[0].attributes["gen_ai.data_source.id"] == "docs-v2"


def test_rerankers_of_the_engine_that_owns_the_retriever_are_part_of_its_version(
    version: Any, llm: Any
) -> None:
    def engine(*cutoffs: float) -> Any:
        postprocessors = [SimilarityPostprocessor(similarity_cutoff=cutoff) for cutoff in cutoffs]
        return build().as_query_engine(llm=llm(), node_postprocessors=postprocessors)

    assert version(engine()) == version(build().as_retriever())
    assert len({version(engine()), version(engine(0.1)), version(engine(0.2))}) == 3
    assert version(engine(0.1)) == version(engine(0.1))


def test_a_retriever_of_retrievers_holds_their_configuration_and_has_them_below_it(
    version: Any, llm: Any, tree: Any
) -> None:
    def fused(top_k: int) -> Any:
        inner = [build().as_retriever(), build("embed-2").as_retriever(similarity_top_k=top_k)]
        return QueryFusionRetriever(inner, llm=llm(), num_queries=1, use_async=False)

    assert version(fused(2)) == version(fused(2))
    assert version(fused(2)) != version(fused(3))
    # The second retriever uses the embedding that the first one put into the question.
    inner = [("retrieval SimpleVectorStore", ["embeddings embed-1"]), "retrieval SimpleVectorStore"]
    assert tree() == [("retrieval", inner)]


class Fixed(BaseRetriever):
    """A retriever of the user's own."""

    def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        if query_bundle.query_str == "fail":
            raise LookupError("canary")
        return [NodeWithScore(node=TextNode(text="Paris", id_="1"), score=float("nan"))]


def test_a_retriever_of_the_users_own_is_named_after_its_class(named: Any) -> None:
    Fixed().retrieve("What?")
    (retrieval,) = named("retrieval")
    assert retrieval.attributes[NAME] == "Fixed"
    assert retrieval.attributes["gen_ai.retrieval.documents"] == '[{"id": "1"}]'


class Twice(BaseRetriever):
    """Asks a retriever of whatever name, and keeps what it is constructed with."""

    def __init__(self, inner: Any, factor: float, mode: str = "plain", user_id: str = "ann") -> None:
        self._first_stage, self.factor, self._mode, self.user_id = inner, factor, mode, user_id
        self.asked = 0
        super().__init__()

    def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        self.asked += 1
        return self._first_stage.retrieve(query_bundle)


def test_a_retriever_of_the_users_own_is_known_by_what_it_is_made_of(named: Any, spans: Any) -> None:
    """Not by what it counts, nor by who asks."""
    index = build()

    def version(retriever: Any) -> str:
        spans.clear()
        retriever.retrieve("What is Paris?")
        return str(named("retrieval")[0].attributes[VERSION])

    one = Twice(index.as_retriever(similarity_top_k=1), 0.5)
    known = version(one)
    assert version(one) == known
    assert version(Twice(index.as_retriever(similarity_top_k=1), 0.5, user_id="bob")) == known
    others = [
        Twice(index.as_retriever(similarity_top_k=2), 0.5),
        Twice(index.as_retriever(similarity_top_k=1), 0.6),
        Twice(index.as_retriever(similarity_top_k=1), 0.5, mode="other"),
    ]
    assert len({known, *map(version, others)}) == 4


def test_what_is_asked_of_tables_is_a_retrieval_too(llm: Any, endpoint: Any, tree: Any, named: Any) -> None:
    """The engine does not ask the retriever as others do."""
    memory = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with memory.begin() as connection:
        for table in ("city", "river"):
            connection.execute(text(f"CREATE TABLE {table} (name TEXT)"))
            connection.execute(text(f"INSERT INTO {table} VALUES ('Paris'), ('Lyon')"))
    endpoint.reply = lambda _: endpoint.says("SELECT name FROM city")

    def ask(*tables: str) -> str:
        database = SQLDatabase(memory, include_tables=[*tables])
        engine = NLSQLTableQueryEngine(
            database, tables=[*tables], llm=llm(), embed_model=MockEmbedding(embed_dim=4)
        )
        engine.query("Which cities are there?")
        return str(named("retrieval")[-2].attributes[VERSION])

    version = ask("city")
    assert tree() == [
        (
            "invoke_workflow NLSQLTableQueryEngine",
            [("retrieval", ["chat gpt-4o-mini", "retrieval"]), "chat gpt-4o-mini"],
        )
    ]
    assert [span.attributes[NAME] for span in named("retrieval")] == ["NLSQLRetriever", "SQLRetriever"]
    answer = named("chat")[-1].attributes
    assert (answer[NAME], answer[VERSION]) == ("NLSQLRetriever", version)
    assert len(json.loads(named("retrieval")[0].attributes["gen_ai.retrieval.documents"])) == 1
    assert ask("city", "river") != version


def test_a_failing_retriever_raises_to_the_user_and_fails_its_span(failures: Any, spans: Any) -> None:
    with pytest.raises(LookupError, match="canary"):
        Fixed().retrieve("fail")
    assert failures() == {"retrieval": "LookupError"}
    assert "canary" not in spans.get_finished_spans()[0].to_json()
