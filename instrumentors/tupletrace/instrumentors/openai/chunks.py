"""Chunks of a completion, gathered into what the same call would have answered without streaming."""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

from opentelemetry.util.genai.types import ReasoningPart, TextPart
from opentelemetry.util.genai.utils import object_to_any_value

from tupletrace.instrumentors.openai.fields import count, field, items, known, text
from tupletrace.instrumentors.openai.parts import content_parts, parsed

_LATEST: Final = ("service_tier", "system_fingerprint", "usage", "error")
_BOTH_SIDES: Final = frozenset({"prompt_tokens", "completion_tokens"})
_NOTHING: Final[dict[str, Any]] = {}
_DELTAS: Final = ("content", "refusal", "reasoning_content", "reasoning", "images")


class CompletionChunks:
    """Chunks of a chat completion or a legacy completion; content is kept only where it is captured."""

    def __init__(self, capture: bool) -> None:
        self._capture = capture
        self._head: dict[str, Any] = {}
        self._named = False
        self._choices: dict[int, SimpleNamespace] = {}

    def add(self, chunk: Any) -> None:
        """Take the next chunk; any of them may carry the id, the usage, or nothing but an error."""
        head = self._head
        # Their own dictionaries, for a model's attributes cost ten times as much.
        said = getattr(chunk, "__dict__", _NOTHING)
        if not self._named:
            self._name(said)
        for name in _LATEST:
            if (value := said.get(name)) is not None:
                head[name] = value if name != "usage" else _latest(value, head.get(name))
        if (
            getattr(chunk, "__pydantic_extra__", None)
            and (usage := field(chunk, "x_groq", "usage")) is not None
        ):
            head.setdefault("usage", usage)
        if not (choices := said.get("choices")):
            if said.get("object") == "error":  # vLLM, SGLang: what the client takes for a chunk
                head["error"] = chunk
            return
        for choice in items(choices):
            told = getattr(choice, "__dict__", _NOTHING)
            index = told.get("index")
            index = index if type(index) is int else count(index) or 0
            kept = self._choices.get(index)
            if kept is None:
                kept = SimpleNamespace(finish_reason=None, deltas={}, calls=[], images=[])
                self._choices[index] = kept
            if reason := told.get("finish_reason"):
                kept.finish_reason = reason
                if (usage := field(choice, "usage")) is not None:  # Moonshot
                    head.setdefault("usage", usage)
            if self._capture:
                _keep(kept, choice)

    def answer(self) -> Any:
        """Return the completion so far."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            _join(choice)
        return SimpleNamespace(**self._head, choices=choices)

    def _name(self, said: dict[str, Any]) -> None:
        # Azure's first chunk has neither.
        for name in ("id", "model"):
            if value := text(said.get(name)):
                self._head.setdefault(name, value)
        self._named = "id" in self._head and "model" in self._head


def _latest(usage: Any, before: Any) -> Any:
    """Return the usage that a chunk brings, with what an earlier one said of the side that it leaves out."""
    if before is None:
        return usage
    said = {name: value for name, value in known(usage).items() if value is not None}
    return usage if said.keys() >= _BOTH_SIDES else {**known(before), **said}


def _keep(kept: SimpleNamespace, choice: Any) -> None:
    if legacy := text(field(choice, "text")):
        kept.deltas.setdefault("text", []).append(legacy)
    for name, said in known(field(choice, "delta")).items():
        if not said:
            continue
        if name in _DELTAS:
            if isinstance(said, str):
                kept.deltas.setdefault(name, []).append(said)
            else:
                _keep_parts(kept, said)
        elif name == "audio" and (words := text(field(said, "transcript"))):
            kept.deltas.setdefault("transcript", []).append(words)
        elif name in ("tool_calls", "function_call"):
            for call in items(said) if name == "tool_calls" else ({"function": said},):
                _keep_call(_call_of(kept.calls, call), call)


def _keep_parts(kept: SimpleNamespace, content: Any) -> None:
    """Keep a delta that is a list: Mistral's content, when it thinks, and OpenRouter's images."""
    for item in items(content):
        for part in content_parts([item]):
            if isinstance(part, (TextPart, ReasoningPart)):
                name = "content" if isinstance(part, TextPart) else "reasoning"
                kept.deltas.setdefault(name, []).append(part.content)
            else:
                kept.images.append(item)


def _call_of(calls: list[dict[str, Any]], piece: Any) -> dict[str, Any]:
    # Some servers number no call, or every one 0, but tell their ids, or not even those.
    index, call_id = count(field(piece, "index")), text(field(piece, "id"))
    for kept in reversed(calls):
        if index in (None, kept["index"]) and (not call_id or kept["id"] in (None, call_id)):
            if call_id or not (field(piece, "function", "name") and _is_whole(kept)):
                return kept
            break
    calls.append({"index": index, "id": call_id, "name": None, "custom": False, "input": []})
    return calls[-1]


def _is_whole(kept: dict[str, Any]) -> bool:
    return isinstance(parsed("".join(kept["input"])), Mapping)


def _keep_call(kept: dict[str, Any], call: Any) -> None:
    body = field(call, "function") or field(call, "custom")
    kept["id"] = kept["id"] or text(field(call, "id"))
    if (name := text(field(body, "name"))) and name != kept["name"]:  # some say it again in every piece
        kept["name"] = (kept["name"] or "") + name
    kept["custom"] = kept["custom"] or field(call, "custom") is not None
    given = field(body, "arguments") or field(body, "input")
    if given:
        kept["input"].append(given if isinstance(given, str) else json.dumps(object_to_any_value(given)))


def _join(choice: SimpleNamespace) -> None:
    said = {name: "".join(deltas) for name, deltas in choice.deltas.items()}
    choice.text = said.pop("text", None)
    calls = [_call(call) for call in sorted(choice.calls, key=lambda call: call["index"] or 0)]
    audio = {"transcript": said.get("transcript")}
    choice.message = {**said, "audio": audio, "images": choice.images, "tool_calls": calls}


def _call(kept: dict[str, Any]) -> dict[str, Any]:
    given = "".join(kept["input"])
    if kept["custom"]:
        return {"id": kept["id"], "custom": {"name": kept["name"], "input": given}}
    return {"id": kept["id"], "function": {"name": kept["name"], "arguments": given}}
