"""``tupletrace demo``."""

import argparse

from tupletrace.processor.cli.options import Commands, path


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("demo", help="run example programs against a small endpoint of our own")
    said = "database file to make (default: a new one in a temporary folder)"
    parser.add_argument("--db", type=path, help=said)
    parser.add_argument("--live", action="store_true", help="use OPENAI_API_KEY and OPENAI_BASE_URL instead")
    parser.set_defaults(run=_run, extra="demo")


def _run(asked: argparse.Namespace) -> int:
    from tupletrace.processor.demo.run import run

    return run(live=asked.live, db=asked.db)
