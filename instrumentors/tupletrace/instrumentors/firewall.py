"""The wall between our bugs and the user's program: log once, swallow, never raise."""

import contextlib
import functools
import logging
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_logger = logging.getLogger("tupletrace")
_reported: Final[set[tuple[str, type[BaseException]]]] = set()
RAISE_ERRORS: Final = "TUPLETRACE_RAISE_ERRORS"
"""Set by our own tests, so that a bug that production swallows fails them."""


class guard:  # noqa: N801 - reads as a verb: `with guard("openai request"):`
    """Run a hook of ours; an ``Exception`` in it is logged once per place and kind, then swallowed.

    As a decorator the function returns ``None`` when it failed. ``KeyboardInterrupt``, ``SystemExit``,
    ``GeneratorExit`` and ``CancelledError`` are not ours and pass.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return isinstance(error, Exception) and self._swallow(error)

    def __call__(self, function: F) -> F:
        # Not `contextlib.ContextDecorator`: a third of the time, where hooks run for every step of a chain.
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if not self._swallow(error):
                    raise

        return guarded  # pyright: ignore[reportReturnType]

    def _swallow(self, error: Exception) -> bool:
        if RAISE_ERRORS in os.environ:
            return False
        kind = type(error)
        if (self._what, kind) not in _reported:
            _reported.add((self._what, kind))
            # A logging handler of the user's may fail as well.
            with contextlib.suppress(Exception):
                _logger.warning("tupletrace: %s failed; telemetry is incomplete", self._what, exc_info=error)
        return True
