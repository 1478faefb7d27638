"""Retrievers: their identity from the live object, and the ids and scores of what they found."""

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any, Final, cast

from opentelemetry.context import create_key, set_value
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import CLIENT_RETRIEVAL_CONTEXT_KEY, RetrievalInvocation

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.langchain.runs import Run
from tupletrace.instrumentors.langchain.settings import setting, settings
from tupletrace.instrumentors.langchain.stores import (
    attributes_of,
    collection_of,
    default_limit_of,
    embedding_models_of,
    embeddings_name,
    model_of,
    modes_of,
)
from tupletrace.semconv import names
from tupletrace.semconv.fingerprint import retriever_version

ASKED: Final = create_key("tupletrace.langchain.asked")
"""The retriever and store of the retrieval in progress: how they go about it is no retrieval of its own."""
_STORES: Final = ("vectorstore", "vector_store")
_RETRIEVERS: Final = ("base_retriever", "retriever", "retrievers")
"""Fields whose values retrieve though they may not be retrievers."""
_NOT_SETTINGS: Final = frozenset(
    {*_STORES, "name", "tags", "metadata", "metadatas", "search_type", "search_kwargs"}
)
_PLAIN: Final = (str, bytes, int, float, type(None))
_LIMIT: Final = re.compile(
    r"k|top_?[kn](_results)?|limit|(max|num|number_?of)_?(results|documents|contexts)", re.IGNORECASE
)
_COMPONENTS: Final = ("compress_documents", "transform_documents")
"""What rerankers, filters and splitters can do."""
_ASKED: Final = frozenset(
    {"embedding", "query", "query_embedding", "query_text", "query_vector", "text", "vector"}
)
"""Arguments of a search that say what is looked for."""
_IDS: Final = ("id", "_id", "doc_id", "document_id", "chunk_id", "uuid")
_SCORES: Final = ("relevance_score", "score", "_score", "similarity", "similarity_score")


def begin(
    telemetry: TelemetryHandler, run: Run, asked: tuple[Any, ...], configured: Callable[[], dict[str, Any]]
) -> RetrievalInvocation:
    """Start the retrieval of a run, of these retrievers and stores."""
    found: dict[str, Any] = {}
    with guard("langchain retriever identity"):
        found = configured()
    invocation = telemetry.retrieval(
        data_source_id=found.get("collection") or found.get("store"),
        request_model=found.get("embedding_model"),
        # util-genai would fold a retriever inside an ensemble into it; here both are to be seen.
        context=set_value(CLIENT_RETRIEVAL_CONTEXT_KEY, None, set_value(ASKED, asked, run.context)),
        _attach_to_context=False,
    )
    top_k = found.get("top_k")
    invocation.top_k = top_k if isinstance(top_k, int) else None
    if found:
        invocation.attributes[names.RETRIEVER_NAME] = run.name
        invocation.attributes[names.RETRIEVER_VERSION] = retriever_version(found)
    return invocation


def finish(invocation: RetrievalInvocation, query: Any, documents: Any) -> Sequence[Any]:
    """Set ids and scores of the documents; their text and the query only where content is wanted."""
    captured = invocation.should_capture_content
    pairs = [_scored(found) for found in documents] if isinstance(documents, Sequence) else []
    if isinstance(documents, Sequence):
        listed = [_document(document, score, text=captured) for document, score in pairs]
        invocation.attributes[names.RETRIEVAL_DOCUMENTS] = json.dumps(listed, ensure_ascii=False, default=str)
    if captured and isinstance(query, str):
        invocation.query_text = query
    return [document for document, _ in pairs]


