"""Is the second of two sets of traces worse than the first? The statistics are scipy's."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import scipy.stats

from tupletrace.processor.cohorts import MEASURES, MIN_TRACES, Measure, Values, table, too_few, values

stats: Any = scipy.stats
"""Untyped: its results' attributes are made when it is imported."""
_ALPHA: Final = 0.05
_LEAST_EXPECTED: Final = 5
"""In a cell of a table of counts; below it only an exact test holds."""
_COMPARED: Final = pa.schema(
    {
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
    }
)


def compare(a: pa.Table, b: pa.Table, min_traces: int = MIN_TRACES) -> pa.Table:
    """Test every measure: one row each, with both sides, a p-value corrected for their number, and a verdict.

    Rates: the two-proportion z-test (as chi-square), or Fisher's exact test where counts are small; low and
    high are Wilson's interval. Values: Mann-Whitney's U on medians; low and high are the 5th and the 95th
    percentile. The correction is Benjamini's and Hochberg's.
    """
    rows = [_compared(measure, a, b, min_traces) for measure in MEASURES]
    rows = [row for row in rows if row["n_a"] or row["n_b"]]
    tested = [row for row in rows if row["p_value"] is not None]
    if tested:
        adjusted = stats.false_discovery_control([row["p_value"] for row in tested])
        for row, p_value in zip(tested, adjusted, strict=True):
            row["p_adjusted"] = float(p_value)
            row["verdict"] = _verdict(row)
    return table(rows, _COMPARED)


def _compared(measure: Measure, first: pa.Table, second: pa.Table, min_traces: int) -> dict[str, Any]:
    a, b = values(first, measure.column), values(second, measure.column)
    row: dict[str, Any] = dict.fromkeys(_COMPARED.names)
    row |= {"measure": measure.column, "unit": measure.unit, "worse": measure.worse}
    row |= {"n_a": len(a), "n_b": len(b), "verdict": too_few(len(a), len(b), min_traces)}
    for side, found in (("a", a), ("b", b)):
        if len(found):
            low, middle, high = _share(found) if measure.is_rate else np.quantile(found, [0.05, 0.5, 0.95])
            row |= {f"{side}_low": float(low), side: float(middle), f"{side}_high": float(high)}
    if row["a"] and row["b"] is not None:
        row["ratio"] = row["b"] / row["a"]
    if row["verdict"] is None:
        row["test"], row["p_value"] = _rates(a, b) if measure.is_rate else _ranks(a, b)
        row["direction"] = np.sign(b.mean() - a.mean())
    return row


def _share(found: Values) -> tuple[float, float, float]:
    share = stats.binomtest(int(found.sum()), len(found))
    interval = share.proportion_ci(method="wilson")
    return interval.low, share.statistic, interval.high


def _rates(a: Values, b: Values) -> tuple[str, float]:
    counts = np.array([[side.sum(), len(side) - side.sum()] for side in (a, b)])
    if not counts.sum(axis=0).all():
        return "none: all alike", 1.0
    expected = stats.contingency.expected_freq(counts)
    if expected.min() < _LEAST_EXPECTED:
        return "Fisher's exact", float(stats.fisher_exact(counts).pvalue)
    return "two-proportion z", float(stats.chi2_contingency(counts, correction=False).pvalue)


def _ranks(a: Values, b: Values) -> tuple[str, float]:
    return "Mann-Whitney U", float(stats.mannwhitneyu(a, b).pvalue)


def _verdict(row: dict[str, Any]) -> str:
    if row["p_adjusted"] >= _ALPHA:
        return "no difference shown"
    towards = row["direction"] * row["worse"]
    return "worse" if towards > 0 else "better" if towards < 0 else "different"
