"""Values for a JSON schema, found in a text: ids, numbers, dates, names, members of an enum."""

import re
from typing import Any

from .checks import Json
from .words import words

_ID = re.compile(r"\b[A-Za-z]{1,6}[-_#]?\d[\w-]*\b")
_NUMBER = re.compile(r"(?<![\w-])-?\d+(?:\.\d+)?(?![\w-])")
_FORMATS = {
    "date": (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "2025-01-01"),
    "email": (re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+"), "someone@example.com"),
    "url": (re.compile(r"https?://\S+"), "https://example.com"),
}
_QUOTED = re.compile(r"[\"“']([^\"”']{2,})[\"”']")
_PROPER = re.compile(r"(?<=[a-z,] )[A-Z][\w]+(?: [A-Z][\w]+)*")


def ids(text: str) -> list[str]:
    """The ids in a text, such as A-1042, each once."""
    return list(dict.fromkeys(_ID.findall(text)))


def names_id(key: str, schema: Json) -> bool:
    """Whether a property wants an id."""
    return bool(re.search(r"(^|_)(id|code|number|sku|ref)s?$", key.lower())) and _kind(schema) == "string"


def fill(
    schema: Json, text: str, *, key: str = "", root: Json | None = None, chosen: str | None = None
) -> Any:
    """A value that fits the schema, taken from the text where it holds one; ``chosen`` is the id to use."""
    root = schema if root is None else root
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if options := schema.get("enum"):
        said = [option for option in options if words(str(option)) and words(str(option)) <= words(text)]
        return (said or options)[0]
    match _kind(schema):
        case "object":
            return _object(schema, text, root, chosen)
        case "array":
            return _array(schema, text, key, root)
        case "boolean":
            return bool(words(key) & words(text))
        case "integer":
            return _number(schema, text, whole=True)
        case "number":
            return _number(schema, text, whole=False)
        case "null":
            return None
        case _:
            return _string(schema, text, key, chosen)


def _resolve(schema: Json, root: Json) -> Json:
    if "$ref" in schema:
        return _resolve(root.get("$defs", {}).get(schema["$ref"].rsplit("/", 1)[-1], {}), root)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _resolve(next((one for one in schema[union] if one.get("type") != "null"), {}), root)
    return _resolve(schema["allOf"][0], root) if schema.get("allOf") else schema


def _kind(schema: Json) -> str:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    return kind if isinstance(kind, str) else next((one for one in kind if one != "null"), "null")


def _object(schema: Json, text: str, root: Json, chosen: str | None) -> Json:
    required = schema.get("required", [])
    wanted = {
        key: one
        for key, one in schema.get("properties", {}).items()
        if key in required or "default" not in one
    }
    return {key: fill(one, text, key=key, root=root, chosen=chosen) for key, one in wanted.items()}


def _array(schema: Json, text: str, key: str, root: Json) -> list[Any]:
    item = _resolve(schema.get("items", {}), root)
    if names_id(key, item) and (found := ids(text)):
        return found
    return [fill(item, text, key=key, root=root)]


def _number(schema: Json, text: str, *, whole: bool) -> float:
    said = [float(value) for value in _NUMBER.findall(text)]
    low, high = schema.get("minimum", 1), schema.get("maximum", float("inf"))
    value = min(max(said[0] if said else schema.get("default", low), low), high)
    return int(value) if whole else value


def _string(schema: Json, text: str, key: str, chosen: str | None) -> str:
    if names_id(key, {"type": "string"}) and (chosen or ids(text)):
        return chosen or ids(text)[0]
    hint = f"{schema.get('format', '')} {key}".lower()
    for name, (pattern, fallback) in _FORMATS.items():
        if name in hint:
            found = pattern.search(text)
            return found[0] if found else fallback
    if re.search(r"query|question|topic|text|input|message|search|request|task|reason", key.lower()):
        return text.strip()
    if quoted := _QUOTED.search(text):
        return quoted[1]
    proper = _PROPER.search(text)
    return proper[0] if proper else text.strip()
