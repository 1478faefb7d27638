"""Deprecated methods: their warning names the program's line, as it does without us."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tupletrace.instrumentors.base import Wrapper

_FRAMES: Final = 3
"""From the warning to the program: ours below, and that of ``Patches.wrap``."""


def warning_first(wrapper: Wrapper) -> Wrapper:
    """Return a wrapper that warns instead of ``typing_extensions.deprecated``, which names its caller."""

    def warned(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        message = getattr(wrapped, "__deprecated__", None)
        if message is not None:
            warnings.warn(message, DeprecationWarning, stacklevel=_FRAMES)
            wrapped = partial(wrapped.__wrapped__, instance)  # pyright: ignore[reportFunctionMemberAccess]
        return wrapper(wrapped, instance, args, kwargs)

    return warned
