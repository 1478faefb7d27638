"""Two sets of traces, to be held side by side: how they are named, and what is measured of each trace."""

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tupletrace.processor.ask import Ask

MIN_TRACES: Final = 20
"""Of either cohort: fewer say nothing."""
_TUPLE: Final = re.compile(r"[0-9a-f]{12}")
_WINDOW: Final = re.compile(r"(?P<since>[^'.]*)\.\.(?P<until>[^'.]*)")

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A column of ``trace_measures``; ``worse`` is what users mind: +1 more of it, -1 less, 0 neither."""

    column: str
    unit: str
    worse: int
    is_rate: bool = False


MEASURES: Final = (
    Measure("failed", "share", 1, is_rate=True),
    Measure("tool_failed", "share", 1, is_rate=True),
    Measure("cut_off", "share", 1, is_rate=True),
    Measure("filtered", "share", 1, is_rate=True),
    Measure("evaluation_failed", "share", 1, is_rate=True),
    Measure("score", "score", -1),
    Measure("duration_s", "s", 1),
    Measure("time_to_first_chunk_s", "s", 1),
    Measure("seconds_per_output_token", "s", 1),
    Measure("cost_usd", "USD", 1),
    Measure("llm_calls", "calls", 0),
    Measure("input_tokens", "tokens", 0),
    Measure("output_tokens", "tokens", 0),
)
CATEGORIES: Final = ("model", "prompt", "retriever", "tools", "evaluator", "tuple_id")


class CohortError(ValueError):
    """What should name a set of traces does not; the message says what does."""


def predicate(text: str) -> str:
    """Return the SQL condition of a cohort: a tuple's id, a window ``FROM..TO``, or a condition as it is."""
    if _TUPLE.fullmatch(text):
        return f"tuple_id = '{text}'"
    if found := _WINDOW.fullmatch(text):
        bounds = [
            f"CAST('{bound}' AS TIMESTAMP WITH TIME ZONE)" if bound else "NULL" for bound in found.groups()
        ]
        return f"within(start_time, {bounds[0]}, {bounds[1]})"
    if not text.strip():
        raise CohortError("name traces by a tuple's id, by FROM..TO, or by a condition in SQL")
    return f"({text})"


def measured(ask: Ask, a: str, b: str, route: str | None = None) -> tuple[pa.Table, pa.Table]:
    """Return the measures of the traces of two cohorts; a trace in both is in neither."""
    first, second = predicate(a), predicate(b)
    sides = [(first, second), (second, first)]
    found = [
        ask(f"FROM trace_measures(of_route := $1) WHERE {one} AND ({other}) IS NOT TRUE", [route])
        for one, other in sides
    ]
    return found[0], found[1]


def values(table: pa.Table, column: str) -> Values:
    """Return what was measured, without the traces in which it was not."""
    return table[column].drop_null().cast(pa.float64()).to_numpy()


def too_few(a: int, b: int, min_traces: int) -> str | None:
    """Return what to say where either side has too few traces to say more."""
    return f"not enough data: {min_traces} of each are needed" if min(a, b) < min_traces else None


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of a schema, numbers to six significant digits: more would be noise."""
    shown = [
        {key: float(f"{row[key]:.6g}") if isinstance(row[key], float) else row[key] for key in schema.names}
        for row in rows
    ]
    return pa.Table.from_pylist(shown, schema)
