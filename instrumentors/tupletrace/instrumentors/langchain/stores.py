"""Where each vector store keeps the name of what it searches; a new store is a line here."""

from typing import Any, Final
from urllib.parse import urlsplit

COLLECTION: Final[dict[str, tuple[str, ...]]] = {
    "AstraDBVectorStore": ("collection_name",),
    "AzureAISearchVectorStore": ("_index_name",),
    "AzureSearch": ("client._index_name",),
    "Chroma": ("_collection_name",),
    "ElasticsearchStore": ("_store.index",),
    "Milvus": ("collection_name",),
    "MongoDBAtlasVectorSearch": ("_collection.full_name", "_index_name"),
    "OpenSearchVectorSearch": ("index_name",),
    "PGVector": ("collection_name",),
    "PGVectorStore": ("_PGVectorStore__vs.schema_name", "_PGVectorStore__vs.table_name"),
    "PineconeVectorStore": ("_index._config.host", "_index.config.host", "_namespace"),
    "Qdrant": ("collection_name",),
    "QdrantVectorStore": ("collection_name",),
    "Redis": ("index_name",),
    "RedisVectorStore": ("config.index_name",),
    "SupabaseVectorStore": ("table_name",),
    "Weaviate": ("_index_name",),
    "WeaviateVectorStore": ("_index_name",),
}
"""Class of the store -> paths of attributes; those that are set are joined by ``/``."""
_COMMON: Final = ("collection_name", "index_name", "table_name")
_MODEL: Final = ("model", "model_name", "model_id", "deployment", "repo_id")


def collection_of(store: Any) -> str | None:
    """Return the collection, index, namespace or table of a vector store, if it has one."""
    for parent in type(store).__mro__:
        if parent.__name__ in COLLECTION:
            return "/".join(_found(store, COLLECTION[parent.__name__])) or None
    return next(iter(_found(store, _COMMON)), None)


def embedding_model_of(store: Any) -> str | None:
    """Return the model of a store's embeddings, else their class."""
    embeddings = getattr(store, "embeddings", None) or getattr(store, "embedding", None)
    if embeddings is None:
        return None
    return model_of(embeddings) or type(embeddings).__name__


def model_of(embeddings: Any) -> str | None:
    """Return the model of embeddings, where they name one."""
    named = (getattr(embeddings, attribute, None) for attribute in _MODEL)
    return next((name for name in named if isinstance(name, str) and name), None)


def _found(store: Any, paths: tuple[str, ...]) -> list[str]:
    names: list[str] = []
    for path in paths:
        value = store
        for attribute in path.split("."):
            value = getattr(value, attribute, None)
        if isinstance(value, str) and value:
            name = _index_of_host(value) if path.endswith(".host") else value
            names += [name] if name not in names else []
    return names


def _index_of_host(host: str) -> str:
    # Pinecone keeps no index name: `https://<index>-<project>.svc.<region>.pinecone.io`.
    label = (urlsplit(host).hostname or host).split(".")[0]
    return label.rpartition("-")[0] or label
