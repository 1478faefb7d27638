"""The version of a retriever, as stores and retrievers of many makers keep what decides it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import PrivateAttr


class Embedding(DeterministicFakeEmbedding):
    """Embeddings of a named model."""

    model: str = "embed-3"
    size: int = 8


class Store(InMemoryVectorStore):
    """A store that takes any argument, and keeps what it is given where another does."""

    def __init__(self, embedding: Any = None, **kept: Any) -> None:
        super().__init__(embedding or Embedding())
        vars(self).update(kept)

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Find nothing."""
        return []

    def similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Find nothing either."""
        return []

    def semantic_hybrid_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Find as little."""
        return []


class Outer(InMemoryVectorStore):
    """A store that leaves all to another, as one with a synchronous face does."""

    def __init__(self, inner: Any) -> None:
        super().__init__(Embedding())
        self.__inner = inner

    def similarity_search(self, query: str, k: int | None = None, **kwargs: Any) -> list[Document]:
        """Ask the other."""
        return self.__inner.similarity_search(query, k or 4, **kwargs)


class Own(BaseRetriever):
    """A retriever of the user's own."""

    db: Any = None
    dense: Any = None
    config: Any = None
    index_name: Any = None
    pages: Any = None
    path: str = ""
    top_k_results: int | None = None
    _hidden: Any = PrivateAttr(default=None)

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return []


class Operator(StrEnum):
    """How a filter compares."""

    EQUAL = "Equal"


@dataclass
class Condition:
    """One condition, as Qdrant's and Weaviate's are built."""

    key: str
    value: Any
    operator: Operator = Operator.EQUAL
    nothing: Any = None


@dataclass
class All:
    """Several conditions."""

    must: list[Any] = field(default_factory=list[Any])


class Expression:
    """A filter that is an expression in the end, as Redis' are."""

    def __init__(self, text: str) -> None:
        self._filter = text


def facts(trace: Any, retriever: Any, **given: Any) -> dict[str, Any]:
    """Attributes of the outermost retrieval."""
    trace.clear()
    retriever.invoke("parcels", **given)
    return dict(next(span for span in trace.spans if span.parent is None).attributes)


def version(trace: Any, retriever: Any, **given: Any) -> str:
    """The version of a retriever, as its span has it."""
    return facts(trace, retriever, **given)["tupletrace.retriever.version"]


FILTERS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "mapping": lambda key, value: {"filter": {key: {"$eq": value}}},
    "list": lambda key, value: {"filter": [{"term": {key: value}}]},
    "many values": lambda key, value: {"filter": {key: {"$in": [value] * len(value)}}},
    "key and value": lambda key, value: {"filter": {"equals": {"key": key, "value": value}}},
    "sql": lambda key, value: {"filter": f"{key} = '{value}' AND price < {len(value)}.5"},
    "milvus": lambda key, value: {"expr": f'metadata["{key}"] == "{value}"'},
    "quoted sql": lambda key, value: {"where_str": f"\"{key}\" = '{value}'"},
    "odata": lambda key, value: {"filters": f"search.in({key}, '{value}')"},
    "lucene": lambda key, value: {"search_filter": f"{key}:{value} AND year:[2000 TO {len(value)}]"},
    "objects": lambda key, value: {"filter": All([Condition(f"metadata.{key}", value)])},
    "expression": lambda key, value: {"filter": Expression(f"@{key}:{{{value}}}")},
    "pipeline": lambda key, value: {"post_filter_pipeline": [{"$match": {key: value}}]},
}


@pytest.mark.parametrize("made", FILTERS.values(), ids=FILTERS)
def test_a_filter_counts_by_its_keys_and_not_by_its_values(
    trace: Any, made: Callable[[str, str], dict[str, Any]]
) -> None:
    def filtered(key: str, value: str) -> str:
        return version(trace, Store().as_retriever(search_kwargs=made(key, value)))

    assert filtered("tenant", "acme") == filtered("tenant", "initech")
    assert filtered("tenant", "acme") != filtered("owner", "acme")
    assert filtered("tenant", "acme") != version(trace, Store().as_retriever())


