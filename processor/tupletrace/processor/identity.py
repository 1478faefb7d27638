"""Names and versions of prompts, tools and retrievers out of what other vendors' spans say, by the one rule.

Distinct values are fingerprinted once a batch: an application has few templates, tool lists and retrievers.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor.attributes import Attributes
from tupletrace.processor.sources import extract, mapped
from tupletrace.semconv import fingerprint

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_CALLS: Final = pa.array(["chat", "text_completion", "generate_content"])
_NONE: Final = pa.scalar(None, pa.string())
_SYSTEM_TEXTS: Final = """
    to_json(list_transform(
        list_filter(elements(v), lambda m: m ->> 'role' IN ('system', 'developer')),
        lambda m: [m ->> 'role', list_aggregate(
            list_transform(elements(m -> 'parts'), lambda part: part ->> 'content'), 'string_agg', chr(10)
        )]
    ))
"""
_INSTRUCTIONS: Final = """
    to_json([['system', CASE WHEN json_type(v) = 'ARRAY' THEN list_aggregate(
        list_transform(elements(v), lambda part: CASE
            WHEN json_type(part) = 'OBJECT' THEN part ->> 'content' ELSE part ->> '$'
        END),
        'string_agg', chr(10)
    ) ELSE raw END]])
"""
_SCHEMAS: Final = ("inputSchema", "parameters_json_schema", "parametersJsonSchema")
_VARIABLES: Final = ("gen_ai.prompt.variable.", "llm.prompt_template.variables")
_CUT: Final = "CASE WHEN v IS NULL THEN raw END"
_MARK: Final = r"__REDACTED__|\[Scrubbed due to [^\]]*\]|(?i:[\[<(]?redacted[\])>]?)"
"""What is written in the place of a text: by OpenInference and traceAI, by Logfire, by masks of users."""
_SAID: Final = r'"(content|response|arguments|uri)"\s*:\s*("[^"]|[^"n\s])'
_REFERENCES: Final = ("gen_ai.input.messages_ref", "gen_ai.system_instructions_ref")
UNSAID: Final = "no prompt id, template or message on the span"
NO_CONTENT: Final = f"content capture off, it seems: {UNSAID}"
HIDDEN: Final = "content hidden: the messages on the span are without their texts"
CUT: Final = "content cut off: the messages on the span cannot be read"
TOO_LONG: Final = "content too long to be read: it is among the attributes only"
ELSEWHERE: Final = "content uploaded: only a reference to the messages is on the span"
NO_TEMPLATE: Final = "no template on span: only its rendering"
NO_SYSTEM_TEXT: Final = "no prompt id, template or system text on the call"


def complete(attributes: Attributes, found: dict[str, pa.Array], failed: pa.Array) -> None:
    """Fill the identity columns that a span's vendor left empty; ``failed``: which spans did."""
    _tools(found)
    _retriever(found)
    _prompt(attributes, found, failed)


def _tools(found: dict[str, pa.Array]) -> None:
    said = found["tool_definitions"]
    found["tool_definitions"] = mapped(said, _canonical_tools)
    version = mapped(
        said, lambda text: fingerprint.tools_identity(_definitions(text))[1] if _definitions(text) else None
    )
    names = mapped(said, lambda text: json.dumps(fingerprint.tools_identity(_definitions(text))[0]))
    derived = pc.and_(pc.is_null(found["tools_version"]), pc.is_valid(version))
    found["tools_names"] = pc.coalesce(found["tools_names"], pc.if_else(derived, names, _NONE))
    found["tools_version"] = pc.coalesce(found["tools_version"], version)


def _definitions(text: str) -> list[dict[str, Any]]:
    """Return the tool definitions of a JSON list, each one, or a list of them, perhaps JSON in a string."""
    listed = _parsed(text)
    if not isinstance(listed, list):
        return []
    said = [_parsed(one) if isinstance(one, str) else one for one in listed]
    each = [tool for one in said for tool in (one if isinstance(one, list) else [one])]
    return [_with_parameters(tool) for one in each if isinstance(one, dict) for tool in _declared(one)]


