"""Is the second of two sets of traces worse than the first? The statistics are scipy's."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import scipy.stats

from tupletrace.processor.cohorts import MEASURES, Measure, Sides, Values, table, too_few, values

pc: Any = pyarrow.compute
stats: Any = scipy.stats
"""Untyped: what is in them is made when they are imported."""
_LEAST_EXPECTED: Final = 5
"""In a cell of a table of counts; below it only an exact test holds."""
_COMPARED: Final = pa.schema(
    {
        "cohort": pa.string(),
        "measure": pa.string(),
        "unit": pa.string(),
        "n_a": pa.int64(),
        "n_b": pa.int64(),
        "a": pa.float64(),
        "b": pa.float64(),
        "a_low": pa.float64(),
        "a_high": pa.float64(),
        "b_low": pa.float64(),
        "b_high": pa.float64(),
        "ratio": pa.float64(),
        "test": pa.string(),
        "p_value": pa.float64(),
        "p_adjusted": pa.float64(),
        "verdict": pa.string(),
        "traces_a": pa.int64(),
        "traces_b": pa.int64(),
    }
)
COLUMNS: Final = {column: column for column in [*(one.column for one in MEASURES), "evaluations"]}
"""What ``cohorts.measured`` is to be asked for."""


def compare(sides: Sides, limits: Mapping[str, float], *, by_cohort: bool = False) -> pa.Table:
    """Test every measure: one row each, with both sides, a p-value corrected for their number, and a verdict.

    Rates: the two-proportion z-test (as chi-square), or Fisher's exact test where counts are small; low and
    high are Wilson's interval. Values: Mann-Whitney's U on medians; low and high are the 5th and the 95th
    percentile. A p95 is tested by how many of either side are above that of both. The correction is
    Benjamini's and Hochberg's. ``limits`` are the ``settings``.
    """
    groups = sides.grouped() if by_cohort else [(None, sides)]
    rows = [row for cohort, group in groups for row in _rows(cohort, group, limits["min_traces"])]
    tested = [row for row in rows if row["p_value"] is not None]
    if tested:
        adjusted = stats.false_discovery_control([row["p_value"] for row in tested])
        for row, p_value in zip(tested, adjusted, strict=True):
            row["p_adjusted"] = float(p_value)
            row["verdict"] = _verdict(row, limits["significance"])
    found = table(rows, _COMPARED)
    return found if by_cohort else found.drop_columns("cohort")


def _rows(cohort: str | None, sides: Sides, min_traces: float) -> Iterator[dict[str, Any]]:
    for measure, a, b in _measured(sides):
        if len(a) or len(b):
            traces = dict(zip(("traces_a", "traces_b"), sides.traces, strict=True))
            yield _compared(measure, a, b, min_traces) | {"cohort": cohort} | traces


def _measured(sides: Sides) -> Iterator[tuple[Measure, Values, Values]]:
    for measure in MEASURES:
        yield measure, values(sides.a[measure.column]), values(sides.b[measure.column])
    kinds = _evaluations(sides)
    # One alone is what all of them are together.
    for name, kind in sorted(kinds.items()) if len(kinds) > 1 else ():
        said = [pc.map_lookup(side["evaluations"], name, "first") for side in (sides.a, sides.b)]
        failed_a, failed_b = (values(pc.struct_field(one, "failed")) for one in said)
        yield Measure(f"failed: {name}", "share", 1, "rate"), failed_a, failed_b
        score_a, score_b = (values(pc.struct_field(one, "score")) for one in said)
        yield Measure(f"score: {name}", "score", 1 if kind == "defect" else -1), score_a, score_b


def _evaluations(sides: Sides) -> dict[str, str]:
    found: dict[str, str] = {}
    for side in (sides.a, sides.b):
        said = side["evaluations"].combine_chunks()
        found |= zip(said.keys.to_pylist(), pc.struct_field(said.items, "kind").to_pylist(), strict=True)
    return found


def _compared(measure: Measure, a: Values, b: Values, min_traces: float) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_COMPARED.names)
    row |= {"measure": measure.name, "unit": measure.unit, "worse": measure.worse}
    row |= {"n_a": len(a), "n_b": len(b), "verdict": too_few(len(a), len(b), min_traces)}
    for side, found in (("a", a), ("b", b)):
        if len(found):
            low, middle, high = _summary(measure.kind, found)
            row |= {f"{side}_low": low, side: middle, f"{side}_high": high}
    if row["a"] and row["b"] is not None:
        row["ratio"] = row["b"] / row["a"]
    if row["verdict"] is None:
        if measure.kind == "tail":
            common = np.quantile(np.concatenate([a, b]), 0.95)
            a, b = (a > common).astype(float), (b > common).astype(float)
        row["test"], row["p_value"] = _ranks(a, b) if measure.kind == "value" else _rates(a, b)
        row["direction"] = np.sign(b.mean() - a.mean())
    return row


def _summary(kind: str, found: Values) -> tuple[float | None, float, float | None]:
    if kind == "rate":
        return share(int(found.sum()), len(found))
    low, middle, high = (float(one) for one in np.quantile(found, [0.05, 0.5, 0.95]))
    return (None, high, None) if kind == "tail" else (low, middle, high)


def share(count: int, of: int) -> tuple[float, float, float]:
    """Return a share between the bounds of Wilson's interval of 95 %."""
    found = stats.binomtest(count, of)
    interval = found.proportion_ci(method="wilson")
    return float(interval.low), float(found.statistic), float(interval.high)


def _rates(a: Values, b: Values) -> tuple[str, float]:
    counts: npt.NDArray[np.float64] = np.array([[side.sum(), len(side) - side.sum()] for side in (a, b)])
    if not counts.sum(axis=0).all():
        return "none: all alike", 1.0
    expected = stats.contingency.expected_freq(counts)
    if expected.min() < _LEAST_EXPECTED:
        return "Fisher's exact", float(stats.fisher_exact(counts).pvalue)
    return "two-proportion z", float(stats.chi2_contingency(counts, correction=False).pvalue)


def _ranks(a: Values, b: Values) -> tuple[str, float]:
    return "Mann-Whitney U", float(stats.mannwhitneyu(a, b).pvalue)


def _verdict(row: dict[str, Any], significance: float) -> str:
    if row["p_adjusted"] >= significance:
        return "no difference shown"
    towards = row["direction"] * row["worse"]
    return "worse" if towards > 0 else "better" if towards < 0 else "different"
