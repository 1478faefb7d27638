"""Answers for people and programs: a table on the terminal, JSON, CSV."""

from typing import Final

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tupletrace.processor import query

FORMATS: Final = ("table", "json", "csv")
_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}
"""What a span says must not move the cursor or ring the bell of who reads it."""


def show(table: pa.Table, form: str, title: str | None = None) -> None:
    """Print an answer to stdout in one of ``FORMATS``."""
    if form == "json":
        print(query.to_json(table))
    elif form == "csv":
        print(query.to_csv(table), end="")
    else:
        _show_table(table, title)


def _show_table(table: pa.Table, title: str | None) -> None:
    console = Console()
    if not console.is_terminal:
        # A pipe has no width: nothing is cut there.
        console = Console(width=10_000)
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for field in table.schema:
        numeric = (
            pa.types.is_integer(field.type)
            or pa.types.is_floating(field.type)
            or pa.types.is_decimal(field.type)
        )
        shown.add_column(
            Text(field.name.translate(_CONTROLS)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in query.to_text(table):
        shown.add_row(*(Text("" if cell is None else cell.translate(_CONTROLS)) for cell in row))
    console.print(shown)
    console.print(f"({table.num_rows} row{'' if table.num_rows == 1 else 's'})", style="dim", highlight=False)