def _declared(tool: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the functions that one of Gemini's tools holds, the one in Bedrock's, or the tool itself."""
    functions = (
        tool.get("function_declarations") or tool.get("functionDeclarations") or [tool.get("toolSpec")]
    )
    found = [one for one in functions if isinstance(one, dict)] if isinstance(functions, list) else []
    return found or [tool]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _with_parameters(definition: dict[str, Any]) -> dict[str, Any]:
    schema = next((definition[key] for key in _SCHEMAS if definition.get(key)), None)
    if not schema:
        return definition
    if isinstance(schema, dict) and schema.keys() == {"json"}:
        schema = schema["json"]
    return {key: value for key, value in definition.items() if key not in _SCHEMAS} | {"parameters": schema}


def _canonical_tools(text: str) -> str | None:
    definitions = _definitions(text)
    if not definitions:
        return None if _parsed(text) is None and text == "null" else text
    signed = [(one, fingerprint.tool_signature(one)) for one in definitions]
    flat = [
        {"type": "function", **signature} if "parameters" in signature else one for one, signature in signed
    ]
    return json.dumps(flat, ensure_ascii=False)


def _retriever(found: dict[str, pa.Array]) -> None:
    """Fingerprint what is said of a retriever's configuration."""
    columns = ("data_source_id", "retrieval_top_k", "retriever_store", "retriever_embedding")
    known = [
        pc.fill_null(found.pop(column) if column != "data_source_id" else found[column], "")
        for column in columns
    ]
    joined = pc.binary_join_element_wise(*known, "\x1f")
    retrieves = pc.fill_null(pc.equal(found["operation_name"], "retrieval"), False)
    version = mapped(pc.if_else(retrieves, joined, _NONE), lambda text: _retriever_version(columns, text))
    found["retriever_version"] = pc.coalesce(found["retriever_version"], version)


def _retriever_version(columns: tuple[str, ...], text: str) -> str | None:
    said: Mapping[str, str | None] = {
        column: value or None for column, value in zip(columns, text.split("\x1f"), strict=False)
    }
    # The name of what is searched says nothing of how.
    known = [value for column, value in said.items() if column != "data_source_id" and value]
    return fingerprint.retriever_version(said) if known else None


def _prompt(attributes: Attributes, found: dict[str, pa.Array], failed: pa.Array) -> None:
    """Take the first of: name and version on the span, LangChain's hub, the template, the system text."""
    owner, repo, commit = (found.pop(column) for column in ("hub_owner", "hub_repo", "hub_commit"))
    owned = pc.if_else(
        pc.fill_null(pc.not_equal(owner, "-"), False), pc.binary_join_element_wise(owner, repo, "/"), _NONE
    )
    from_hub = pc.if_else(pc.is_valid(commit), pc.coalesce(owned, repo), _NONE)
    template = mapped(found["prompt_template"], lambda text: None if re.fullmatch(_MARK, text) else text)
    named = mapped(template, lambda text: text if _is_name(text) else None)
    template = pc.if_else(pc.is_valid(named), _NONE, template)
    found["prompt_template"] = template

    said, provenance = found["prompt_version"], found["prompt_provenance"]
    declared = pc.coalesce(said, pc.if_else(pc.is_valid(from_hub), commit, _NONE))
    derived = mapped(pc.if_else(pc.is_valid(declared), _NONE, template), _template_version)
    calls = pc.is_in(found["operation_name"], _CALLS)
    rendered = pc.and_(pa.array(attributes.carries(_VARIABLES)), pc.is_null(template))
    unknown = pc.and_(calls, pc.is_null(pc.coalesce(declared, derived)))
    texts, cut = _system_texts(found, pc.and_(unknown, pc.invert(rendered)))
    derived = pc.coalesce(derived, mapped(texts, _text_version))

    found["prompt_name"] = pc.coalesce(found["prompt_name"], from_hub, named)
    found["prompt_version"] = pc.coalesce(declared, derived)
    found["prompt_provenance"] = pc.if_else(
        pc.is_valid(declared), provenance, pc.if_else(pc.is_valid(derived), "derived", provenance)
    )
    missing = pc.and_(calls, pc.is_null(found["prompt_version"]))
    unread = np.isin(np.arange(attributes.count), attributes.rows[attributes.unread])
    content = pc.is_valid(pc.coalesce(found["input_messages"], found["system_instructions"]))
    whys = {
        NO_TEMPLATE: rendered,
        CUT: cut,
        TOO_LONG: pc.and_not(pa.array(unread), content),
        ELSEWHERE: pc.and_not(pa.array(attributes.carries(_REFERENCES)), content),
        # Some libraries write messages with the answer only.
        UNSAID: pc.and_not(failed, content),
        NO_CONTENT: pc.invert(content),
        HIDDEN: _hidden(found, missing),
        NO_SYSTEM_TEXT: content,
    }
    reason = pc.case_when(pc.make_struct(*whys.values()), *whys)
    found["prompt_reason"] = pc.if_else(missing, reason, _NONE)


def _hidden(found: dict[str, pa.Array], where: pa.Array) -> pa.Array:
    """Return where messages have roles and parts, and nothing or a mark instead of what was said."""
    said = [
        pc.if_else(where, pc.fill_null(found[column], ""), _NONE)
        for column in ("input_messages", "system_instructions")
    ]
    texts = pc.replace_substring_regex(pc.binary_join_element_wise(*said, " "), f'"({_MARK})"', "null")
    return pc.fill_null(pc.invert(pc.match_substring_regex(texts, _SAID)), False)


def _is_name(template: str) -> bool:
    # traceAI has either in one key.
    return not any(mark in template for mark in " {}\n\t") and len(template) < 100


def _template_version(text: str) -> str:
    listed = _parsed(text) if text.startswith("[") else None
    if (
        isinstance(listed, list)
        and listed
        and all(isinstance(one, dict) and "content" in one for one in listed)
    ):
        messages = [(str(one.get("role") or "user"), str(one["content"])) for one in listed]
        return fingerprint.template_version(messages, "f-string")
    return fingerprint.template_version([("user", text)], "f-string")


def _system_texts(found: dict[str, pa.Array], wanted: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the system texts of the rows that are wanted, and where messages are no JSON."""
    rows = np.flatnonzero(wanted.to_numpy(zero_copy_only=False))
    if not len(rows):
        return pa.nulls(len(wanted), pa.string()), pa.array(np.zeros(len(wanted), np.bool_))
    index = pa.array(rows)
    messages, cut = extract(found["input_messages"].take(index), [_SYSTEM_TEXTS, _CUT])
    (instructions,) = extract(found["system_instructions"].take(index), [_INSTRUCTIONS])
    texts = pc.coalesce(pc.if_else(pc.equal(messages, "[]"), _NONE, messages), instructions)
    back = np.full(len(wanted), -1, np.int64)
    back[rows] = np.arange(len(rows))
    places = pa.array(back, mask=back < 0)
    return texts.take(places), pc.is_valid(cut.take(places))


def _text_version(text: str) -> str | None:
    texts = [
        (str(role), str(said)) for role, said in json.loads(text) if said and not re.fullmatch(_MARK, said)
    ]
    return fingerprint.static_text_version(texts) if texts else None
