"""The shell of ``tupletrace sql``: statements end with ``;``, Tab completes names, Ctrl-D leaves."""

import argparse
import readline
from pathlib import Path
from typing import Final

from tupletrace.processor.ask import Ask
from tupletrace.processor.cli.options import show_table
from tupletrace.processor.query import SqlFailed, SqlRefused

_HISTORY: Final = Path("~/.tupletrace/sql_history")
_NAMES: Final = """
    SELECT table_name FROM duckdb_tables()
    UNION SELECT view_name FROM duckdb_views() WHERE NOT internal
    UNION SELECT column_name FROM duckdb_columns() WHERE NOT internal
"""
_TABLES: Final = """
    SELECT table_name AS name FROM duckdb_tables()
    UNION SELECT view_name FROM duckdb_views() WHERE NOT internal
    ORDER BY name
"""
_LEAVE: Final = ("exit", "quit", "q")
_LIST: Final = ("tables", "schema", "d", "dt")
_HELP: Final = """\
SQL, ended with ;  for instance FROM traces LIMIT 5;
tables, .tables, \\d      which tables and views there are
.schema NAME, \\d NAME   the columns of one
exit, .exit, \\q, Ctrl-D leave"""
_KEYWORDS: Final = ("SELECT", "FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "JOIN", "DESCRIBE", "SUMMARIZE")


def run(asked: argparse.Namespace, ask: Ask) -> int:
    """Answer statement after statement until the input ends."""
    words = sorted({*ask(_NAMES)["table_name"].to_pylist(), *_KEYWORDS})
    readline.set_completer(lambda text, state: _completion(words, text, state))
    readline.parse_and_bind("tab: complete")
    history = _HISTORY.expanduser()
    if history.exists():
        readline.read_history_file(history)
    print("SQL, ended with ;  Tab completes, help says more, exit or Ctrl-D leaves.")
    try:
        while True:
            sql = _statement()
            word, _, name = _command(sql)
            if word in _LEAVE:
                return 0
            if word in _LIST:
                _answer(asked, ask, f"DESCRIBE {name}" if name else _TABLES)
            elif word:
                print(_HELP)
            elif sql.strip(" ;\n"):
                _answer(asked, ask, sql)
    except EOFError:
        print()
        return 0
    finally:
        history.parent.mkdir(mode=0o700, exist_ok=True)
        readline.write_history_file(history)


def _statement() -> str:
    lines = [input("tupletrace> ")]
    while lines[-1].strip() and not lines[-1].rstrip().endswith(";") and not any(_command(lines[0])):
        lines.append(input("       ...> "))
    return "\n".join(lines)


def _command(said: str) -> tuple[str, str, str]:
    """Return what is no SQL by its word, a blank and a name: a word of ours, or what begins with . or \\."""
    said = said.strip(" ;\n")
    if said.lower() in ("help", "exit", "quit", "tables") or said.startswith((".", "\\")):
        return said.lstrip(".\\").lower().partition(" ")
    return "", "", ""


def _answer(asked: argparse.Namespace, ask: Ask, sql: str) -> None:
    try:
        show_table(asked, ask(sql), brief=False)
    except (SqlRefused, SqlFailed) as error:
        print(error)


def _completion(words: list[str], text: str, state: int) -> str | None:
    found = [word for word in words if word.lower().startswith(text.lower())]
    return found[state] if state < len(found) else None
