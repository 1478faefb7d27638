"""Has what traces say moved between two sets of them? The statistics are scipy's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import scipy.stats
from scipy.spatial import distance
from scipy.special import rel_entr

from tupletrace.processor.cohorts import CATEGORIES, MEASURES, Sides, Values, table, too_few, values

pc: Any = pyarrow.compute
stats: Any = scipy.stats
"""Untyped: what is in them is made when they are imported."""
_BINS: Final = 10
_MOST_CATEGORIES: Final = 50
"""The rarer ones count as one."""
_PSEUDO_COUNT: Final = 0.5
"""Of the smaller side, added to each bin as a share: an empty one must not make a divergence infinite."""
_DRIFTED: Final = pa.schema(
    {
        "column": pa.string(),
        "version": pa.string(),
        "against": pa.string(),
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
COLUMNS: Final = {column: column for column in [*CATEGORIES, *(one.column for one in MEASURES)]}
"""What drifts, where nothing else is asked for."""


def drift(
    sides: Sides, columns: Sequence[str], limits: Mapping[str, float], *, by_version: bool = False
) -> pa.Table:
    """Measure how far each column of the second cohort has moved from the first, one row each.

    Numbers are counted in tenths of the first cohort, texts (the layers' versions) by value. KL is in nats,
    the Jensen-Shannon distance in 0..1 (base 2); PSI is the sum of both KL divergences; KS is for numbers.
    By version: each value of ``cohort`` in the second against the same in the first, or against all of that
    where it has too few: what moved although its version stayed was changed in silence. ``limits`` are the
    ``settings``.
    """
    rows = [
        _drifted(column, a[column], b[column], limits) | {"version": version, "against": against}
        for version, against, a, b in (
            _versions(sides, limits) if by_version else [(None, None, sides.a, sides.b)]
        )
        for column in columns
    ]
    found = table([row for row in rows if row["n_a"] or row["n_b"]], _DRIFTED)
    return found if by_version else found.drop_columns(["version", "against"])


def _versions(
    sides: Sides, limits: Mapping[str, float]
) -> Iterator[tuple[str | None, str, pa.Table, pa.Table]]:
    for version, group in sides.grouped():
        if not group.b.num_rows:
            continue
        if group.a.num_rows >= limits["min_traces"]:
            yield version, "the same version", group.a, group.b
        else:
            yield version, "all of A", sides.a, group.b


def _drifted(
    column: str, first: pa.ChunkedArray, second: pa.ChunkedArray, limits: Mapping[str, float]
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_DRIFTED.names) | {"column": column}
    is_number = _is_number(first.type)
    if is_number:
        a, b = values(first), values(second)
        counts = _histograms(a, b)
    else:
        a, b = (_texts(side) for side in (first, second))
        counts, new = _categories(a, b)
        row["new_in_b"] = "; ".join(new) or None
    row |= {"n_a": len(a), "n_b": len(b), "verdict": too_few(len(a), len(b), limits["min_traces"])}
    if row["verdict"]:
        return row
    least = _PSEUDO_COUNT / min(len(a), len(b))
    p, q = ((side / side.sum() + least) / (1 + least * len(side)) for side in counts)
    psi = float((rel_entr(p, q) + rel_entr(q, p)).sum())
    if is_number:
        found = stats.ks_2samp(a, b)
        row |= {"ks_statistic": float(found.statistic), "ks_p_value": float(found.pvalue)}
    return row | {
        "psi": psi,
        "kl_divergence": float(stats.entropy(q, p)),
        "js_distance": float(distance.jensenshannon(p, q, base=2)),
        "verdict": "significant"
        if psi >= limits["drift_significant"]
        else "moderate"
        if psi >= limits["drift_moderate"]
        else "stable",
    }


def _is_number(kind: pa.DataType) -> bool:
    return any(
        of(kind)
        for of in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    )


def _texts(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    return pc.fill_null(column.cast(pa.string()), "").to_numpy()


def _categories(a: npt.NDArray[np.object_], b: npt.NDArray[np.object_]) -> tuple[list[Values], list[str]]:
    known, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    counts = [
        np.bincount(side, minlength=len(known)).astype(float) for side in (codes[: len(a)], codes[len(a) :])
    ]
    new = [str(known[i]) for i in np.flatnonzero((counts[0] == 0) & (counts[1] > 0))[:_MOST_CATEGORIES]]
    order = np.argsort(-(counts[0] + counts[1]), kind="stable")
    often, rare = order[:_MOST_CATEGORIES], order[_MOST_CATEGORIES:]
    if len(rare):
        counts = [np.append(side[often], side[rare].sum()) for side in counts]
    return counts, new


def _histograms(a: Values, b: Values) -> list[Values]:
    if not len(a) or not len(b):
        return [np.zeros(1), np.zeros(1)]
    inner = np.unique(np.quantile(a, np.linspace(0, 1, _BINS + 1)[1:-1]))
    # A value that many have is a bin of its own: what is above it must not count as the same.
    common = np.array([edge for edge in inner if np.mean(a == edge) > 1 / _BINS])
    edges = np.concatenate([[-np.inf], np.union1d(inner, np.nextafter(common, np.inf)), [np.inf]])
    return [np.histogram(side, edges)[0].astype(float) for side in (a, b)]
