"""Events of a streamed response, gathered into the response that they tell of."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, Final

from tupletrace.instrumentors.openai.fields import count, field, items, known, text
from tupletrace.instrumentors.openai.response_items import is_tool_call

_WITH_RESPONSE: Final = frozenset(
    f"response.{state}" for state in ("created", "queued", "in_progress", "completed", "incomplete", "failed")
)
_TOOL_CALL: Final = {"type": "function_call"}


class ResponseEvents:
    """Events of a streamed response; the last of them carries it whole, or all but its output."""

    def __init__(self, capture: bool) -> None:
        self._capture = capture
        self._response: Any = None
        self._error: Any = None
        self._items: dict[int, Any] = {}
        self._texts: dict[int, list[str]] = {}

    def add(self, chunk: Any) -> None:
        """Take the next event."""
        kind = getattr(chunk, "type", None)
        if type(kind) is not str:
            return
        if kind in _WITH_RESPONSE:
            self._take(field(chunk, "response"))
        elif kind == "error":
            self._error = chunk
        elif kind == "response.output_item.done":
            item = field(chunk, "item")
            if self._capture or is_tool_call(item):
                self._items[_index(chunk, self._items)] = item if self._capture else _TOOL_CALL
        elif self._capture and kind == "response.output_text.delta":
            self._texts.setdefault(_index(chunk, ()), []).append(text(field(chunk, "delta")) or "")

    def _take(self, response: Any) -> None:
        # Some servers' last event leaves out what the first one said.
        if self._response is not None and field(response, "model") is None:
            said = {name: value for name, value in known(response).items() if value is not None}
            response = {**known(self._response), **said}
        self._response = response

    def answer(self) -> Any:
        """Return the response: the final one, or what had arrived of it."""
        if self._error is None and field(self._response, "status") not in ("in_progress", "queued"):
            if self._items and not items(field(self._response, "output")):
                return {**known(self._response), "output": self._output()}
            return self._response
        partial = {name: field(self._response, name) for name in ("id", "model", "prompt")}
        if self._error is not None:
            code = text(field(self._error, "code")) or text(field(self._error, "error", "code"))
            partial |= {"status": "failed", "error": {"code": code}}
        return SimpleNamespace(**partial, output=self._output())

    def _output(self) -> list[Any]:
        texts = {
            index: {"type": "message", "role": "assistant", "content": "".join(deltas)}
            for index, deltas in self._texts.items()
        }
        found = {**texts, **self._items}
        return [found[index] for index in sorted(found)]


def _index(chunk: Any, before: Collection[Any]) -> int:
    index = count(field(chunk, "output_index"))
    return len(before) if index is None else index
