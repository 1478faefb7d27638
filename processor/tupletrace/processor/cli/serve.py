"""``tupletrace serve``."""

import argparse
import os
import sqlite3

from tupletrace.processor.cli.options import Commands, UsageError, add_db


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("serve", help="receive OTLP, store it, answer SQL")
    add_db(parser)
    _add_address(parser, "grpc", "127.0.0.1:4317", "OTLP/gRPC")
    _add_address(parser, "http", "127.0.0.1:4318", "OTLP/HTTP and SQL")
    parser.set_defaults(run=_run)


def _add_address(parser: argparse.ArgumentParser, name: str, default: str, what: str) -> None:
    default = os.environ.get(f"TUPLETRACE_{name.upper()}", default)
    said = f"where to receive {what} ({default}); port 0: any"
    parser.add_argument(f"--{name}", default=default, metavar="HOST:PORT", help=said)


def _split_address(text: str, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{option} {text}: write HOST:PORT, for instance 127.0.0.1:4317")
    return host, int(port)


def _run(asked: argparse.Namespace) -> int:
    from tupletrace.processor.database import StoreError
    from tupletrace.processor.journal import JournalError
    from tupletrace.processor.listen import PortInUse
    from tupletrace.processor.lock import DatabaseInUse
    from tupletrace.processor.serve import serve

    grpc, http = _split_address(asked.grpc, "--grpc"), _split_address(asked.http, "--http")
    try:
        serve(asked.db, grpc, http)
    except (DatabaseInUse, StoreError, PortInUse, JournalError) as error:
        raise UsageError(str(error)) from None
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"{asked.db.parent} cannot be written: {error}") from None
    return 0
