"""Answers for people and programs: a table on the terminal, JSON, CSV, Markdown, Parquet."""

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tupletrace.processor import formats

FORMATS: Final = ("table", "json", "csv", "markdown", "parquet")
_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}
"""What a span says must not move the cursor or ring the bell of who reads it."""


class NoTerminalFormat(ValueError):
    """A format that is not for a terminal was asked for on one."""


def write(table: pa.Table, form: str, file: Path | None = None) -> None:
    """Print an answer in one of ``FORMATS``, or write it to a file.

    Raises:
        NoTerminalFormat: Parquet, and nowhere to put it.
        OSError: the file cannot be written.
    """
    if form == "parquet":
        if file is None and sys.stdout.isatty():
            raise NoTerminalFormat("Parquet is not for a terminal: name a file with --output")
        parquet.write_table(table, file or sys.stdout.buffer)
    elif file:
        with file.open("w", encoding="utf-8", newline="") as to, redirect_stdout(to):
            show(table, form)
    else:
        show(table, form)


def show(table: pa.Table, form: str, title: str | None = None) -> None:
    """Print an answer to stdout as a table, JSON, CSV or Markdown."""
    if form == "json":
        print("".join(formats.to_json(table.schema, table.to_batches())))
    elif form == "csv":
        print("".join(formats.to_csv(table.schema, table.to_batches())), end="")
    elif form == "markdown":
        for row in (table.column_names, ["---"] * table.num_columns, *formats.to_text(table)):
            print("|", " | ".join("" if cell is None else _in_markdown(cell) for cell in row), "|")
    else:
        _show_table(table, title)


def _in_markdown(cell: str) -> str:
    return cell.translate(_CONTROLS).replace("|", "\\|").replace("\n", "<br>")


def tree(
    title: str, notes: Sequence[str], spans: Sequence[dict[str, Any]], label: Callable[[dict[str, Any]], str]
) -> None:
    """Print spans below their parents; one whose parent is not there, or below itself, stands at the top."""
    console = _console()
    for line in (title, *notes):
        console.print(Text(line.translate(_CONTROLS)), highlight=False)
    ids = {span["span_id"] for span in spans}
    below: defaultdict[str | None, list[int]] = defaultdict(list)
    for number, span in enumerate(spans):
        below[span["parent_span_id"] if span["parent_span_id"] in ids else None].append(number)
    top = Tree("", hide_root=True)
    # A circle of parents hangs nowhere: its first span is put at the top.
    waiting = [(number, top) for number in (*reversed(range(len(spans))), *reversed(below[None]))]
    shown: set[int] = set()
    while waiting:
        number, above = waiting.pop()
        if number not in shown:
            shown.add(number)
            branch = above.add(Text(label(spans[number]).translate(_CONTROLS)))
            waiting += [(child, branch) for child in reversed(below[spans[number]["span_id"]])]
    console.print(top)


def text(said: str) -> None:
    """Print lines as they are, without what would move the cursor."""
    _console().print(Text(said.translate(_CONTROLS)), highlight=False)


def _console() -> Console:
    console = Console()
    # A pipe has no width: nothing is cut there.
    return console if console.is_terminal else Console(width=10_000)


def _show_table(table: pa.Table, title: str | None) -> None:
    console = _console()
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
    for row in formats.to_text(table):
        shown.add_row(*(Text("" if cell is None else cell.translate(_CONTROLS)) for cell in row))
    console.print(shown)
    console.print(f"({table.num_rows} row{'' if table.num_rows == 1 else 's'})", style="dim", highlight=False)