@pytest.mark.parametrize(
    ("kept", "name"),
    [
        ({"_table_name": "handbook", "_table": object()}, "handbook"),
        ({"config": SimpleNamespace(index_name="handbook")}, "handbook"),
        ({"_collection": SimpleNamespace(name="handbook")}, "handbook"),
        ({"schema_name": "public", "table_name": "handbook"}, "public/handbook"),
        ({"index_name": ["handbook", "policies"]}, "handbook+policies"),
        ({"_index_name": "LangChain_0f3b5ad19e6c4d0e9b8a7c6d5e4f3a2b"}, "LangChain_#"),
        ({"index_name": "01KA7Q4ZJ3V8W9XHYBNM2T5RCD"}, "#"),
    ],
    ids=["table", "config", "object", "schema", "several", "made up", "made up too"],
)
def test_a_store_is_known_by_the_name_of_what_it_searches_wherever_it_keeps_it(
    trace: Any, kept: dict[str, Any], name: str
) -> None:
    told = facts(trace, Store(**kept).as_retriever())

    assert told["gen_ai.data_source.id"] == name
    assert told["tupletrace.retriever.version"] != version(trace, Store().as_retriever())


@pytest.mark.parametrize(
    ("search", "other"),
    [
        ({"namespace": "eu"}, {"namespace": "us"}),
        ({"alpha": 0.3}, {"alpha": 0.4}),
        ({"param": {"ef": 10}}, {"param": {"ef": 20}}),
        ({"ranker_params": {"weights": [0.6, 0.4]}}, {"ranker_params": {"weights": [0.5, 0.5]}}),
    ],
    ids=["namespace", "number", "mapping", "list"],
)
def test_whatever_a_search_is_told_counts(trace: Any, search: dict[str, Any], other: dict[str, Any]) -> None:
    first = version(trace, Store().as_retriever(search_kwargs=search))

    assert first == version(trace, Store().as_retriever(search_kwargs=json.loads(json.dumps(search))))
    assert first != version(trace, Store().as_retriever(search_kwargs=other))


