"""Retrievers: their identity from the live object, and the ids and scores of what they found."""

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Final

from opentelemetry.context import create_key, set_value
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import CLIENT_RETRIEVAL_CONTEXT_KEY, RetrievalInvocation

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.langchain.runs import Run
from tupletrace.instrumentors.langchain.stores import collection_of, embedding_model_of
from tupletrace.semconv import names
from tupletrace.semconv.fingerprint import retriever_version

ASKED: Final = create_key("tupletrace.langchain.asked")
"""The retriever and store of the retrieval in progress: how they go about it is no retrieval of its own."""
_INNER: Final = ("base_retriever", "retriever", "retrievers")
_STORES: Final = ("vectorstore", "vector_store")
_RERANKERS: Final = ("base_compressor", "compressor", "reranker", "model", "model_name", "top_n")
_NOT_SETTINGS: Final = frozenset({"name", "tags", "metadata", "search_type"})
_LIMITS: Final = ("k", "top_n", "limit", "max_results")
_SECRETS: Final = ("key", "token", "secret", "password")
_IDS: Final = ("id", "_id", "doc_id", "document_id", "chunk_id", "uuid")
_SCORES: Final = ("relevance_score", "score", "_score", "similarity", "similarity_score")
_LONGEST_SETTING: Final = 200


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
    found: dict[str, Any] = {"class": _class_of(retriever), **_settings(retriever)}
    store = store_of(retriever)
    if store is not None:
        search = {**(getattr(retriever, "search_kwargs", None) or {}), **given}
        search_type = getattr(retriever, "search_type", None)
        found |= _search(store, getattr(search_type, "value", search_type), search)
    # What a retriever limits itself holds for what it gets of its store, too.
    limits = (given.get(name, found.get(name)) for name in _LIMITS)
    if (own := next((limit for limit in limits if isinstance(limit, int)), None)) is not None:
        found["top_k"] = own
    if inner := dict(_inner(retriever)):
        found["retrievers"] = inner
    if reranker := _reranker(retriever):
        found["reranker"] = reranker
    return found


def search_configuration(store: Any, search_type: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides which documents a store finds that is asked itself."""
    return {"class": _class_of(store), **_search(store, search_type, given)}


def store_of(retriever: Any) -> Any:
    """Return the vector store that a retriever searches, if it is one of those."""
    return next((store for name in _STORES if (store := getattr(retriever, name, None)) is not None), None)


def _class_of(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _search(store: Any, search_type: Any, search: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "store": type(store).__qualname__,
        "collection": collection_of(store),
        "embedding_model": embedding_model_of(store),
        "search_type": search_type,
        "top_k": search.get("k", _default_k(type(store))),
        "score_threshold": search.get("score_threshold"),
        "fetch_k": search.get("fetch_k"),
        "lambda_mult": search.get("lambda_mult"),
        "filter": _filter_keys(search.get("filter") or search.get("pre_filter")),
    }


def _settings(retriever: Any) -> dict[str, Any]:
    fields: Iterable[str] = getattr(type(retriever), "model_fields", ())
    values = {name: getattr(retriever, name, None) for name in fields if _is_setting(name)}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= _LONGEST_SETTING)
    } | ({"weights": weights} if isinstance(weights := getattr(retriever, "weights", None), list) else {})


def _is_setting(name: str) -> bool:
    return name not in _NOT_SETTINGS and not any(secret in name.lower() for secret in _SECRETS)


def _inner(retriever: Any) -> Iterable[tuple[str, Any]]:
    for name in _INNER:
        value = getattr(retriever, name, None)
        if isinstance(value, list):
            yield name, [configuration(one, {}) for one in value]
        elif hasattr(value, "invoke"):
            yield name, configuration(value, {})


def _reranker(owner: Any) -> dict[str, Any] | None:
    compressor = getattr(owner, "base_compressor", None)
    if compressor is None:
        return None
    facts = {name: getattr(compressor, name, None) for name in _RERANKERS}
    plain = {name: value for name, value in facts.items() if isinstance(value, (str, int, float))}
    return {"class": type(compressor).__qualname__, **plain}


def _filter_keys(condition: Any) -> list[str] | str | None:
    if not condition:
        return None
    if not isinstance(condition, Mapping):
        return getattr(condition, "__qualname__", type(condition).__qualname__)
    return sorted(_keys(condition, ""))


def _keys(value: Any, path: str) -> set[str]:
    if isinstance(value, Mapping):
        return {path + key for key in value} | {
            found for key, below in value.items() for found in _keys(below, f"{path}{key}.")
        }
    if isinstance(value, list):
        return {found for below in value for found in _keys(below, path)}
    return set()


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
