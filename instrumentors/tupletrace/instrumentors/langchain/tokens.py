"""The tokens of a stream after its first: LangChain tells nobody of them where only we would listen."""

import sys
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any, Final
from uuid import UUID
from weakref import ref

_MANAGERS: Final = "langchain_core.callbacks.manager"
_TELL: Final = "on_llm_new_token"
_NEAR: Final = 8
"""Frames between a manager and its handler."""


def ask_for_no_more(handler: object, run_id: UUID | None) -> None:
    """Spare the run that is telling ``handler`` of a token the dispatch of all that follow.

    As soon as there is another handler the run's manager tells all of them again.
    """
    manager = _telling(run_id)
    if manager is None or len(manager.handlers) != 1 or manager.handlers[0] is not handler:
        return
    held, tell = ref(manager), getattr(type(manager), _TELL)
    nothing = _nothing if iscoroutinefunction(tell) else None

    def told(*args: Any, **kwargs: Any) -> Any:
        telling = held()
        if telling is not None and len(telling.handlers) != 1:
            return tell(telling, *args, **kwargs)
        return None if nothing is None else nothing()

    # On this one object, which lives as long as its run.
    setattr(manager, _TELL, told)


def _telling(run_id: UUID | None) -> Any:
    """Return the manager on the stack, if nobody has a method of his own in place of its."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    for _ in range(_NEAR):
        if frame is None:
            break
        if frame.f_code.co_name == _TELL and frame.f_globals.get("__name__") == _MANAGERS:
            manager: Any = frame.f_locals["self"]
            tell = getattr(type(manager), _TELL, None)
            own = type(tell) is FunctionType and tell.__code__ is frame.f_code
            known = own and _TELL not in vars(manager) and manager.run_id == run_id
            return manager if known else None
        frame = frame.f_back
    return None


async def _nothing() -> None: ...
