"""Where vector stores and retrievers keep the name of what they search, and with which model."""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

from tupletrace.instrumentors.langchain.settings import settings, without_location

COLLECTION: Final[dict[str, tuple[str, ...]]] = {
    "AstraDBVectorStore": ("collection_name",),
    "AsyncElasticsearchStore": ("_store.index",),
    "AzureAISearchVectorStore": ("_index_name",),
    "AzureSearch": ("client._index_name", "_index_name"),
    "ElasticsearchStore": ("_store.index",),
    "MongoDBAtlasVectorSearch": ("_collection.full_name", "_index_name"),
    "PineconeHybridSearchRetriever": ("index._config.host", "index.config.host", "namespace"),
    "PineconeVectorStore": ("_index._config.host", "_index.config.host", "_index_host", "_namespace"),
    "Weaviate": ("_index_name",),
    "WeaviateVectorStore": ("_index_name",),
}
"""Class -> paths of attributes that say more or less than their names; those that are set are joined."""
_PLACES: Final = (
    *("database", "db", "bucket", "keyspace", "schema", "scope", "dataset", "datastore", "data_store"),
    *("knowledge_base", "corpus", "class", "container", "cache", "collection", "table", "set", "index"),
    "namespace",
)
"""What holds documents, the larger before the smaller."""
_PLACE: Final = re.compile(rf"(?:\w+_)?({'|'.join(_PLACES)})(?:_names?|_ids?)?")
_NAMED: Final = ("name", "names", "id", "ids")
_LONGEST: Final = 128
_COMMON: Final = ("collection_name", "index_name", "table_name")
_HOLDERS: Final = ("config", "_config")
_MADE_UP: Final = re.compile(r"[0-9a-f]{32}|\b[0-9A-HJKMNP-TV-Z]{26}\b")
"""The id with which a store names itself where the program does not: another in every process."""
_MODEL: Final = ("model", "model_name", "model_id", "deployment", "repo_id")
_PASSING_ON: Final = ("underlying_embeddings", "base_embeddings")
"""What embeddings are called within others: a cache asks them only for what it does not hold."""


def collection_of(searched: Any, given: Mapping[str, Any]) -> str | None:
    """Return the collection, index, namespace or table that is searched, if it has a name.

    What the search itself is ``given`` stands for what the store or retriever keeps under that name.
    """
    kinds = (COLLECTION.get(kind.__name__) for kind in type(searched).__mro__)
    paths = next((paths for paths in kinds if paths is not None), ())
    names = list(_at(searched, paths, given)) or _places(searched, given)
    return _MADE_UP.sub("#", "/".join(dict.fromkeys(names))) or None


def modes_of(store: Any) -> dict[str, Any]:
    """Return the modes in which a store searches, such as dense or hybrid, and its measure of distance."""
    attributes = {**attributes_of(attributes_of(store).get("_store")), **attributes_of(store)}
    ways = {
        name: value for name, value in attributes.items() if isinstance(value, Enum) or "strategy" in name
    }
    return settings({_bare(name): value for name, value in ways.items()}, deep=True)


def default_limit_of(store: Any) -> int | None:
    """Return how many documents a store finds if neither the call nor its signature says it."""
    for holder in (store, *_inner_stores(store)):
        for name in ("k", "limit", "top_k"):
            if isinstance(limit := attributes_of(holder).get(name), int):
                return limit
    return None


def embedding_models_of(store: Any) -> list[str]:
    """Return the models of a store's embeddings, else their classes; those of sparse vectors come last."""
    embeddings = getattr(store, "embeddings", None) or getattr(store, "embedding", None)
    several = embeddings if isinstance(embeddings, list) else [embeddings]
    several = [*several, attributes_of(store).get("_sparse_embeddings")]
    return [embeddings_name(one) for one in several if one is not None]


def embeddings_name(embeddings: Any) -> str:
    """Return the model of embeddings, or of those that they ask, else their class."""
    while (asked := passed_on_to(embeddings)) is not None:
        embeddings = asked
    return model_of(embeddings) or type(embeddings).__name__


