"""``tupletrace coverage``."""

import argparse

from tupletrace.processor.cli.options import Commands, add_source, show_report


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("coverage", help="share of traces whose tuple is known, per route")
    add_source(parser)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    return show_report(asked, "coverage")
