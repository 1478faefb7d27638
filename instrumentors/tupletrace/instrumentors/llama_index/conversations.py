"""Which conversation a turn of a chat engine or an agent belongs to: its memory's, or its context's."""

import threading
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from opentelemetry.context import attach, create_key, detach, get_value, set_value

_CONTEXT: Final = create_key("tupletrace.llama_index.workflow_context")
_SHARED_KEY: Final = "chat_history"
"""The key that every chat store without one of its own uses: it names no conversation."""
_of_contexts: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()
_lock: Final = threading.Lock()


def conversation_of(memory: Any) -> str | None:
    """Return the session or chat store key of a memory, where there is one that means something."""
    key = getattr(memory, "session_id", None) or getattr(memory, "chat_store_key", None)
    return key if isinstance(key, str) and key != _SHARED_KEY else None


def continuing(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Wrap ``Workflow.run``: a context that the program gives it is one conversation, however many runs."""
    context = args[0] if args else kwargs.get("ctx")
    if context is None and get_value(_CONTEXT) is None:
        return wrapped(*args, **kwargs)
    token = attach(set_value(_CONTEXT, None if context is None else ref(context)))
    try:
        return wrapped(*args, **kwargs)
    finally:
        detach(token)


def conversation_of_run(memory: Any) -> str | None:
    """Return the conversation of a run that begins: its memory's, else the first run in its context."""
    named = conversation_of(memory)
    held = get_value(_CONTEXT)
    context = held() if isinstance(held, ref) else None
    if context is None:
        return named
    with _lock:
        known = named or _of_contexts.get(context) or _run_id()
        if isinstance(known, str):
            _of_contexts[context] = known
        return known


def _run_id() -> Any:
    from llama_index_instrumentation.dispatcher import active_instrument_tags

    return active_instrument_tags.get().get("llamaindex.run_id")