def configuration(retriever: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides which documents a retriever finds, as JSON-like values.

    ``given`` arguments of the call override the retriever's own.
    """
    retriever, given = _unbound(retriever, given)
    found, store = _component(retriever), store_of(retriever)
    if store is None:
        found |= settings(given, deep=True)
        found |= {"collection": collection_of(retriever, given), "embedding_model": found.get("embeddings")}
    else:
        search = {**(getattr(retriever, "search_kwargs", None) or {}), **given}
        found |= _search(store, setting("search_type", getattr(retriever, "search_type", None)), search)
    # What a retriever limits itself holds for what it gets of its store, too.
    found["top_k"] = next(_limits({**found, **given}), found.get("top_k"))
    return found


def search_configuration(store: Any, search_type: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides which documents a store finds that is asked itself."""
    return {"class": _class_of(store), **_search(store, search_type, given)}


def store_of(retriever: Any) -> Any:
    """Return the vector store that a retriever searches, if it is one of those."""
    return next((store for name in _STORES if (store := getattr(retriever, name, None)) is not None), None)


def _class_of(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _unbound(retriever: Any, given: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Return what is asked where arguments or alternatives are bound to it, and with which arguments."""
    while True:
        fields: Mapping[str, Any] = getattr(retriever, "__dict__", {})
        inner = fields.get("bound", fields.get("default"))
        if not hasattr(inner, "invoke"):
            return retriever, given
        retriever, given = inner, {**fields.get("kwargs", {}), **given}


def _search(store: Any, search_type: Any, search: Mapping[str, Any]) -> dict[str, Any]:
    how = {name: value for name, value in search.items() if name not in _ASKED}
    top_k = how.pop("k", None)
    if top_k is None:
        top_k = _default_k(type(store)) or default_limit_of(store)
    found = settings(how, deep=True) or None
    return {**_store(store, how), "search_type": search_type, "top_k": top_k, "search": found}


def _component(owner: Any) -> dict[str, Any]:
    """Return class and settings of a retriever or of what works on its documents, and whom they ask."""
    found: dict[str, Any] = {"class": _class_of(owner)}
    for field, value in attributes_of(owner).items():
        name = field.strip("_")
        if name not in _NOT_SETTINGS and (said := _described(name, value)) is not None:
            found[name] = said
    private: Mapping[str, Any] = getattr(owner, "__pydantic_private__", None) or {}
    parts = {name: _part(name, value) for name, value in private.items()}
    return found | {name: part for name, part in parts.items() if part is not None}


def _limits(found: Mapping[str, Any]) -> Iterator[int]:
    for name, value in found.items():
        if isinstance(value, int) and _LIMIT.fullmatch(name):
            yield value
        elif isinstance(value, dict) and "config" in name.lower():
            yield from _limits(cast("dict[str, Any]", value))


def _described(name: str, value: Any) -> Any:
    if (said := setting(name, value)) is not None or isinstance(value, _PLAIN):
        return said
    if isinstance(value, list):
        first = _part(name, value[0]) if value else None
        return None if first is None else [first, *(_part(name, one) for one in value[1:])]
    said = _part(name, value)
    return model_of(value) if said is None else said


def _part(name: str, value: Any) -> Any:
    match _role(type(value)):
        case "store":
            return _store(value)
        case "retriever":
            return configuration(value, {})
        case "component":
            return _component(value)
        case "embeddings":
            return embeddings_name(value)
        case _:
            return configuration(value, {}) if name in _RETRIEVERS and hasattr(value, "invoke") else None


@functools.lru_cache(maxsize=512)
def _role(kind: type) -> str | None:
    kinds = {parent.__name__ for parent in kind.__mro__}
    if "VectorStore" in kinds or "BaseRetriever" in kinds:
        return "store" if "VectorStore" in kinds else "retriever"
    if any(hasattr(kind, does) for does in _COMPONENTS):
        return "component"
    return "embeddings" if hasattr(kind, "embed_query") else None


def _store(store: Any, how: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    models = embedding_models_of(store)
    return {
        "store": type(store).__qualname__,
        "collection": collection_of(store, how),
        "embedding_model": next(iter(models), None),
        "more_models": models[1:] or None,
        "modes": modes_of(store) or None,
    }


@functools.lru_cache(maxsize=256)
def _default_k(store: type[Any]) -> int | None:
    try:
        default = inspect.signature(store.similarity_search).parameters["k"].default
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return default if isinstance(default, int) else None


def _scored(found: Any) -> tuple[Any, float | None]:
    """Part a document from the score beside it, with which some searches of stores return it."""
    if not isinstance(found, tuple):
        return found, None
    document, score = found[:2]
    return document, float(score) if isinstance(score, Real) else None


def _document(document: Any, score: float | None, *, text: bool) -> dict[str, Any]:
    metadata: Mapping[str, Any] = getattr(document, "metadata", None) or {}
    own = getattr(document, "id", None)
    listed: dict[str, Any] = {"id": own if own is not None else _first(metadata, _IDS)}
    listed["score"] = score if score is not None else _first(metadata, _SCORES)
    if text:
        listed["content"] = document.page_content
    return {key: value for key, value in listed.items() if value is not None}


def _first(facts: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((facts[key] for key in keys if facts.get(key) is not None), None)
