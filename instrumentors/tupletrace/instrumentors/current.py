"""The current context without a detour: where hooks run for every step and chunk, two calls less each."""

from contextvars import ContextVar
from typing import Any, Final

from opentelemetry.context import _RUNTIME_CONTEXT  # pyright: ignore[reportPrivateUsage]

_variable: Final[Any] = getattr(_RUNTIME_CONTEXT, "_current_context", None)
current_context, attach_context, detach_context = (
    (_variable.get, _variable.set, _variable.reset)
    if isinstance(_variable, ContextVar)
    else (_RUNTIME_CONTEXT.get_current, _RUNTIME_CONTEXT.attach, _RUNTIME_CONTEXT.detach)
)
