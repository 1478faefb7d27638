"""``tupletrace sql``."""

import argparse

from tupletrace.processor.cli.options import Commands, add_source, show


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("sql", help="ask in SQL, whether a processor is running or not")
    parser.add_argument("statement", metavar="SQL", help='for instance "FROM tuple_coverage"')
    add_source(parser)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    return show(asked, asked.statement)
