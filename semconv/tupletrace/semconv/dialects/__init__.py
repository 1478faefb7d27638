"""GenAI span dialects as data: one TOML file each, found by listing this folder.

``detect``: keys, or prefixes that end with a dot, that mark a span of the dialect. ``prefer``: columns for
which this dialect is trusted more than the standard. ``ignore``: span names (with ``*``) that claim an
operation and are none; ``opening``: those that are none where they neither fail nor have a response.
``columns``: canonical column -> sources, the most trusted first. ``values``: column and key -> what the key's
values mean (with ``*``; an empty meaning is none). A source is a key (``a+b``: two values joined by ``+``;
``@name``: the span's name; ``@start``: when it began, in ns; ``@events.*``, ``@exception.type``: what its
events say), and perhaps what to do with it::

    llm.model_name                       as it is
    llm.invocation_parameters -> $.seed  this path of a JSON blob
    langfuse.usage => sum_keys(v, 'in')  this SQL over the JSON blob ``v``
    ai.response.msToFirstChunk / 1000    in another unit
    llm.finish_reason []                 one value where the standard has a list
    tool.name if execute_tool            on spans of these operations (joined by ``|``) only
    latency / 1000 here                  on spans of this dialect only: others mean something else by the key
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

AT_PATH: Final = "json_extract_string(v, "
"""How the SQL of a source begins that is nothing but a path."""
_SOURCE: Final = re.compile(
    r"(?P<key>\S+?)"
    r"(?:\s*->\s*(?P<path>\$\S*)|\s*=>\s*(?P<sql>.+?)|\s+/\s+(?P<divisor>[0-9.]+)|\s*(?P<listed>\[\]))?"
    r"(?:\s+if\s+(?P<operations>\S+))?(?P<here>\s+here)?"
)


@dataclass(frozen=True, slots=True)
class Source:
    """One place where the value of a canonical column may be found."""

    key: str
    sql: str | None = None
    """Over the value, as text ``raw`` and as JSON ``v`` (NULL if it is none)."""
    operations: tuple[str, ...] = ()
    dialect: str | None = None
    """Only on spans of this dialect: the key is nobody's in particular."""

    @classmethod
    def parse(cls, text: str, dialect: str) -> "Source":
        """Read what the file of a dialect says.

        Raises:
            ValueError: it is no source.
        """
        found = _SOURCE.fullmatch(text)
        if found is None:
            raise ValueError(f"no source of a column: {text!r}")
        sql = found["sql"]
        if found["path"]:
            sql = f"{AT_PATH}'{found['path']}')"
        elif found["divisor"]:
            sql = f"TRY_CAST(raw AS DOUBLE) / {found['divisor']}"
        elif found["listed"]:
            sql = "CASE WHEN raw LIKE '[%' THEN raw ELSE CAST(to_json(string_split(raw, ',')) AS VARCHAR) END"
        operations = tuple(found["operations"].split("|")) if found["operations"] else ()
        own = "." in found["key"] and not found["here"]
        return cls(found["key"], sql, operations, None if own else dialect)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One vendor's attribute names."""

    name: str
    detect: tuple[str, ...]
    columns: dict[str, list[str]]
    values: dict[str, dict[str, dict[str, str]]]
    prefer: tuple[str, ...]
    ignore: tuple[str, ...]
    opening: tuple[str, ...]

    @classmethod
    def of(cls, name: str, table: Mapping[str, Any]) -> "Dialect":
        """Read one file."""
        prefer, ignore, opening = (tuple(table.get(key, ())) for key in ("prefer", "ignore", "opening"))
        columns, values = table.get("columns", {}), table.get("values", {})
        return cls(name, tuple(table["detect"]), columns, values, prefer, ignore, opening)


def _load() -> list[Dialect]:
    tables = sorted(
        (entry for entry in files(__name__).iterdir() if entry.name.endswith(".toml")),
        # The standard's own names are the most trusted.
        key=lambda entry: (entry.name != "genai.toml", entry.name),
    )
    return [
        Dialect.of(entry.name.removesuffix(".toml"), tomllib.loads(entry.read_text("utf-8")))
        for entry in tables
    ]


DIALECTS: Final = _load()
"""Every dialect, in order of precedence."""


def _merged() -> dict[str, list[Source]]:
    merged: dict[str, list[Source]] = {}
    for column in dict.fromkeys(column for dialect in DIALECTS for column in dialect.columns):
        trusted = sorted(DIALECTS, key=lambda dialect, column=column: column not in dialect.prefer)
        merged[column] = list(
            dict.fromkeys(
                Source.parse(text, dialect.name)
                for dialect in trusted
                for text in dialect.columns.get(column, ())
            )
        )
    return merged


def _meanings() -> dict[tuple[str, str], dict[str, str]]:
    merged: dict[tuple[str, str], dict[str, str]] = {}
    for dialect in DIALECTS:
        for column, keys in dialect.values.items():
            for key, meanings in keys.items():
                merged.setdefault((column, key), {}).update(meanings)
    return merged


COLUMNS: Final = _merged()
"""Canonical column -> where any dialect may say it, the most trusted first."""
VALUES: Final = _meanings()
"""Column and key -> what the key's values mean."""
IGNORED: Final = tuple(name for dialect in DIALECTS for name in dialect.ignore)
"""Names of spans that claim an operation and are none."""
OPENINGS: Final = tuple(name for dialect in DIALECTS for name in dialect.opening)
"""Names of spans that are no operation either if they did not fail and say nothing of a response."""
