"""Stages of the user's between normalise and store: entry points of the group ``tupletrace_processor``."""

import logging
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute

from tupletrace.processor import metrics
from tupletrace.processor.sources import engine

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_logger: Final = logging.getLogger(__name__)
GROUP: Final = "tupletrace_processor"
_KEPT: Final = ("trace_id", "span_id", "start_unix_nano", "journal_seq")
"""What says which span a row is: a stage may leave rows out, not rename them or add some."""
_TIMES: Final = {"start_unix_nano", "duration_ns"}
_STORABLE: Final = "SELECT count(hash(COLUMNS(*))), max(start_unix_nano + duration_ns) FROM made"
"""Fails of what DuckDB cannot store, such as a key twice in a map or an end past all times."""
Stage = Callable[[pa.Table], pa.Table]


@cache
def installed() -> tuple[tuple[str, Stage], ...]:
    """Return the stages that are installed, in the order of their names; what cannot be loaded is said."""
    found: list[tuple[str, Stage]] = []
    for entry_point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            found.append((entry_point.name, entry_point.load()))
        # Also what ends a program: here it would end the index alone.
        except BaseException:
            metrics.STAGE_FAILURES.labels(entry_point.name).inc()
            _logger.exception("the stage %s (%s) cannot be loaded", entry_point.name, entry_point.value)
    return tuple(found)


def run(batch: pa.Table) -> pa.Table:
    """Return what the stages make of a batch; one that fails leaves it as it was, and is counted."""
    if installed():
        batch = _plain(batch)
    for name, stage in installed():
        try:
            batch = _checked(batch, stage(batch))
        except BaseException:
            metrics.STAGE_FAILURES.labels(name).inc()
            _logger.exception("the stage %s failed; %d spans are stored without it", name, batch.num_rows)
    return batch


def _plain(batch: pa.Table) -> pa.Table:
    """Return the batch with every column as its values."""
    for place, column in enumerate(batch.columns):
        if pa.types.is_dictionary(column.type):
            found: Any = column.combine_chunks()
            batch = batch.set_column(place, batch.column_names[place], found.dictionary.take(found.indices))
    return batch


def _checked(before: pa.Table, after: Any) -> pa.Table:
    if not isinstance(after, pa.Table):
        raise TypeError(f"a stage returns a pyarrow.Table, not {type(after).__name__}")
    made = after.select(before.column_names).cast(before.schema)
    made.validate(full=True)
    # Which rows are left, in the order in which they came.
    left = before.filter(_among(before, made))
    if not left.select(_KEPT).equals(made.select(_KEPT)):
        raise ValueError(f"a stage leaves {', '.join(_KEPT)} and the order of the rows as they are")
    changed = {name for name in made.column_names if not made[name].equals(left[name])}
    if changed:
        with engine().cursor() as cursor:
            cursor.register("made", made.select([*(changed | _TIMES)]))
            cursor.execute(_STORABLE).fetchall()
    return made


def _among(before: pa.Table, after: pa.Table) -> pa.Array:
    if before.num_rows == after.num_rows:
        return pa.repeat(True, before.num_rows)
    return pc.is_in(_key(before), value_set=_key(after))


def _key(table: pa.Table) -> pa.Array:
    columns = [table.column(name).cast(pa.string()) for name in _KEPT]
    return pc.binary_join_element_wise(*columns, " ").combine_chunks()
