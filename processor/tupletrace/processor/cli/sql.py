"""``tupletrace sql``."""

import argparse
import json
import sys
from typing import Any

from tupletrace.processor.cli.options import (
    Commands,
    UsageError,
    add_source,
    answering,
    explain,
    path,
    show_table,
)


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("sql", help="ask in SQL, whether a processor is running or not")
    said = 'for instance "FROM tuple_coverage"; none: a shell, or what comes through a pipe'
    parser.add_argument("statement", metavar="SQL", nargs="?", help=said)
    parser.add_argument("--file", "-f", type=path, metavar="FILE", help="read the SQL from a file")
    said = "a value for $NAME in the SQL, JSON or text; again for more"
    parser.add_argument("--param", "-p", type=_parameter, action="append", metavar="NAME=VALUE", help=said)
    add_source(parser)
    parser.set_defaults(run=_run)


def _parameter(text: str) -> tuple[str, Any]:
    name, given, value = text.partition("=")
    if not given or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"write NAME=VALUE, not {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _run(asked: argparse.Namespace) -> int:
    if asked.statement is not None and asked.file:
        raise UsageError("give the SQL or --file, not both")
    if asked.file:
        try:
            sql = asked.file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{asked.file} cannot be read: {error}") from None
    elif asked.statement is not None:
        sql = asked.statement
    elif sys.stdin.isatty():
        from tupletrace.processor.cli import shell

        with answering(asked) as ask:
            return shell.run(asked, ask)
    else:
        sql = sys.stdin.read()
    with answering(asked) as ask:
        found = ask(sql, dict(asked.param or ()))
        explain(asked, ask, found)
        return show_table(asked, found, brief=False)
