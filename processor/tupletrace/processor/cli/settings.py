"""``tupletrace settings`` and ``tupletrace budgets``: what users set, beside a running processor too."""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tupletrace.processor.cli.options import Commands, UsageError, add_source, answering, show_table

if TYPE_CHECKING:
    from tupletrace.processor.settings import Settings

_SETTINGS: Final = "FROM settings WHERE $1 IS NULL OR key = $1 ORDER BY default_value IS NULL, key"
_HEEDED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05
_FOR_ONE: Final = ("judge_score:", "defect_score:")
"""Keys that end with the name of an evaluation."""


def add(commands: Commands) -> None:
    """Declare the commands."""
    setting = commands.add_parser("settings", help="show or change the thresholds that every question uses")
    setting.add_argument("key", nargs="?", help="for instance error_rate, or judge_score:correctness")
    setting.add_argument("value", nargs="?", help="a number, or `default`")
    add_source(setting)
    setting.set_defaults(run=_setting)

    budgets = commands.add_parser("budgets", help="what may be spent, what was, and who is over")
    budgets.add_argument("scope", nargs="?", help="route, user, model, total, ...: what the budget is of")
    budgets.add_argument("who", nargs="?", help="which one, or * for each")
    budgets.add_argument("per", nargs="?", help="day, week or month (UTC)")
    budgets.add_argument("usd", nargs="?", help="USD, or `none`")
    add_source(budgets)
    budgets.set_defaults(run=_budgets)


def _setting(asked: argparse.Namespace) -> int:
    if asked.value is not None:
        _change(asked, _with_value)
    with answering(asked) as ask:
        found = ask(_SETTINGS, [asked.key])
    if asked.key and not found.num_rows:
        raise UsageError(f"there is no setting {asked.key}: `tupletrace settings` shows those there are")
    return show_table(asked, found)


def _with_value(asked: argparse.Namespace, said: "Settings", known: set[str]) -> "Settings":
    from tupletrace.processor import settings

    if asked.key not in known and not any(
        asked.key.startswith(prefix) and asked.key != prefix for prefix in _FOR_ONE
    ):
        raise UsageError(f"there is no setting {asked.key}: `tupletrace settings` shows those there are")
    values = {key: value for key, value in said.values.items() if key != asked.key}
    if asked.value != "default":
        values[asked.key] = settings.number(asked.key, asked.value)
    return replace(said, values=values)


def _budgets(asked: argparse.Namespace) -> int:
    if asked.scope is not None:
        if asked.usd is None:
            raise UsageError("a budget is set as SCOPE WHO PER USD, for instance: route '*' month 100")
        _change(asked, _with_budget)
    with answering(asked) as ask:
        return show_table(asked, ask("FROM budget_status()"))


def _with_budget(asked: argparse.Namespace, said: "Settings", _known: set[str]) -> "Settings":
    from tupletrace.processor import settings

    what = (asked.scope, asked.who, asked.per)
    kept = [one for one in said.budgets if (one.scope, one.who, one.per) != what]
    if asked.usd != "none":
        kept.append(settings.Budget(*what, settings.usd(asked.usd)))
    elif len(kept) == len(said.budgets):
        raise UsageError(f"there is no budget of {' '.join(what)}")
    return replace(said, budgets=tuple(kept))


def _change(
    asked: argparse.Namespace, changed: "Callable[[argparse.Namespace, Settings, set[str]], Settings]"
) -> None:
    """Write the file, and wait until who has the database open has taken it over."""
    from tupletrace.processor import settings

    if asked.url:
        raise UsageError(
            "what is set stands beside the database: name it with --db, on the processor's machine"
        )
    with answering(asked) as ask:
        known = set(ask("SELECT key FROM settings")["key"].to_pylist())
        file = settings.settings_file(asked.db)
        try:
            wanted = changed(asked, settings.read(file), known)
        except settings.SettingsError as error:
            raise UsageError(str(error)) from None
        settings.write(file, wanted)
    until = time.monotonic() + _HEEDED_WITHIN_S
    with answering(asked) as ask:
        while any(
            sorted(map(str, ask(f"FROM {table}").to_pylist())) != sorted(map(str, rows.to_pylist()))
            for table, rows in wanted.tables().items()
        ):
            if time.monotonic() > until:
                raise UsageError(f"{file} is written, but the processor has not taken it over yet")
            time.sleep(_POLL_S)
