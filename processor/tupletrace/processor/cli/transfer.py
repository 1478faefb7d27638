"""``tupletrace export`` and ``tupletrace import``: records as Parquet, by day, and back."""

import argparse
from datetime import UTC, date

from tupletrace.processor.cli.options import Commands, UsageError, add_db, moment, path
from tupletrace.processor.cli.rebuild import shown


def add(commands: Commands) -> None:
    """Declare the commands."""
    parser = commands.add_parser("export", help="write what is stored as Parquet, a folder a table and day")
    parser.add_argument("--parquet", type=path, metavar="DIR", required=True, help="the folder")
    for name, said in (("--since", "from this day (UTC) on"), ("--until", "before this day (UTC)")):
        parser.add_argument(name, type=_day, metavar="DAY", help=said)
    parser.add_argument("--route", help="only traces of this route")
    parser.add_argument("--overwrite", action="store_true", help="replace the days that are there already")
    add_db(parser)
    parser.add_argument("--url", help="a running processor, http://HOST:PORT, instead of --db")
    parser.set_defaults(run=_export)
    parser = commands.add_parser("import", help="add what an export or a snapshot holds to a database")
    parser.add_argument("source", type=path, metavar="DIR", help="the folder of an export, or a snapshot")
    add_db(parser)
    parser.add_argument("--url", help="a running processor, http://HOST:PORT, instead of --db")
    parser.set_defaults(run=_import)


def _day(text: str) -> date:
    return moment(text).astimezone(UTC).date()


def _export(asked: argparse.Namespace) -> int:
    from tupletrace.processor.ask import Processor
    from tupletrace.processor.transfer import Selection, export

    folder = asked.parquet
    if folder.is_dir() and any(folder.iterdir()) and not asked.overwrite:
        raise UsageError(f"{folder} is not empty: name another, or say --overwrite")
    with shown(asked, "exporting") as progress:
        source = Processor(asked.url) if asked.url else asked.db
        written = export(source, folder, Selection(asked.since, asked.until, asked.route), progress)
    print(f"{folder}: " + ", ".join(f"{count} {table}" for table, count in written.items()))
    return 0


def _import(asked: argparse.Namespace) -> int:
    from tupletrace.processor.ask import Processor
    from tupletrace.processor.transfer import bring

    if not asked.source.exists():
        raise UsageError(f"{asked.source}: there is no such folder or file")
    with shown(asked, "importing") as progress:
        brought = bring(asked.source, Processor(asked.url) if asked.url else asked.db, progress)
    for name, (new, found) in brought.items():
        print(f"{new} of {found} {name.replace('_', ' ')} are new in {asked.url or asked.db}")
    return 0
