"""What users set: thresholds and budgets, in a JSON file beside the database, which a rebuild keeps."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from tupletrace.processor.schema import StoreError

SCOPES: Final = (
    "total", "route", "service", "model", "provider", "prompt", "tuple", "agent", "user", "conversation",
)  # fmt: skip
"""What a budget may be of."""
PERIODS: Final = ("day", "week", "month")


class SettingsError(StoreError):
    """The file cannot be used, or what it is to hold makes no sense; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Budget:
    """USD that may be spent per period by one ``who`` of a ``scope``, or by each of them (``*``)."""

    scope: str
    who: str
    per: str
    usd: Decimal

    def __post_init__(self) -> None:
        """Refuse what is no budget.

        Raises:
            SettingsError: with what would be one.
        """
        if self.scope not in SCOPES:
            raise SettingsError(f"a budget cannot be of {self.scope!r}: write one of {', '.join(SCOPES)}")
        if self.per not in PERIODS:
            raise SettingsError(f"a budget cannot be per {self.per!r}: write one of {', '.join(PERIODS)}")
        if not self.usd.is_finite() or not 0 <= self.usd < 10**12:
            raise SettingsError(f"{self.usd} USD is no budget")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user has set; everything else is as ``settings.sql`` has it."""

    values: dict[str, float] = field(default_factory=dict[str, float])
    budgets: tuple[Budget, ...] = ()

    def tables(self) -> dict[str, pa.Table]:
        """Return the rows of the tables ``own_settings`` and ``budgets``."""
        columns = [list(column) for column in zip(*map(_row, self.budgets), strict=True)] or [[]] * 4
        kinds = [pa.string(), pa.string(), pa.string(), pa.decimal128(24, 12)]
        return {
            "own_settings": pa.table(
                {
                    "key": pa.array(self.values.keys(), pa.string()),
                    "value": pa.array(self.values.values(), pa.float64()),
                }
            ),
            "budgets": pa.table(
                [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)],
                ["scope", "who", "per", "usd"],
            ),
        }


def _row(budget: Budget) -> tuple[str, str, str, Decimal]:
    return budget.scope, budget.who, budget.per, budget.usd


def settings_file(database: Path) -> Path:
    """Return the file of what users set that belongs to a DuckDB file."""
    return database.with_name(database.name + ".settings")


def stamp(file: Path) -> tuple[int, int] | None:
    """Return what is another when the file is; None where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino


def read(file: Path) -> Settings:
    """Return what the user has set.

    Raises:
        SettingsError: it cannot be read, or is not of the form that ``write`` gives it.
    """
    try:
        said: Any = json.loads(file.read_bytes(), parse_float=Decimal)
        values = {str(key): number(key, value) for key, value in said.get("settings", {}).items()}
        budgets = tuple(_budget(one) for one in said.get("budgets", []))
    except FileNotFoundError:
        return Settings()
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from None
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from None
    return Settings(values, budgets)


def number(key: str, said: object) -> float:
    """Return a value as a number.

    Raises:
        SettingsError: it is none.
    """
    try:
        found = float(str(said))
    except ValueError:
        found = math.nan
    if isinstance(said, bool) or not math.isfinite(found):
        raise SettingsError(f"{key} cannot be {said!r}: write a number")
    return found


def usd(said: object) -> Decimal:
    """Return an amount of money, exact.

    Raises:
        SettingsError: it is none.
    """
    try:
        return Decimal(str(said))
    except InvalidOperation:
        raise SettingsError(f"{said!r} is no amount of USD") from None


def _budget(said: Mapping[str, Any]) -> Budget:
    return Budget(str(said["scope"]), str(said["who"]), str(said["per"]), usd(said["usd"]))


def write(file: Path, said: Settings) -> None:
    """Put a new file in the place of the old one: who reads meanwhile sees one or the other."""
    budgets = [
        {"scope": one.scope, "who": one.who, "per": one.per, "usd": str(one.usd)} for one in said.budgets
    ]
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text(json.dumps({"settings": said.values, "budgets": budgets}, indent=1))
    new.replace(file)
