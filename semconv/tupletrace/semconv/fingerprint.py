"""The one fingerprint rule: sha256 of canonical JSON, 12 hex digits, prefixed with what was hashed.

Both sides use it, so that the processor reaches the same identity from another vendor's span.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tupletrace.semconv.masking import mask_volatile as mask_volatile

_SECRETS: Final = ("authorization", "headers")
"""Of an MCP server's definition: what opens it does not identify it, and changes by the hour."""


def fingerprint(kind: str, value: Any) -> str:
    """Return ``kind-xxxxxxxxxxxx`` for any JSON-like value; key order does not matter."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return f"{kind}-{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def template_version(messages: Iterable[tuple[str, str]], template_format: str) -> str:
    """Fingerprint a prompt template: ``(role, template text)`` in order, never its variables' values."""
    return fingerprint("template", [template_format, [list(message) for message in messages]])


def static_text_version(texts: Sequence[tuple[str, str]], response_schema: Any = None) -> str:
    """Fingerprint rendered ``(role, text)`` of system and developer messages, volatile parts masked."""
    masked = [[role, mask_volatile(text)] for role, text in texts]
    return fingerprint("text", [masked, response_schema] if response_schema is not None else masked)


def tool_signature(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce any vendor's tool definition to name, description and JSON schema of its parameters.

    Understood: OpenAI chat ``{type, function: {...}}``, OpenAI responses (flat), Anthropic
    ``input_schema``, OpenTelemetry ``{type, name, parameters}``; a built-in tool keeps its whole definition.
    """
    function = definition.get("function") or definition.get("custom")
    body: Mapping[str, Any] = function if isinstance(function, Mapping) else definition
    name = body.get("name")
    if not name:
        return {key: value for key, value in definition.items() if key not in _SECRETS}
    schema = body.get("parameters") or body.get("input_schema") or body.get("format") or body.get("tools")
    return {"name": name, "description": body.get("description") or "", "parameters": schema or {}}


def tools_identity(definitions: Iterable[Mapping[str, Any]]) -> tuple[list[str], str]:
    """Return (sorted tool names, version); the order of tools and of keys does not change the version."""
    signatures = [tool_signature(definition) for definition in definitions]
    canonical = sorted(json.dumps(s, sort_keys=True, ensure_ascii=False, default=str) for s in signatures)
    names = sorted(str(s.get("name") or s.get("server_label") or s.get("type")) for s in signatures)
    return names, fingerprint("tools", canonical)


def retriever_version(config: Mapping[str, Any]) -> str:
    """Fingerprint a retriever's configuration (class, store, collection, embedding model, search, top-k)."""
    return fingerprint("retriever", {key: value for key, value in config.items() if value is not None})
