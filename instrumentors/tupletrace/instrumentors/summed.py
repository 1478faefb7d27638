"""The tokens of one call that takes several requests: a sum, where util-genai keeps the last request's."""

import asyncio
import sys
import threading
from dataclasses import dataclass
from typing import Any

from opentelemetry.util.genai.invocation import EmbeddingData


@dataclass
class SummedEmbeddings(EmbeddingData):
    """What the requests of one embedding call report, set as the data of their context."""

    def __post_init__(self) -> None:
        self._latest: tuple[float | None, object] = None, None

    def merge(self, other: Any, *, overwrite: bool = True) -> None:
        """Take a request's data; its tokens add to those of the requests before."""
        before, now = self.usage_input_tokens, other.usage_input_tokens
        super().merge(other, overwrite=overwrite)
        # util-genai does not say who reports: of two instrumentors of one client both do.
        reporter = sys._getframe(1).f_locals.get("self")  # pyright: ignore[reportPrivateUsage]
        began, here = getattr(reporter, "_monotonic_start_s", None), _task()
        latest, latest_here = self._latest
        if began is not None and latest is not None and began <= latest and here == latest_here:
            # It was begun around the request that was reported last.
            self.usage_input_tokens = now if before is None else before
            return
        self._latest = began, here
        if before is not None and now is not None:
            self.usage_input_tokens = before + now


def _task() -> object:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return threading.get_ident()
