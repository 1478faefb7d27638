"""``tupletrace evaluations``: how often what fails, and evaluations made elsewhere brought in."""

import argparse
import csv
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tupletrace.processor.cli.options import (
    Commands,
    UsageError,
    add_source,
    add_window,
    answering,
    explain,
    path,
    show_table,
)

if TYPE_CHECKING:
    from tupletrace.processor.ask import Processor

_PARTS: Final = ("prompt", "model", "route", "tuple", "service", "user", "agent")
_RATES: Final = "FROM evaluation_rates('{}', since := $1, until := $2, of_route := $3)"
_ROWS_A_REQUEST: Final = 1000
_PATH: Final = "/v1/evaluations"


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "evaluations", help="how often what fails, by what took part; or import some"
    )
    parser.add_argument("action", nargs="?", choices=("rates", "import"), default="rates", help="(rates)")
    said = "to import: .csv, .parquet, .json or .jsonl, one evaluation a row"
    parser.add_argument("file", nargs="?", type=path, metavar="FILE", help=said)
    parser.add_argument("--by", choices=_PARTS, default="prompt", help="rates of each of these (prompt)")
    parser.add_argument("--skip", action="store_true", help="import the others where some rows are wrong")
    add_window(parser)
    add_source(parser)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    if asked.action == "import":
        return _import(asked)
    if asked.file is not None:
        raise UsageError(f"to bring in {asked.file}: tupletrace evaluations import {asked.file}")
    return _rates(asked)


def _rates(asked: argparse.Namespace) -> int:
    import pyarrow as pa

    from tupletrace.processor.compare import share

    with answering(asked) as ask:
        found = ask(_RATES.format(asked.by), [asked.since, asked.until, asked.route])
        explain(asked, ask, found)
    bounds = [
        share(row["failed"], row["judged"]) if row["judged"] else (None, None, None)
        for row in found.to_pylist()
    ]
    place = found.column_names.index("fail_rate") + 1
    for name, side in (("fail_rate_high", 2), ("fail_rate_low", 0)):
        found = found.add_column(place, name, pa.array([bound[side] for bound in bounds], pa.float64()))
    return show_table(asked, found.rename_columns({"value": asked.by}))


def _import(asked: argparse.Namespace) -> int:
    from tupletrace.processor import evaluations

    if asked.file is None:
        raise UsageError("name the file: tupletrace evaluations import FILE")
    try:
        found = _read(asked.file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{asked.file} cannot be read: {error}") from None
    made, wrong = evaluations.read(found)
    if wrong and not asked.skip:
        raise UsageError(
            f"{asked.file}: nothing was imported; {evaluations.said(wrong)}; "
            f"--skip imports the other {len(made)}"
        )
    _send(asked, [made[at : at + _ROWS_A_REQUEST] for at in range(0, len(made), _ROWS_A_REQUEST)])
    left = f"; left out: {evaluations.said(wrong)}" if wrong else ""
    print(f"{len(made)} evaluations of {asked.file} are imported{left}")
    return 0


def _read(file: Path) -> list[Any]:
    from tupletrace.processor import evaluations

    match file.suffix.lower():
        case ".parquet":
            from pyarrow import parquet

            return parquet.read_table(file).to_pylist()
        case ".csv":
            with file.open(encoding="utf-8-sig", newline="") as rows:
                return list(csv.DictReader(rows))
        case ".jsonl" | ".ndjson":
            return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
        case ".json":
            return list(evaluations.rows(json.loads(file.read_bytes())))
        case suffix:
            raise ValueError(f"{suffix or 'no suffix'} is not known: write .csv, .parquet, .json or .jsonl")


def _indexed(database: Path) -> int:
    """Return up to which request the database is made: the journal goes on after it."""
    from tupletrace.processor.store import Store

    if not database.exists():
        raise UsageError(f"{database}: there is no such database")
    with closing(Store(database)) as store:
        return store.journal_seq


def _post(processor: "Processor", bodies: Sequence[bytes]) -> None:
    for body in bodies:
        with processor.post(_PATH, body, {"Content-Type": "application/json"}):
            pass


def _send(asked: argparse.Namespace, batches: Sequence[list[dict[str, Any]]]) -> None:
    """Send to the processor that has the database, or write into its journal."""
    from tupletrace.processor import ask, evaluations, wire
    from tupletrace.processor.journal import Journal, JournalError, journal_folder
    from tupletrace.processor.lock import DatabaseInUse, DatabaseLock
    from tupletrace.processor.schema import StoreError

    bodies = [json.dumps(batch).encode() for batch in batches]
    try:
        if asked.url:
            _post(ask.Processor(asked.url), bodies)
            return
        try:
            with DatabaseLock(asked.db):
                journal = Journal(journal_folder(asked.db), _indexed(asked.db))
                try:
                    for batch in batches:
                        journal.append(wire.LOGS, evaluations.request(batch)).result()
                finally:
                    journal.close()
        except DatabaseInUse as in_use:
            _post(ask.Processor.of(in_use), bodies)
    except (StoreError, JournalError, OSError) as error:
        raise UsageError(str(error)) from None
