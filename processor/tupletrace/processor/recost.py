"""What calls cost at the prices of now, beside what they cost at the prices that the database had."""

from pathlib import Path

import duckdb
import pyarrow as pa

from tupletrace.processor.schema import statement
from tupletrace.processor.store import Store


def recost(path: Path) -> pa.Table:
    """Read the prices again; return calls and USD before, now and the difference by model, where it changed.

    Raises:
        StoreError: the database, or the user's file of prices, cannot be used.
    """
    with duckdb.connect(str(path)) as connection:
        before = connection.sql("SELECT trace_id, span_id, cost_usd FROM llm_calls").to_arrow_table()
    store = Store(path)
    try:
        with store.cursor() as cursor:
            cursor.register("costs_before", before)
            return cursor.sql(statement("reports/recosted")).to_arrow_table()
    finally:
        store.close()
