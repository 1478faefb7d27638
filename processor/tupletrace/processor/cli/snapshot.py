"""``tupletrace snapshot`` and ``tupletrace restore``: a copy of a database in one file, and the way back."""

import argparse

from tupletrace.processor.cli.options import Commands, UsageError, add_db, path
from tupletrace.processor.cli.rebuild import alone, shown


def add(commands: Commands) -> None:
    """Declare the commands."""
    parser = commands.add_parser("snapshot", help="copy a database into one file, also while it is written")
    parser.add_argument("file", type=path, metavar="FILE", help="a DuckDB file that is made")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    add_db(parser)
    parser.add_argument("--url", help="a running processor, http://HOST:PORT, instead of --db")
    parser.set_defaults(run=_snapshot)
    parser = commands.add_parser("restore", help="make a snapshot the database again")
    parser.add_argument("file", type=path, metavar="FILE", help="what `tupletrace snapshot` has made")
    said = "although the journal begins later than the snapshot ends"
    parser.add_argument("--incomplete", action="store_true", help=said)
    add_db(parser)
    parser.set_defaults(run=_restore)


def _snapshot(asked: argparse.Namespace) -> int:
    from tupletrace.processor import snapshot
    from tupletrace.processor.ask import Processor

    if asked.file.exists() and not asked.overwrite:
        raise UsageError(f"{asked.file} is there already: name another, or say --overwrite")
    with shown(asked, "copying") as progress:
        snapshot.save(Processor(asked.url) if asked.url else asked.db, asked.file, progress)
    print(f"{asked.file} is a snapshot of {asked.url or asked.db}")
    return 0


def _restore(asked: argparse.Namespace) -> int:
    from tupletrace.processor import snapshot

    with alone(asked, "restoring") as progress:
        restored = snapshot.restore(asked.db, asked.file, progress, incomplete=asked.incomplete)
    kept = f"; the old one is kept as {restored.kept}" if restored.kept else ""
    print(f"{asked.db} is what {asked.file} holds, and what the journal has since{kept}")
    if restored.unjournalled:
        said = f"requests up to {restored.unjournalled} are in no journal here"
        print(f"{said}: what they brought is in this database alone, and a rebuild would not bring it back")
    return 0
