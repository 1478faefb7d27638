"""Tokens that a library made up are none that anybody reported."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor.attributes import Attributes
from tupletrace.processor.sources import extract

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_STREAMS: Final = ("gen_ai.request.stream", "gen_ai.request.is_stream")
_REPORTED: Final = ("gen_ai.usage.cache_read.input_tokens",)
"""Which OpenLIT writes beside what a provider reported, be it 0."""
_ALWAYS: Final = pa.array(["openai", "anthropic", "groq"])
"""Whose reports never come without it; before it knew that, OpenLIT named a system, not a provider."""
_HALF_THE_CHARACTERS: Final = """
    (coalesce(list_sum(list_transform(
        json_extract_string(v, '$[*].parts[*].content'), lambda text: length(text)
    )), 0) + 1) // 2
"""
_MADE_UP: Final = ("input_tokens", "output_tokens", "total_tokens", "reported_cost_usd")


def taken_away(attributes: Attributes, found: dict[str, pa.Array]) -> None:
    """Take away what OpenLIT counts where a stream did not tell its usage: a token every two characters.

    Without content the characters cannot be counted: there what is missing beside every report tells it.
    """
    streams = pc.equal(attributes.pick(_STREAMS), "true")
    suspected = pc.and_(pc.equal(found["dialect"], "openlit"), pc.fill_null(streams, False))
    suspected = pc.and_not(pc.fill_null(suspected, False), pa.array(attributes.carries(_REPORTED)))
    rows = np.flatnonzero(suspected.to_numpy(zero_copy_only=False))
    if not len(rows):
        return
    index = pa.array(rows)
    current = attributes.pick(["gen_ai.provider.name"])
    said = found["output_messages"].take(index)
    half = pc.coalesce(*extract(said, [_HALF_THE_CHARACTERS]), "0")
    unsaid = pc.and_(pc.is_null(said), pc.is_in(current.take(index), _ALWAYS))
    guessed = pc.or_(pc.fill_null(pc.equal(found["output_tokens"].take(index), half), False), unsaid)
    made_up = np.zeros(attributes.count, np.bool_)
    made_up[rows] = guessed.to_numpy(zero_copy_only=False)
    for column in _MADE_UP:
        found[column] = pc.if_else(pa.array(made_up), pa.scalar(None, pa.string()), found[column])