def model_of(embeddings: Any) -> str | None:
    """Return the model of embeddings, where they name one; of one in a directory, the directory's name."""
    # Where only the deployment was given, the model is a default that may be another.
    given: Any = getattr(embeddings, "model_fields_set", ())
    deployed = isinstance(given, set) and "deployment" in given and given.isdisjoint(_MODEL[:3])
    order = ("deployment",) if deployed else _MODEL
    named = (getattr(embeddings, attribute, None) for attribute in order)
    found = next((name for name in named if isinstance(name, str) and name), None)
    return None if found is None else without_location(found).removeprefix("models/")


def passed_on_to(embeddings: Any) -> Any:
    """Return the embeddings that these ask, if they are a cache or the like."""
    own = attributes_of(embeddings)
    return next((own[name] for name in _PASSING_ON if own.get(name) is not None), None)


def holds(store: Any, other: Any) -> bool:
    """Say whether a store is how another one does its work."""
    return is_store(store) and any(inner is other for inner in _inner_stores(store))


def is_store(thing: Any) -> bool:
    """Say whether it is a vector store of LangChain's."""
    return _stores(type(thing))


def attributes_of(holder: Any) -> Mapping[str, Any]:
    """Return what an object itself holds: properties may do anything."""
    return getattr(holder, "__dict__", None) or {}


def _places(searched: Any, given: Mapping[str, Any]) -> Iterator[str]:
    """Find names by what holds them: ``collection_name``, ``_table``, ``config.index_name``."""
    own = attributes_of(searched)
    # A retriever's own fields are all that it has, and asking it for others is slow.
    attributes = {name: getattr(searched, name, None) for name in _COMMON} if is_store(searched) else {}
    for holder in _HOLDERS:
        attributes |= attributes_of(own.get(holder))
    attributes |= own
    found: dict[str, str] = {}
    for name, value in (*attributes.items(), *given.items()):
        if (place := _place(name)) is None:
            continue
        several: list[Any] = value if isinstance(value, list) and name.endswith(_NAMED) else [value]
        names = [one for one in several if _is_name(one)]
        if names:
            found[place] = "+".join(map(without_location, names))
        elif place not in found and _is_name(known := getattr(value, "name", None)):
            found[place] = known
    yield from (found[place] for place in _PLACES if place in found)
    if not found and is_store(searched):
        for inner in _inner_stores(searched):
            yield from _places(inner, given)


def _at(searched: Any, paths: tuple[str, ...], given: Mapping[str, Any]) -> Iterator[str]:
    for path in paths:
        value = searched
        for attribute in path.split("."):
            value = getattr(value, attribute, None)
        value = given.get(_bare(path.rpartition(".")[2]), value)
        if isinstance(value, str) and value:
            yield _index_of_host(value) if path.endswith("host") else value


def _inner_stores(store: Any) -> list[Any]:
    return [one for one in attributes_of(store).values() if is_store(one)]


@lru_cache(maxsize=512)
def _stores(kind: type) -> bool:
    return any(parent.__name__ == "VectorStore" for parent in kind.__mro__)


def _is_name(value: Any) -> TypeGuard[str]:
    """Say whether it may name something: no content, and no address with a password in it."""
    is_text = isinstance(value, str) and 0 < len(value) <= _LONGEST
    return is_text and value.isprintable() and "://" not in value


@lru_cache(maxsize=512)
def _place(name: str) -> str | None:
    match = _PLACE.fullmatch(_bare(name))
    return match[1] if match is not None else None


def _bare(name: str) -> str:
    """Return the name of an attribute without what makes it private."""
    return name.rpartition("__")[2].lstrip("_") if name.startswith("_") else name


def _index_of_host(host: str) -> str:
    # Pinecone keeps no index name: `https://<index>-<project>.svc.<region>.pinecone.io`.
    label = (urlsplit(host).hostname or host).split(".")[0]
    return label.rpartition("-")[0] or label
