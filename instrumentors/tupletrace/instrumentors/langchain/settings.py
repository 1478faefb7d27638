"""What a setting says of how documents are found: its value, the keys of a filter, or nothing."""

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from types import FunctionType, MethodType
from typing import Any, Final

_NO_SETTING: Final = re.compile(
    r"""(?:^|_)(?:(?:api)?keys?|token|secret|passw\w*|credentials?|profile          # what opens it
      |region|endpoint|host|url|uri|headers|connection|client|timeout|retry|retries # the way there
      |session|conversation|thread|tenant|user|callbacks?|verbose)(?:_|$)           # who asks
    """,
    re.VERBOSE | re.IGNORECASE,
)
_FILTER: Final = re.compile(
    r"filter|(?:^|_)(?:where|exprs?|predicates?|metadatas?|condition)(?:_|$)", re.IGNORECASE
)
_GROUP: Final = re.compile(r"(?:^|_)(?:\w*config\w*|params?|kwargs|args|options|settings|limits|body)$")
"""Names of a retriever's fields that hold settings: other mappings and lists hold documents."""
_KEY_FIELDS: Final = frozenset(
    {"attribute", "column", "field", "field_name", "key", "name", "path", "property", "target"}
)
"""Where the objects that filters are built of keep what they ask about."""
_KEY_ENTRIES: Final = frozenset({"attribute", "column", "field", "key"})
_COMPARED: Final = frozenset({"value", "values", "match", "range", "op", "operator"})
_LOCATION: Final = re.compile(r"[/~\\]|\.{1,2}[/\\]|[a-z]:[/\\]|[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_CONDITION: Final = re.compile(
    r"""@(?P<tag>[\w.]+)\s*:\s*(?:\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|\S+)               # Redis: @tenant:{a}
      | (?P<quoted>"[^"]*"|`[^`]*`)(?=\s*(?:[=<>:]|!=|(?:not\s+)?(?:in|like|between)\b|is\b))
      | '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.)*"                                    # a value
      | (?P<word>[^\W\d][\w.]*(?:\[\s*(?:'[^']*'|"[^"]*")\s*\])*)
        (?:\s*:(?!:)\s*(?:"[^"]*"|\[[^\]]*\]|\([^)]*\)|[^\s()"]+))?                 # Lucene: tenant:a
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NO_KEY: Final = frozenset({"true", "false", "null", "none"})
_PLAIN: Final = (str, bytes, int, float, type(None))
_LONGEST: Final = 200
_MOST: Final = 64
_DEPTH: Final = 4
_NODES: Final = 500
"""A filter's objects may refer to whole libraries."""


def settings(given: Mapping[str, Any], *, deep: bool, depth: int = _DEPTH) -> dict[str, Any]:
    """Return what decides of these settings, as JSON-like values; ``deep`` where they hold nothing else."""
    found = {name: setting(name, value, deep=deep, depth=depth) for name, value in given.items()}
    return {name: value for name, value in found.items() if value is not None}


def setting(name: str, value: Any, *, deep: bool = False, depth: int = _DEPTH) -> Any:
    """Return what one setting says; None if it does not decide which documents are found."""
    kind = _kind(name)
    if value is None or kind == "none":
        return None
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (bool, int, float)):
        return value
    if kind == "filter":
        return filter_keys(value)
    if isinstance(value, str):
        return value if 0 < len(value) <= _LONGEST and not is_location(value) else None
    if isinstance(value, FunctionType):
        return value.__qualname__
    if isinstance(value, (list, tuple)):
        if not depth or not 0 < len(value) <= _MOST:
            return None
        if not deep and kind != "group" and not all(isinstance(one, (int, float)) for one in value):
            return None
        return [setting(name, one, deep=deep, depth=depth - 1) for one in value]
    if not depth or not (deep or kind == "group"):
        return None
    if isinstance(value, Mapping):
        return settings({str(key): below for key, below in value.items()}, deep=True, depth=depth - 1)
    own = depth - 1 if hasattr(type(value), "model_fields") else 0
    return {"class": _class_name(value), **settings(_fields(value), deep=True, depth=own)}


def filter_keys(condition: Any) -> list[str] | str | None:
    """Return what a filter asks about, never values: of a mapping, an expression or the objects of one."""
    if condition is None or (isinstance(condition, (str, Mapping, list, tuple)) and not condition):
        return None
    if isinstance(condition, (FunctionType, MethodType)):
        return condition.__qualname__
    return sorted(_keys(condition)) or _class_name(condition)


def is_location(text: str) -> bool:
    """Say whether a text is a path or address, which are another on every machine."""
    return _LOCATION.match(text) is not None


def without_location(text: str) -> str:
    """Return the last part of a path, anything else as it is."""
    return PurePath(text.replace("\\", "/")).name or text if is_location(text) else text


@lru_cache(maxsize=512)
def _kind(name: str) -> str:
    """Return what a setting of that name holds: nothing that counts, a filter, more settings, or a value."""
    if _NO_SETTING.search(name):
        return "none"
    if _FILTER.search(name):
        return "filter"
    return "group" if _GROUP.search(name) else "value"


def _keys(condition: Any) -> set[str]:
    found: set[str] = set()
    todo: list[tuple[str, Any]] = [("", condition)]
    for _ in range(_NODES):
        if not todo:
            break
        path, value = todo.pop()
        if isinstance(value, Enum):
            found.add(path + value.name)
        elif isinstance(value, str):
            found.update(() if path else _names(value))
        elif isinstance(value, Mapping):
            named = {str(key): below for key, below in value.items()}
            about = _about(named)
            found.update(path + str(named[key] if key in about else key) for key in named)
            todo += [(f"{path}{key}.", below) for key, below in named.items()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            todo += [(path, one) for one in value if not path or not isinstance(one, _PLAIN)]
        else:
            for name, below in _fields(value).items():
                found |= _field(path, name, below)
                todo += [] if isinstance(below, str) else [(f"{path}{name}.", below)]
    return found


def _about(condition: Mapping[str, Any]) -> list[str]:
    """Return which entries name a key, in a mapping like ``{"key": "tenant", "value": "a"}``."""
    names = {name.lower(): name for name in condition}
    if names.keys().isdisjoint(_COMPARED):
        return []
    return [own for name, own in names.items() if name in _KEY_ENTRIES and isinstance(condition[own], str)]


def _field(path: str, name: str, value: Any) -> set[str]:
    """Return what one field of a filter's object tells, but for what is in it."""
    if value is None or value == []:
        return set()
    if not isinstance(value, str) or isinstance(value, Enum):
        return {path + name}
    if name in _KEY_FIELDS:
        return {path + value}
    return {path + key for key in _names(value)} if _kind(name) == "filter" else {path + name}


def _names(expression: str) -> Iterable[str]:
    for match in _CONDITION.finditer(expression):
        name = match["tag"] or match["quoted"] or match["word"]
        if name and name.lower() not in _NO_KEY:
            yield name.strip('"`')


def _fields(value: Any) -> dict[str, Any]:
    return {name.strip("_"): below for name, below in getattr(value, "__dict__", {}).items()}


def _class_name(value: Any) -> str:
    return getattr(value, "__qualname__", type(value).__qualname__)
