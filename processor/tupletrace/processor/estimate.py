"""How many tokens a call had that nobody counted: what was said in it, through ``tiktoken``. Opt-in.

A stream that was not asked for its usage has none. With ``TUPLETRACE_ESTIMATE_TOKENS=1`` its messages are
counted when its trace settles; such numbers have columns, a status and a sum of their own.
"""

import logging
import os
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

_logger: Final = logging.getLogger(__name__)
_ENCODING: Final = "o200k_base"
"""For models that ``tiktoken`` does not know: what their own would count is mostly within a fifth of it."""
_PER_MESSAGE: Final = 4
"""Its role and separators, as OpenAI counts them."""
_PRIMING: Final = 3
_PIECE: Final = 20_000
"""Characters: a text without spaces takes longer than in proportion to its length."""
SCHEMA: Final = pa.schema(
    {
        "trace_id": pa.string(),
        "span_id": pa.string(),
        "estimated_input_tokens": pa.int64(),
        "estimated_output_tokens": pa.int64(),
        "estimated_by": pa.string(),
    }
)


class Estimator:
    """Counts the tokens of calls by their texts."""

    def __init__(self, tiktoken: Any) -> None:
        """Load the encoding that most models have.

        Raises:
            OSError: it cannot be had.
        """
        self._tiktoken = tiktoken
        self._default = tiktoken.get_encoding(_ENCODING)

    def estimated(self, calls: pa.Table) -> pa.Table:
        """Return the estimates of calls: model, number of ``messages``, texts ``asked`` and ``answered``."""
        return pa.Table.from_pylist(list(self._rows(calls)), SCHEMA)

    def _rows(self, calls: pa.Table) -> Iterator[dict[str, Any]]:
        for call in calls.to_pylist():
            encoding = self._encoding(call["model"] or "")
            asked, answered = (
                sum(_count(encoding, text) for text in call[side]) for side in ("asked", "answered")
            )
            yield {
                "trace_id": call["trace_id"],
                "span_id": call["span_id"],
                "estimated_input_tokens": asked + _PER_MESSAGE * call["messages"] + _PRIMING,
                "estimated_output_tokens": answered,
                "estimated_by": f"tiktoken {encoding.name}",
            }

    def _encoding(self, model: str) -> Any:
        try:
            return self._tiktoken.encoding_for_model(model)
        except (KeyError, OSError):
            return self._default


def _count(encoding: Any, text: str) -> int:
    pieces = range(0, len(text), _PIECE)
    return sum(len(encoding.encode_ordinary(text[at : at + _PIECE])) for at in pieces)


def estimator() -> Estimator | None:
    """Return who estimates, where that was asked for and can be done; where it cannot, the log says why."""
    if os.environ.get("TUPLETRACE_ESTIMATE_TOKENS", "0") in ("", "0"):
        return None
    try:
        import tiktoken

        return Estimator(tiktoken)
    except ImportError:
        why = "install tupletrace[estimate]"
    except (OSError, ValueError) as error:
        why = f"{_ENCODING} is not in TIKTOKEN_CACHE_DIR and cannot be downloaded: {str(error)[:200]}"
    _logger.warning("no tokens will be estimated, which TUPLETRACE_ESTIMATE_TOKENS asks for: %s", why)
    return None