@pytest.mark.parametrize(
    "given",
    [
        {"tenant": "acme"},
        {"timeout": 3},
        {"api_key": "sk-1"},
        {"query_vector": [1.0]},
        {"model_url": "http://h"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_who_asks_and_on_which_way_does_not_count(trace: Any, given: dict[str, Any]) -> None:
    assert version(trace, Store().as_retriever(search_kwargs=given)) == version(trace, Store().as_retriever())


def test_the_mode_in_which_a_store_searches_counts(trace: Any) -> None:
    class Mode(Enum):
        DENSE = "dense"
        HYBRID = "hybrid"

    dense, hybrid = (version(trace, Store(mode=mode).as_retriever()) for mode in Mode)
    assert dense != hybrid


def test_a_store_that_leaves_its_work_to_another_is_one_retrieval_of_that_ones_table(trace: Any) -> None:
    told = facts(trace, Outer(Store(table_name="handbook", k=7)).as_retriever())

    assert trace.tree() == ["retrieval handbook"]
    assert told["gen_ai.retrieval.top_k"] == 7
    assert told["tupletrace.retriever.version"] != version(
        trace, Outer(Store(table_name="policies", k=7)).as_retriever()
    )
    trace.clear()
    Outer(Store(table_name="handbook")).similarity_search("parcels")
    assert trace.tree() == ["retrieval handbook"]


def test_embeddings_count_by_their_model_behind_a_cache_and_in_any_directory(trace: Any) -> None:
    from langchain_classic.embeddings import CacheBackedEmbeddings
    from langchain_core.stores import InMemoryByteStore

    def cached(model: str) -> dict[str, Any]:
        cache = CacheBackedEmbeddings.from_bytes_store(
            Embedding(model=model), InMemoryByteStore(), namespace=model, key_encoder="sha256"
        )
        return facts(trace, Store(cache).as_retriever())

    assert cached("embed-3")["gen_ai.request.model"] == "embed-3"
    assert cached("embed-3") != cached("embed-4")
    assert cached("/home/ann/models/bge") == cached("/srv/models/bge")


@pytest.mark.parametrize("mock", [Mock, MagicMock])
def test_embeddings_that_answer_to_any_name_are_known_by_their_class(trace: Any, mock: type) -> None:
    told = facts(trace, Store(mock()).as_retriever())

    assert told["gen_ai.request.model"] == mock.__name__


@pytest.mark.parametrize("where", ["db", "dense", "_hidden"])
def test_what_a_retriever_of_the_users_own_asks_is_part_of_its_version(trace: Any, where: str) -> None:
    def asking(table: str) -> str:
        asked: Any = Store(table_name=table)
        retriever = Own()
        setattr(retriever, where, asked.as_retriever() if where == "dense" else asked)
        return version(trace, retriever)

    assert asking("handbook") == asking("handbook")
    assert asking("handbook") != asking("policies")


def test_a_retriever_without_a_store_has_an_index_a_limit_and_settings_of_its_own(trace: Any) -> None:
    def found(**settings: Any) -> dict[str, Any]:
        return facts(trace, Own(**settings))

    told = found(index_name="handbook", top_k_results=3)
    assert told["gen_ai.data_source.id"] == "handbook"
    assert told["gen_ai.retrieval.top_k"] == 3
    assert found(config={"numberOfResults": 5})["gen_ai.retrieval.top_k"] == 5
    assert found(config={"filter": {"a": 1}}) == found(config={"filter": {"a": 2}})
    assert found(path="/home/ann/x") == found(path="/srv/x") == found(pages=["text"]) == found()


@pytest.mark.parametrize(
    ("kept", "name"),
    [
        ({"db": "postgresql://ann:canary@localhost/app"}, None),
        ({"corpus": ["canary one", "canary two"]}, None),
        ({"dataset": "canary\ncanary"}, None),
        ({"database": "/home/ann/canary/shop.db"}, "shop.db"),
    ],
    ids=["address", "texts", "text", "path"],
)
def test_neither_content_nor_secrets_nor_directories_become_the_name_of_what_is_searched(
    trace: Any, kept: dict[str, Any], name: str | None
) -> None:
    told = facts(trace, Store(**kept).as_retriever())

    assert told["gen_ai.data_source.id"] == (name or "Store")
    assert "canary" not in trace.spans[0].to_json()


def test_arguments_bound_to_a_retriever_count_in_an_ensemble(trace: Any) -> None:
    from langchain_classic.retrievers import EnsembleRetriever

    def ensemble(**bound: Any) -> str:
        return version(
            trace, EnsembleRetriever(retrievers=[Store().as_retriever().bind(**bound)], weights=[1])
        )

    assert ensemble(k=2) == ensemble(k=2)
    assert ensemble(k=2) != ensemble(k=3)


def test_threshold_model_and_order_of_what_compresses_count(trace: Any) -> None:
    from langchain_classic.retrievers import ContextualCompressionRetriever
    from langchain_classic.retrievers.document_compressors import (
        CrossEncoderReranker,
        DocumentCompressorPipeline,
    )
    from langchain_classic.retrievers.document_compressors.cross_encoder import BaseCrossEncoder

    class Encoder(BaseCrossEncoder):
        def __init__(self, model_name: str) -> None:
            self.model_name = model_name

        def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
            return [0.0 for _ in text_pairs]

    class Close(BaseDocumentCompressor):
        embeddings: Any
        similarity_threshold: float

        def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Any:
            return documents

    def close(threshold: float, model: str = "embed-3") -> Any:
        return Close(embeddings=Embedding(model=model), similarity_threshold=threshold)

    compressors: list[Any] = [
        close(0.7),
        close(0.8),
        close(0.7, "embed-4"),
        DocumentCompressorPipeline(transformers=[close(0.7)]),
        DocumentCompressorPipeline(transformers=[close(0.7), close(0.8)]),
        CrossEncoderReranker(model=Encoder("small")),
        CrossEncoderReranker(model=Encoder("large")),
    ]
    versions = [
        version(trace, ContextualCompressionRetriever(base_compressor=one, base_retriever=Own()))
        for one in [*compressors, close(0.7)]
    ]
    assert len(set(versions)) == len(compressors)
    assert versions[0] == versions[-1]


def test_what_a_retriever_remembers_does_not_count(trace: Any) -> None:
    from langchain_classic.retrievers import TimeWeightedVectorStoreRetriever

    retriever = TimeWeightedVectorStoreRetriever(vectorstore=Store(), k=2)
    before = version(trace, retriever)
    retriever.add_documents([Document("Opening hours")])

    assert version(trace, retriever) == before
    assert version(trace, TimeWeightedVectorStoreRetriever(vectorstore=Store(), k=3)) != before


def test_a_search_under_another_name_is_a_retrieval_too(trace: Any) -> None:
    Store(table_name="handbook").semantic_hybrid_search("parcels", 2)

    assert trace.tree() == ["retrieval handbook"]
    assert trace.facts("retrieval handbook")["gen_ai.retrieval.top_k"] == 2
