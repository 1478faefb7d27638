"""The requested output format: text, a JSON object, or JSON of a given schema."""

import re
from dataclasses import dataclass

from . import checks
from .answers import Turn
from .checks import Json
from .errors import ApiError
from .tools import fault

_SCHEMA: dict[str, checks.Check] = {
    "name": checks.name,
    "description": checks.string,
    "schema": checks.mapping,
    "strict": checks.boolean,
}
_TYPE = {"type": checks.one_of("text", "json_object", "json_schema")}


@dataclass(frozen=True)
class Format:
    """What the answer must look like."""

    schema: Json | None = None
    json_mode: bool = False


def parse(value: Json | None, turns: list[Turn], *, param: str, flat: bool) -> Format:
    """Check the format of a request; ``flat`` as responses have it, else nested as chat completions do."""
    if value is None:
        return Format()
    kind = value.get("type")
    inner = (
        dict[str, checks.Check](_SCHEMA if flat else {"json_schema": checks.mapping})
        if kind == "json_schema"
        else {}
    )
    required = (("name", "schema") if flat else ("json_schema",)) if kind == "json_schema" else ()
    checks.fields(value, _TYPE | inner, required=("type", *required), at=f"{param}.")
    if kind == "json_schema":
        return Format(schema=_schema(value if flat else value["json_schema"], param=param, flat=flat))
    if kind == "json_object" and not any(re.search("json", turn.text, re.IGNORECASE) for turn in turns):
        where = "input" if flat else "messages"
        message = (
            f"'{where}' must contain the word 'json' in some form, to use '{param}' of type 'json_object'."
        )
        raise ApiError(message, param=where)
    return Format(json_mode=kind == "json_object")


def _schema(value: Json, *, param: str, flat: bool) -> Json:
    at = param if flat else f"{param}.json_schema"
    if not flat:
        checks.fields(value, _SCHEMA, required=("name",), at=f"{at}.")
    schema: Json = value.get("schema") or {}
    if wrong := fault(schema, strict=bool(value.get("strict")), top=bool(value.get("strict"))):
        raise ApiError(f"Invalid schema for response_format '{value['name']}': {wrong}", param=param)
    return schema
