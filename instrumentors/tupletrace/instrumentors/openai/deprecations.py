"""Deprecated methods: their warning names the program's line, as it does without us."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from tupletrace.instrumentors.base import Wrapper


def warning_first(wrapper: Wrapper) -> Wrapper:
    """Return a wrapper that warns instead of ``typing_extensions.deprecated``, which names its caller."""

    def warned(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        message = getattr(wrapped, "__deprecated__", None)
        if message is not None:
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            wrapped = partial(wrapped.__wrapped__, instance)  # pyright: ignore[reportFunctionMemberAccess]
        return wrapper(wrapped, instance, args, kwargs)

    return warned
