"""The wall between our bugs and the user's program: log once, swallow, never raise."""

import contextlib
import logging
import os
from types import TracebackType
from typing import Final

_logger = logging.getLogger("tupletrace")
_reported: Final[set[tuple[str, type[BaseException]]]] = set()
RAISE_ERRORS: Final = "TUPLETRACE_RAISE_ERRORS"
"""Set by our own tests, so that a bug that production swallows fails them."""


class guard(contextlib.ContextDecorator):  # noqa: N801 - reads as a verb: `with guard("openai request"):`
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
        if kind is None or not isinstance(error, Exception):
            return False
        if RAISE_ERRORS in os.environ:
            return False
        if (self._what, kind) not in _reported:
            _reported.add((self._what, kind))
            # A logging handler of the user's may fail as well.
            with contextlib.suppress(Exception):
                _logger.warning("tupletrace: %s failed; telemetry is incomplete", self._what, exc_info=error)
        return True
