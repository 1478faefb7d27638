"""A decoded batch as DuckDB scans it with the least work."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

_RESOURCE: Final = "resource_attributes"
_TASK: Final = 4_096
"""Rows that DuckDB scans as one task: several are inserted at once."""


@contextmanager
def registered(connection: duckdb.DuckDBPyConnection, batch: pa.Table) -> Generator[None]:
    """Let SQL ask ``batch``, each row with the ``place`` of its ``resource`` in ``resources``.

    DuckDB checks every map that Arrow gives it, key by key: so it gets each resource's attributes once.
    """
    attributes: Any = batch.column(_RESOURCE).combine_chunks()
    if pa.types.is_dictionary(attributes.type):
        attributes, places = attributes.dictionary, attributes.indices
    else:
        places = pa.array(np.arange(batch.num_rows))
    resources = pa.table({"place": pa.array(np.arange(len(attributes))), _RESOURCE: attributes})
    rows = batch.set_column(batch.column_names.index(_RESOURCE), "resource", places)
    connection.register("batch", pa.Table.from_batches(rows.to_batches(_TASK), rows.schema))
    connection.register("resources", resources)
    try:
        yield
    finally:
        # After an error nothing can be done before the rollback: the next batch replaces it.
        with suppress(duckdb.Error):
            connection.unregister("batch")
            connection.unregister("resources")
