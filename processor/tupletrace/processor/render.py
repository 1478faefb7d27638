"""Answers for people and programs: a table on the terminal, JSON, CSV, Markdown, Parquet."""

import shutil
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from decimal import Decimal
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from tupletrace.processor import formats

_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}
"""What a span says must not move the cursor or ring the bell of who reads it."""
_ROWS_AT_ONCE: Final = 1_000
"""The first ones say how wide columns are: a longer cell further down moves what stands beside it."""
_GAP: Final = "  "
_MOST_DIGITS: Final = 12
"""Before or behind the point of a number; one that has more is written as it is, or with an exponent."""


class NoTerminalFormat(ValueError):
    """A format that is not for a terminal was asked for on one."""


def write(table: pa.Table, form: str, file: Path | None = None, *, brief: bool = False) -> None:
    """Print an answer as ``show`` does, or as Parquet, or write it to a file.

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
            show(table, form, brief=brief)
    else:
        show(table, form, brief=brief)


def show(table: pa.Table, form: str, *, brief: bool = False) -> None:
    """Print an answer to stdout as a table, JSON, CSV or Markdown; a ``brief`` table has no empty columns."""
    if form == "json":
        sys.stdout.writelines(chain(formats.to_json(table.schema, table.to_batches()), "\n"))
    elif form == "csv":
        sys.stdout.writelines(formats.to_csv(table.schema, table.to_batches()))
    elif form == "markdown":
        for row in (table.column_names, ["---"] * table.num_columns, *formats.to_text(table)):
            print("|", " | ".join("" if cell is None else _in_markdown(cell) for cell in row), "|")
    else:
        empty = [name for name in table.column_names if table[name].null_count == table.num_rows]
        _show_table(table, empty if brief else [])


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


def _show_table(table: pa.Table, left_out: Sequence[str]) -> None:
    """Print rows below a header; on a terminal that is too narrow, each row as a list of its columns."""
    shown = table.drop_columns(left_out)
    names = [_printable(name).replace("\n", " ") for name in shown.column_names]
    pages = filter(None, map(_cells, shown.to_batches(max_chunksize=_ROWS_AT_ONCE)))
    first = next(pages, [])
    widths = [max(map(_width, column)) for column in zip(names, *first, strict=True)]
    # A pipe has no width.
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    styled = Console(soft_wrap=True, highlight=False)
    if room is None or sum(widths) + len(_GAP) * (len(widths) - 1) <= room:
        pads = [_right if _is_number(field.type) else _left for field in shown.schema]
        if names:
            styled.print(Text("\n".join(_row(names, widths, pads)), style="bold"))
        lines = (_row(row, widths, pads) for page in chain([first], pages) for row in page)
    else:
        lines = _records(names, chain([first], pages), room)
    for some in lines:
        print(*some, sep="\n")
    said = f"{table.num_rows} row{'' if table.num_rows == 1 else 's'}"
    if left_out and table.num_rows:
        said += f"; {len(left_out)} not shown, NULL throughout: {', '.join(left_out)}"
    styled.print(Text(f"({said})", style="dim"))


def _row(cells: Sequence[str], widths: Sequence[int], pads: Sequence[Callable[[str, int], str]]) -> list[str]:
    """Return the lines of a row of a table."""
    lines = zip_longest(*(cell.split("\n") for cell in cells), fillvalue="")
    return [
        _GAP.join(pad(part, width) for part, width, pad in zip(line, widths, pads, strict=True)).rstrip()
        for line in lines
    ]


def _records(names: Sequence[str], pages: Iterable[list[list[str]]], room: int) -> Iterator[list[str]]:
    """Yield the lines of each row, a column below the other; only between words is a line broken."""
    label = max(map(cell_len, names), default=0)
    indent = " " * label + _GAP
    for number, row in enumerate(chain.from_iterable(pages), 1):
        yield [f"-[ {number} ]".ljust(label, "-")]
        for name, cell in zip(names, row, strict=True):
            wrapped = (_wrapped(line, room - len(indent)) for line in cell.split("\n"))
            first, *more = chain.from_iterable(wrapped)
            yield [_left(name, label) + _GAP + first, *(indent + line for line in more)]


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, max(width, 1), break_long_words=False, break_on_hyphens=False) or [""]


def _cells(rows: pa.RecordBatch) -> list[list[str]]:
    """Return every cell as it is shown: numbers rounded, NULL as nothing."""
    shows = [_rounded if _has_fraction(field.type) else _printable for field in rows.schema]
    return [
        ["" if cell is None else show(cell) for show, cell in zip(shows, row, strict=True)]
        for row in formats.to_text(rows)
    ]


def _printable(cell: str) -> str:
    return cell if cell.isprintable() else cell.translate(_CONTROLS).expandtabs()


def _rounded(number: str) -> str:
    """Return a number with four decimals, or four digits if those are more; without zeros at its end."""
    exact = Decimal(number)
    if not exact.is_finite() or exact.adjusted() > _MOST_DIGITS:
        return number
    if exact and exact.adjusted() < -_MOST_DIGITS:
        return f"{exact:.3e}"
    return f"{round(exact, max(4, 3 - exact.adjusted())).normalize() + 0:f}"


def _has_fraction(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale > 0)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _width(cell: str) -> int:
    return max(map(cell_len, cell.split("\n")))


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text
