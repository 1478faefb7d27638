"""Who answers: provider and address, from the client that makes the call."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from weakref import WeakKeyDictionary

from tupletrace.instrumentors.hosts import provider_at

_BY_RUNTIME: Final[Mapping[str, str]] = {"bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai"}
"""By the name of ``OpenAI(provider=...)`` of openai 3."""


_known: Final[WeakKeyDictionary[Any, tuple[Any, "Server"]]] = WeakKeyDictionary()
"""By client, with the base URL that it had: a program may give it another."""


@dataclass(frozen=True, slots=True)
class Server:
    """The provider of a client and where it listens."""

    provider: str
    address: str | None = None
    port: int | None = None


def server_of(resource: Any) -> Server:
    """Return the server behind ``client.chat.completions``, ``client.responses`` and the like."""
    client = getattr(resource, "_client", None)
    # The property of openai 3 costs a microsecond, and gives this; the module's own client asks the module.
    kept = getattr(client, "_base_url", None) if _is_openais(type(client)) else None
    url = kept or getattr(client, "base_url", None)
    try:
        server = _known.get(client)
        if server is None or server[0] is not url:
            server = _known[client] = url, _server(client, url)
    except TypeError:  # no client, or one of the program's own making that has no hash
        return _server(client, url)
    return server[1]


@lru_cache(maxsize=64)
def _is_openais(kind: type) -> bool:
    """Say whether the base URL of such clients is what openai's own property says."""
    said = getattr(getattr(kind, "base_url", None), "fget", None)
    return getattr(said, "__module__", None) in ("openai._client", "openai._base_client")


def _server(client: Any, url: Any) -> Server:
    runtime: str | None = getattr(getattr(client, "_provider_runtime", None), "name", None)
    azure = any(base.__name__ == "BaseAzureClient" for base in type(client).__mro__)
    host = getattr(url, "host", None) or None
    port = getattr(url, "port", None) or {"https": 443, "http": 80}.get(getattr(url, "scheme", ""))
    if runtime:
        provider = _BY_RUNTIME.get(runtime, runtime)
    else:
        provider = "azure.ai.openai" if azure else provider_at(host or "")
    return Server(provider, host, port if host else None)
