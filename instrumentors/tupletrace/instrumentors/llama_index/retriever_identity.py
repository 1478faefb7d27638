"""What identifies a retriever: where it looks, with which embedding model, how, and what it drops after."""

import functools
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tupletrace.instrumentors.llama_index.models import request_model
from tupletrace.semconv import fingerprint

_SEARCH: Final = (
    "similarity_top_k",
    "vector_store_query_mode",
    "alpha",
    "sparse_top_k",
    "hybrid_top_k",
    "mode",
    "num_queries",
    "retriever_weights",
    "max_top_k",
    "top_k",
    "k",
    "choice_top_k",
    "choice_batch_size",
    "max_keywords_per_query",
    "num_chunks_per_query",
    "path_depth",
    "similarity_score",
    "simple_ratio_thresh",
)
"""Settings of the retrievers in LlamaIndex, kept with or without a leading underscore."""
_CHILDREN: Final = ("retrievers", "retriever", "vector_retriever", "retriever_dict", "sub_retrievers")
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_SECRET: Final = re.compile(r"key|token|secret|password|callback", re.IGNORECASE)
_NO_SETTING: Final = re.compile(
    r"(?:^|_)(?:ids?|user|tenant|session|conversation|thread|timeout|verbose)(?:_|$)|"
    r"key|token|secret|password|callback",
    re.IGNORECASE,
)
"""Who asks, what opens the way, and what has no part in what is found."""
_WORD: Final = re.compile(r"[\w.-]{1,64}")
_DEPTH: Final = 4


@dataclass(frozen=True)
class RetrieverIdentity:
    """Name and version of a retriever, and the data source and top-k that the conventions ask for."""

    name: str
    version: str
    data_source: str | None
    top_k: int | None
    embedding_model: str | None


def identify(retriever: Any, postprocessors: Iterable[Any] = ()) -> RetrieverIdentity:
    """Return the identity of a retriever as it is configured now; equal in every process."""
    config = _config(retriever, _DEPTH)
    config["postprocessors"] = [_postprocessor(each) for each in postprocessors] or None
    collection = _collection(retriever)
    store = _field(retriever, "vector_store")
    top_k = _field(retriever, "similarity_top_k")
    return RetrieverIdentity(
        name=type(retriever).__name__,
        version=fingerprint.retriever_version(config),
        data_source=collection or (type(store).__name__ if store is not None else None),
        top_k=top_k if isinstance(top_k, int) else None,
        embedding_model=config.get("embedding_model"),
    )


def _config(retriever: Any, depth: int) -> dict[str, Any]:
    store = _field(retriever, "vector_store")
    config: dict[str, Any] = {name: _plain(_field(retriever, name)) for name in _SEARCH}
    config |= {
        "class": type(retriever).__qualname__,
        "store": type(store).__qualname__ if store is not None else None,
        "collection": _collection(retriever),
        "embedding_model": _embedding_model(retriever),
        "filter_keys": _filter_keys(_field(retriever, "filters")),
        "tables": _tables(_field(retriever, "sql_database")),
        "own": _own(retriever),
    }
    if depth:
        config["retrievers"] = [_config(child, depth - 1) for child in _children(retriever)] or None
    return config


def _field(holder: Any, name: str) -> Any:
    """Return the attribute ``_name`` or ``name``, from the instance alone: properties may do anything."""
    attributes: Mapping[str, Any] = getattr(holder, "__dict__", {})
    private: Mapping[str, Any] = getattr(holder, "__pydantic_private__", None) or {}
    for place in (attributes, private):
        for spelling in (f"_{name}", name):
            if (value := place.get(spelling)) is not None:
                return value
    return None


def _plain(value: Any) -> Any:
    value = getattr(value, "value", value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float) else None


def _embedding_model(retriever: Any) -> str | None:
    model = _field(retriever, "embed_model")
    if model is None:
        return None
    return request_model(model) or type(model).__name__


def _collection(retriever: Any) -> str | None:
    """Return the collection, table or index; an index id only if somebody set one."""
    store = _field(retriever, "vector_store")
    schema, table = _field(store, "schema_name"), _field(store, "table_name")
    if isinstance(table, str):
        return f"{schema}.{table}" if isinstance(schema, str) else table
    index, namespace = _field(store, "index_name"), _field(store, "namespace")
    if isinstance(index, str):
        return f"{index}/{namespace}" if isinstance(namespace, str) and namespace else index
    collection = _field(store, "collection")
    # Chroma's own collection keeps its name in its model.
    named = _field(store, "collection_name") or _field(collection, "name")
    named = named or _field(_field(collection, "model"), "name")
    if isinstance(named, str):
        return named
    own = getattr(getattr(_field(retriever, "index"), "index_struct", None), "index_id", None)
    return own if isinstance(own, str) and not _UUID.fullmatch(own) else None


def _filter_keys(filters: Any) -> list[str] | None:
    """Return what a metadata filter asks about, never the values."""
    if filters is None:
        return None
    keys: list[str] = []
    for each in getattr(filters, "filters", ()):
        keys += _filter_keys(each) or [] if hasattr(each, "filters") else [str(getattr(each, "key", each))]
    return sorted(set(keys))


def _children(retriever: Any) -> list[Any]:
    children: list[Any] = []
    for name in _CHILDREN:
        value = _field(retriever, name)
        if isinstance(value, Mapping):
            children += [value[key] for key in sorted(value, key=str)]
        elif isinstance(value, list | tuple):
            children += value
        elif value is not None:
            children.append(value)
    found = [child for child in children if hasattr(child, "retrieve")]
    # A class of the user's own has a retriever under any name.
    others = (value for _, value in sorted(getattr(retriever, "__dict__", {}).items()))
    known = {id(child) for child in found}
    return found + [one for one in others if hasattr(type(one), "retrieve") and id(one) not in known]


def _tables(database: Any) -> list[str] | None:
    """Return the tables that SQL may be written about."""
    if database is None:
        return None
    included = _field(database, "include_tables")
    every = set(_field(database, "all_tables") or ()) - set(_field(database, "ignore_tables") or ())
    return sorted(map(str, included or every)) or None


def _own(retriever: Any) -> dict[str, Any] | None:
    """Return what a class of the user's own is constructed with, as far as it keeps it by that name."""
    kind = type(retriever)
    if kind.__module__.startswith("llama_index."):
        return None
    own = {name: _field(retriever, name) for name in _parameters(kind) if not _NO_SETTING.search(name)}
    return {name: value for name, value in own.items() if _is_setting(value)} or None


def _is_setting(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and bool(_WORD.fullmatch(value)))


@functools.lru_cache(maxsize=256)
def _parameters(kind: type) -> tuple[str, ...]:
    try:
        return tuple(sorted(inspect.signature(kind).parameters))
    except (TypeError, ValueError):
        return ()


def _postprocessor(postprocessor: Any) -> dict[str, Any]:
    """Return a node postprocessor's class and settings (a pydantic model's fields), without secrets."""
    fields: Mapping[str, Any] = getattr(postprocessor, "__dict__", {})
    settings = {
        name: plain
        for name, value in fields.items()
        if not name.startswith("_") and not _SECRET.search(name) and (plain := _plain(value)) is not None
    }
    return {"class": type(postprocessor).__qualname__, **settings}
