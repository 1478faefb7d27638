"""Calls by their path, ``client.post("/chat/completions", ...)``: what a program asks without a method."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final

from opentelemetry.context import get_current
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import CLIENT_EMBEDDING_CONTEXT_KEY, CLIENT_INFERENCE_CONTEXT_KEY

from tupletrace.instrumentors.base import Patches, Wrapper
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.openai.calls import asynchronous, synchronous
from tupletrace.instrumentors.openai.endpoints import ENDPOINTS

_NAMES: Final = ("chat/completions", "completions", "decisions", "embeddings", "responses")
_METHODS: Final = {f"/{name}": name.partition("/")[0] for name in _NAMES}
"""Endpoint by path."""


def patch_posts(patches: Patches, telemetry: TelemetryHandler) -> None:
    """Patch the method that all others post with; below one of them, which tells more, it does nothing."""
    for client, watched in (("SyncAPIClient", synchronous), ("AsyncAPIClient", asynchronous)):
        wrappers = {path: watched(telemetry, ENDPOINTS[name]) for path, name in _METHODS.items()}
        patches.wrap("openai._base_client", f"{client}.post", posted(wrappers))


def posted(wrappers: Mapping[str, Wrapper]) -> Wrapper:
    """Return a wrapper that leaves to one of others what goes to its path, if no other call has sent it."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        path, around = args[0] if args else kwargs.get("path"), get_current()
        known = wrappers.get(path) if isinstance(path, str) else None
        if known is None or CLIENT_INFERENCE_CONTEXT_KEY in around or CLIENT_EMBEDDING_CONTEXT_KEY in around:
            return wrapped(*args, **kwargs)
        said = _said(kwargs) or {}
        return known(lambda *_, **__: wrapped(*args, **kwargs), SimpleNamespace(_client=instance), (), said)

    return wrapper


@guard("openai request")
def _said(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    body = kwargs.get("body")
    return {**(body if isinstance(body, Mapping) else {}), "stream": kwargs.get("stream")}
