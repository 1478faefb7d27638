"""Tools as both APIs offer them (chat completions nest them, responses do not) and the rules of schemas."""

from dataclasses import dataclass, field
from typing import Any

from . import checks
from .checks import Json
from .errors import ApiError, empty_array

_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
_FUNCTION: dict[str, checks.Check] = {
    "name": checks.name,
    "description": checks.string,
    "parameters": checks.mapping,
    "strict": checks.boolean,
}
_FLAT: dict[str, checks.Check] = {"type": checks.one_of("function"), **_FUNCTION}
_NESTED: dict[str, checks.Check] = {"type": checks.one_of("function"), "function": checks.mapping}


@dataclass(frozen=True)
class Tool:
    """One function that the model may call."""

    name: str
    description: str = ""
    parameters: Json = field(default_factory=dict[str, Any])


def parse(tools: list[Json] | None, *, flat: bool) -> list[Tool]:
    """Check the tools of a request."""
    if tools is None:
        return []
    if not tools:
        raise empty_array("tools")
    return [_tool(f"tools[{index}]", tool, flat=flat) for index, tool in enumerate(tools)]


def _tool(at: str, tool: Any, *, flat: bool) -> Tool:
    checks.mapping(at, tool)
    if flat:
        checks.fields(tool, _FLAT, required=("type", "name"), at=f"{at}.")
        function, inner = tool, at
    else:
        checks.fields(tool, _NESTED, required=("type", "function"), at=f"{at}.")
        function, inner = tool["function"], f"{at}.function"
        checks.fields(function, _FUNCTION, required=("name",), at=f"{inner}.")
    parameters = function.get("parameters") or {}
    if parameters and (wrong := fault(parameters, strict=bool(function.get("strict")), top=True)):
        message = f"Invalid schema for function '{function['name']}': {wrong}"
        raise ApiError(message, param=f"{inner}.parameters", code="invalid_function_parameters")
    return Tool(function["name"], function.get("description") or "", parameters)


def choice(value: Any, tools: list[Tool], *, flat: bool) -> str:
    """``none``, ``auto``, ``required``, or the name of the one function that must be called after ``!``."""
    if value is None:
        return "auto"
    if isinstance(value, str):
        checks.one_of("none", "auto", "required")("tool_choice", value)
        if not tools and value == "required":
            raise _needs_tools("tool_choice")
        return value
    checks.mapping("tool_choice", value)
    checks.one_of("function")("tool_choice.type", value.get("type"))
    if not tools:
        raise _needs_tools("tool_choice")
    wanted = value.get("name") if flat else (value.get("function") or {}).get("name")
    if wanted not in {tool.name for tool in tools}:
        raise ApiError(f"Tool choice '{wanted}' not found in 'tools' parameter.", param="tool_choice")
    return f"!{wanted}"


def parallel(value: bool | None, tools: list[Tool]) -> bool:
    """Whether several tools may be called in one answer."""
    if value is not None and not tools:
        raise _needs_tools("parallel_tool_calls")
    return value is not False


def _needs_tools(param: str) -> ApiError:
    message = f"Invalid value for '{param}': '{param}' is only allowed when 'tools' are specified."
    return ApiError(message, param=param)


def fault(schema: Any, *, strict: bool, top: bool = False, context: str = "()") -> str | None:
    """What is wrong with a JSON schema, in the API's words, or nothing."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return f"In context={context}, {schema!r} is not of type 'object', 'boolean'."
    kinds: Any = schema.get("type")
    if top and kinds != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kinds}\"'."
    for kind in kinds if isinstance(kinds, list) else [kinds] if kinds is not None else []:
        if kind not in _TYPES:
            return f"In context={context}, '{kind}' is not valid under any of the given schemas."
    if kinds == "array" and "items" not in schema:
        return f"In context={context}, array schema missing items."
    return _members_fault(schema, strict=strict, context=context)


def _members_fault(schema: Json, *, strict: bool, context: str) -> str | None:
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        return f"In context={context}, {properties!r} is not of type 'object'."
    required: Any = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return f"In context={context}, {required!r} is not an array of strings."
    if strict and schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return f"In context={context}, 'additionalProperties' is required to be supplied and to be false."
        if absent := sorted(set(properties) - set(required)):
            return (
                f"In context={context}, 'required' is required to be supplied and to be an array including "
                f"every key in properties. Missing '{absent[0]}'."
            )
    children = {f"('properties', '{name}')": child for name, child in properties.items()}
    children |= {f"('$defs', '{name}')": child for name, child in schema.get("$defs", {}).items()}
    children |= {f"('anyOf', '{index}')": child for index, child in enumerate(schema.get("anyOf", []))}
    if "items" in schema:
        children["('items',)"] = schema["items"]
    faults = (fault(child, strict=strict, context=where) for where, child in children.items())
    return next((wrong for wrong in faults if wrong), None)
