"""GenAI span dialects as data: one TOML file each, found by listing this folder.

``detect``: key prefixes that mark a span of the dialect. ``columns``: canonical column -> foreign keys,
the most trusted first.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final


@dataclass(frozen=True, slots=True)
class Dialect:
    """One vendor's attribute names."""

    name: str
    detect: tuple[str, ...]
    columns: dict[str, list[str]]


def _load() -> list[Dialect]:
    tables = sorted(
        (entry for entry in files(__name__).iterdir() if entry.name.endswith(".toml")),
        # The standard's own names are the most trusted.
        key=lambda entry: (entry.name != "genai.toml", entry.name),
    )
    return [
        Dialect(entry.name.removesuffix(".toml"), tuple(table["detect"]), table["columns"])
        for entry in tables
        for table in [tomllib.loads(entry.read_text("utf-8"))]
    ]


DIALECTS: Final = _load()
"""Every dialect, in order of precedence."""


def _merged() -> dict[str, list[str]]:
    merged: dict[str, list[str]] = {}
    for dialect in DIALECTS:
        for column, keys in dialect.columns.items():
            merged.setdefault(column, []).extend(keys)
    return merged


COLUMNS: Final = _merged()
"""Canonical column -> the keys that may hold it in any dialect, the most trusted first."""
