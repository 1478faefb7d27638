"""``tupletrace doctor``."""

import argparse

from tupletrace.processor.cli.options import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    said = "say which instrumentors will load here and where spans go"
    commands.add_parser("doctor", help=said).set_defaults(run=_run)


def _run(_asked: argparse.Namespace) -> int:
    from tupletrace.processor import doctor

    return doctor.report()
