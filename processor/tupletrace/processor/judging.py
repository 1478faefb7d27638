"""Evaluations in spans and log records, kept by id and joined to what they judge, whichever comes first."""

from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor.events import EVALUATION
from tupletrace.processor.schema import statement

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_IN_ATTRIBUTES: Final = (
    r"^gen_ai\.evaluation\.name$|^((trace|session)\.)?(annotations|evaluations)\.\d+\."
    r"|^(assertions|scores|labels)$"
)
_WAITING: Final = """
    SELECT 1 FROM evaluation_results
    WHERE trace_id IS NULL AND coalesce(response_id, span_id) IS NOT NULL
    LIMIT 1
"""


def join(connection: duckdb.DuckDBPyConnection, batch: pa.Table, records: pa.Table) -> None:
    """Keep the evaluations in spans just stored and in log records."""
    judging = _judging(batch)
    spans = batch.take(pa.array(judging)) if len(judging) else batch.slice(0, 0)
    if not spans.num_rows and not records.num_rows and not _waits(connection, batch):
        return
    registered = {"batch": batch, "judging_spans": spans, "judging_records": records}
    for name, table in registered.items():
        connection.register(name, table)
    for one in statement("statements/judge").split(";\n\n"):
        connection.execute(one)
    for name in registered:
        connection.unregister(name)


def _waits(connection: duckdb.DuckDBPyConnection, batch: pa.Table) -> bool:
    return bool(batch.num_rows and connection.execute(_WAITING).fetchall())


def _judging(batch: pa.Table) -> npt.NDArray[np.int64]:
    """Return which spans hold an evaluation."""
    if not batch.num_rows:
        return np.zeros(0, np.int64)
    events = batch.column("events").combine_chunks()
    named = pc.equal(pc.struct_field(events.flatten(), "name"), EVALUATION)
    attributes = batch.column("attributes").combine_chunks()
    keys = attributes.keys.dictionary_encode()
    telling = pc.match_substring_regex(keys.dictionary, _IN_ATTRIBUTES)
    if not pc.any(telling).as_py() and not pc.any(named).as_py():
        return np.zeros(0, np.int64)
    keyed = telling.take(keys.indices)
    offsets = attributes.offsets.to_numpy()
    rows = np.searchsorted(offsets, np.flatnonzero(_true(keyed)) + offsets[0], side="right") - 1
    return np.union1d(pc.list_parent_indices(events).to_numpy()[_true(named)], rows).astype(np.int64)


def _true(found: pa.Array) -> npt.NDArray[np.bool_]:
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)
