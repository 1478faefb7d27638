"""Has what traces say moved between two sets of them? The statistics are scipy's."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.stats
from scipy.spatial import distance
from scipy.special import rel_entr

from tupletrace.processor.cohorts import CATEGORIES, MEASURES, MIN_TRACES, Values, table, too_few, values

stats: Any = scipy.stats
"""Untyped: its results' attributes are made when it is imported."""
_MODERATE: Final = 0.1
_SIGNIFICANT: Final = 0.25
"""The usual thresholds of the population stability index."""
_BINS: Final = 10
_PSEUDO_COUNT: Final = 0.5
"""Of the smaller side, added to each bin as a share: an empty one must not make a divergence infinite."""
_DRIFTED: Final = pa.schema(
    {
        "column": pa.string(),
        "n_a": pa.int64(),
        "n_b": pa.int64(),
        "psi": pa.float64(),
        "kl_divergence": pa.float64(),
        "js_distance": pa.float64(),
        "ks_statistic": pa.float64(),
        "ks_p_value": pa.float64(),
        "new_in_b": pa.string(),
        "verdict": pa.string(),
    }
)


def drift(a: pa.Table, b: pa.Table, min_traces: int = MIN_TRACES) -> pa.Table:
    """Measure how far each column of the second cohort has moved from the first, one row each.

    Numbers are counted in tenths of the first cohort, texts (the layers' versions) by value. KL is in nats,
    the Jensen-Shannon distance in 0..1 (base 2); PSI is the sum of both KL divergences; KS is for numbers.
    """
    rows = [_drifted(column, a, b, min_traces) for column in (*CATEGORIES, *(one.column for one in MEASURES))]
    return table([row for row in rows if row["n_a"] or row["n_b"]], _DRIFTED)


def _drifted(column: str, first: pa.Table, second: pa.Table, min_traces: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_DRIFTED.names) | {"column": column}
    if column in CATEGORIES:
        a, b = ([text or "" for text in side[column].to_pylist()] for side in (first, second))
        known = sorted({*a, *b})
        counts = [np.array([side.count(value) for value in known], float) for side in (a, b)]
        row["new_in_b"] = "; ".join(sorted(set(b) - set(a))) or None
    else:
        a, b = values(first, column), values(second, column)
        counts = _histograms(a, b)
    row |= {"n_a": len(a), "n_b": len(b), "verdict": too_few(len(a), len(b), min_traces)}
    if row["verdict"]:
        return row
    least = _PSEUDO_COUNT / min(len(a), len(b))
    p, q = ((side / side.sum() + least) / (1 + least * len(side)) for side in counts)
    psi = float((rel_entr(p, q) + rel_entr(q, p)).sum())
    if column not in CATEGORIES:
        found = stats.ks_2samp(a, b)
        row |= {"ks_statistic": float(found.statistic), "ks_p_value": float(found.pvalue)}
    return row | {
        "psi": psi,
        "kl_divergence": float(stats.entropy(q, p)),
        "js_distance": float(distance.jensenshannon(p, q, base=2)),
        "verdict": "significant" if psi >= _SIGNIFICANT else "moderate" if psi >= _MODERATE else "stable",
    }


def _histograms(a: Values, b: Values) -> list[npt.NDArray[np.float64]]:
    if not len(a) or not len(b):
        return [np.zeros(1), np.zeros(1)]
    inner = np.unique(np.quantile(a, np.linspace(0, 1, _BINS + 1)[1:-1]))
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    return [np.histogram(side, edges)[0].astype(float) for side in (a, b)]
