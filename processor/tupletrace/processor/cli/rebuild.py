"""``tupletrace rebuild`` and ``tupletrace reprocess``: the journal indexed again, with a progress bar."""

import argparse
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from tupletrace.processor.cli.options import Commands, UsageError, add_db


def add(commands: Commands) -> None:
    """Declare the commands."""
    rebuild = commands.add_parser("rebuild", help="make the database again from its journal")
    said = "although the database holds what its journal cannot give again"
    rebuild.add_argument("--incomplete", action="store_true", help=said)
    add_place(rebuild)
    rebuild.set_defaults(run=_rebuild)
    reprocess = commands.add_parser(
        "reprocess", help="read again what came since a day, as this version does"
    )
    reprocess.add_argument(
        "--since", required=True, metavar="TIME", help="2026-11-21, 2026-11-21T10:00 (UTC), or 7d, 12h ago"
    )
    add_place(reprocess)
    reprocess.set_defaults(run=_reprocess)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Let ``--db`` or ``--url`` say to which database something is done."""
    add_db(parser)
    parser.add_argument("--url", help="a running processor, http://HOST:PORT, instead of --db")


def _rebuild(asked: argparse.Namespace) -> int:
    kept = done(asked, "rebuild", {"incomplete": "1"} if asked.incomplete else {})["kept"]
    print(f"{place(asked)} is made again" + (f"; the old one is kept as {kept}" if kept else ""))
    return 0


def _reprocess(asked: argparse.Namespace) -> int:
    answer = done(asked, "reprocess", {"since": asked.since})
    print(f"{answer['requests']} requests since {asked.since} are read again")
    return 0


def place(asked: argparse.Namespace) -> str:
    """Return the name of what the options of ``add_place`` say."""
    return asked.url or str(asked.db)


def done(asked: argparse.Namespace, job: str, arguments: dict[str, str]) -> Any:
    """Do a job to a database, or let the processor do it that has it open; return the answer."""
    from tupletrace.processor import jobs
    from tupletrace.processor.ask import Processor
    from tupletrace.processor.lock import DatabaseInUse, DatabaseLock

    try:
        jobs.order(job, arguments)
        with shown(asked, f"{job}:") as progress:
            if asked.url:
                return Processor(asked.url).admin(job, arguments, progress)
            try:
                lock = DatabaseLock(asked.db)
            except DatabaseInUse as error:
                return Processor.of(error).admin(job, arguments, progress)
            with lock:
                return jobs.alone(asked.db, job, arguments, progress)
    except ValueError as error:
        raise UsageError(str(error)) from None


@contextmanager
def alone(asked: argparse.Namespace, doing: str) -> Generator[Callable[[int, int], None]]:
    """Own the database, and show how far it is."""
    from tupletrace.processor.lock import DatabaseInUse, DatabaseLock

    try:
        with shown(asked, doing) as progress, DatabaseLock(asked.db):
            yield progress
    except DatabaseInUse as error:
        raise UsageError(f"{error}: stop it first") from None


@contextmanager
def shown(asked: argparse.Namespace, doing: str) -> Generator[Callable[[int, int], None]]:
    """Show how far it is with what is done to the database."""
    from duckdb import Error
    from rich.console import Console
    from rich.progress import Progress

    from tupletrace.processor.database import first_line
    from tupletrace.processor.journal_file import JournalError
    from tupletrace.processor.query import SqlFailed
    from tupletrace.processor.schema import StoreError

    try:
        with Progress(console=Console(file=sys.stderr)) as bar:
            task = bar.add_task(doing, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    except (StoreError, JournalError) as error:
        raise UsageError(str(error)) from None
    except (Error, SqlFailed) as error:
        raise UsageError(first_line(error)) from None
    except OSError as error:
        raise UsageError(str(error) if error.filename else f"{asked.db}: {error}") from None
