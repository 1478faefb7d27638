"""The client's own retries, counted on the span of the call that they belong to."""

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.trace import SpanKind, get_current_span

from tupletrace.instrumentors.base import Patches
from tupletrace.instrumentors.firewall import guard
from tupletrace.semconv import names

_retry: Final = guard("openai retry")
_SCOPES: Final = "tupletrace.instrumentors."
_METHODS: Final = ("_sleep_for_retry", "_retry_request")
"""Before a retry the client calls the first, or before 1.66 the second, with ``retries_taken`` so far."""


def patch_retries(patches: Patches) -> None:
    """Patch what comes before a retry, so that a call without any costs nothing."""
    for client in ("SyncAPIClient", "AsyncAPIClient"):
        for method in _METHODS:
            patches.wrap("openai._base_client", f"{client}.{method}", _counted)


def _counted(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    with _retry:
        span: Any = get_current_span()
        scope = getattr(span, "instrumentation_scope", None)
        if scope is not None and scope.name.startswith(_SCOPES) and span.kind is SpanKind.CLIENT:
            span.set_attribute(names.HTTP_RESEND_COUNT, kwargs["retries_taken"] + 1)
    return wrapped(*args, **kwargs)
