"""Two sets of traces, to be held side by side: how they are named, and what is measured of each trace."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor.ask import Ask
from tupletrace.processor.times import moment

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""
_MOST_TRACES: Final = 100_000
"""Of a side: of more a sample, always the same one, is measured."""
_MOST_GROUPS: Final = 50
_TUPLE: Final = re.compile(r"[0-9a-f]{12}")
_WINDOW: Final = re.compile(r"(?P<since>[^'.]*)\.\.(?P<until>[^'.]*)")

Values = npt.NDArray[np.float64]
Window = Sequence[str | None]
"""From when on, until before when, and of which route traces are looked at; None: of any."""


@dataclass(frozen=True)
class Measure:
    """A column of ``trace_measures``; ``worse`` is what users mind: +1 more of it, -1 less, 0 neither."""

    column: str
    unit: str
    worse: int
    kind: str = "value"
    """``value``: its median counts; ``tail``: its 95th percentile; ``rate``: how many it is true of."""

    @property
    def name(self) -> str:
        """What the measure is called in an answer."""
        return f"{self.column} p95" if self.kind == "tail" else self.column


MEASURES: Final = (
    Measure("failed", "share", 1, "rate"),
    Measure("tool_failed", "share", 1, "rate"),
    Measure("cut_off", "share", 1, "rate"),
    Measure("filtered", "share", 1, "rate"),
    Measure("evaluation_failed", "share", 1, "rate"),
    Measure("disliked", "share", 1, "rate"),
    Measure("score", "score", -1),
    Measure("duration_s", "s", 1),
    Measure("duration_s", "s", 1, "tail"),
    Measure("time_to_first_chunk_s", "s", 1),
    Measure("seconds_per_output_token", "s", 1),
    Measure("cost_usd", "USD", 1),
    Measure("llm_calls", "calls", 0),
    Measure("input_tokens", "tokens", 0),
    Measure("output_tokens", "tokens", 0),
)
CATEGORIES: Final = ("model", "prompt", "retriever", "tools", "evaluator", "tuple_id", "finish_reasons")


class CohortError(ValueError):
    """What should name a set of traces does not; the message says what does."""


@dataclass(frozen=True)
class Sides:
    """What was measured of the traces of two cohorts; ``traces`` is how many there are, measured or not."""

    a: pa.Table
    b: pa.Table
    traces: tuple[int, int]

    def grouped(self) -> list[tuple[str | None, "Sides"]]:
        """Return the sides apart by the column ``cohort``, the most traces first."""
        counted = pa.concat_tables([self.a, self.b]).group_by("cohort").aggregate([([], "count_all")])
        found = counted.sort_by([("count_all", "descending"), ("cohort", "ascending")])["cohort"].to_pylist()
        apart = [(value, self.of(value)) for value in found[:_MOST_GROUPS]]
        return [(value, Sides(a, b, (a.num_rows, b.num_rows))) for value, (a, b) in apart]

    def of(self, value: str | None) -> tuple[pa.Table, pa.Table]:
        """Return what of either side has a value in the column ``cohort``."""
        return _with(self.a, value), _with(self.b, value)


def _with(table: pa.Table, value: str | None) -> pa.Table:
    cohort = table["cohort"]
    return table.filter(pc.is_null(cohort) if value is None else pc.fill_null(pc.equal(cohort, value), False))


def predicate(text: str) -> str:
    """Return the SQL condition of a cohort: a tuple's id, a window ``FROM..TO``, or a condition as it is."""
    if _TUPLE.fullmatch(text):
        return f"tuple_id = '{text}'"
    if found := _WINDOW.fullmatch(text):
        try:
            bounds = [
                f"CAST('{moment(bound)}' AS TIMESTAMP WITH TIME ZONE)" if bound else "NULL"
                for bound in found.groups()
            ]
        except ValueError as error:
            raise CohortError(str(error)) from None
        return f"within(start_time, {bounds[0]}, {bounds[1]})"
    if not text.strip():
        raise CohortError("name traces by a tuple's id, by FROM..TO, or by a condition in SQL")
    return f"({text})"


def measured(
    ask: Ask, a: str, b: str, window: Window, columns: Mapping[str, str], by: str | None = None
) -> Sides:
    """Return ``columns`` (name: SQL over ``trace_measures``) of the traces of two cohorts.

    A trace in both is in neither. ``cohort`` is the value of ``by``, as text.
    """
    first, second = predicate(a), predicate(b)
    only = f", of_tuples := ['{a}', '{b}']" if _TUPLE.fullmatch(a) and _TUPLE.fullmatch(b) else ""
    chosen = ", ".join(f'{sql} AS "{name.replace(chr(34), chr(34) * 2)}"' for name, sql in columns.items())
    # In the order of a hash: the first ones are a sample.
    found = ask(
        f"""
        SELECT * EXCLUDE (place)
        FROM (
            SELECT
                side,
                CAST({by or "NULL"} AS VARCHAR) AS cohort,
                count(*) OVER (PARTITION BY side) AS of_side,
                row_number() OVER (PARTITION BY side ORDER BY hash(trace_id), trace_id) AS place,
                {chosen}
            FROM (
                SELECT *, CASE
                    WHEN {first} AND ({second}) IS NOT TRUE THEN 'a'
                    WHEN {second} AND ({first}) IS NOT TRUE THEN 'b'
                END AS side
                FROM trace_measures(since := $1, until := $2, of_route := $3{only})
            ) AS sided
            WHERE side IS NOT NULL
        ) AS placed
        WHERE place <= {_MOST_TRACES}
        """,
        list(window),
    )
    one, other = (found.filter(pc.equal(found["side"], side)) for side in ("a", "b"))
    return Sides(one, other, (_count(one), _count(other)))


def _count(side: pa.Table) -> int:
    return side["of_side"][0].as_py() if side.num_rows else 0


def thresholds(ask: Ask) -> dict[str, float]:
    """Return the values of ``settings`` by their keys."""
    return {row["key"]: row["value"] for row in ask("SELECT key, value FROM settings").to_pylist()}


def values(column: pa.ChunkedArray) -> Values:
    """Return what was measured, without the traces in which it was not."""
    return column.drop_null().cast(pa.float64()).to_numpy()


def too_few(a: int, b: int, min_traces: float) -> str | None:
    """Return what to say where either side has too few traces to say more."""
    return f"not enough data: {min_traces:g} of each are needed" if min(a, b) < min_traces else None


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of a schema, numbers to six significant digits: more would be noise."""
    shown = [
        {key: float(f"{row[key]:.6g}") if isinstance(row[key], float) else row[key] for key in schema.names}
        for row in rows
    ]
    return pa.Table.from_pylist(shown, schema)
