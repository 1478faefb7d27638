"""Spans of any GenAI dialect -> canonical columns, still as text; the store's SQL gives them their types."""

from typing import Final

import numpy as np
import pyarrow as pa

from tupletrace.processor.decode import Spans
from tupletrace.semconv import names
from tupletrace.semconv.dialects import COLUMNS, DIALECTS

_NO_DIALECT: Final = len(DIALECTS)


def canonical(spans: Spans) -> pa.Table:
    """Add the canonical columns, ``dialect`` and ``service_name`` to the decoded table."""
    table = spans.table
    for column, keys in COLUMNS.items():
        table = table.append_column(column, spans.attributes.pick(keys))
    table = table.append_column("service_name", spans.resource.pick([names.SERVICE_NAME]))
    return table.append_column("dialect", _dialect(spans))


def _dialect(spans: Spans) -> pa.Array:
    # The vendor's own namespace says more than the standard's, which many vendors emit beside theirs.
    first = np.full(spans.table.num_rows, _NO_DIALECT)
    for position, dialect in enumerate(DIALECTS):
        first[spans.attributes.carries(dialect.detect)] = position
    labels = pa.array([*(dialect.name for dialect in DIALECTS), None], pa.string())
    return labels.take(pa.array(first))
