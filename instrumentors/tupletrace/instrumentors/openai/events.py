"""Events of a streamed response, gathered into the response that they tell of."""

from types import SimpleNamespace
from typing import Any, Final

from tupletrace.instrumentors.openai.fields import field, text

_WITH_RESPONSE: Final = frozenset(
    f"response.{state}" for state in ("created", "queued", "in_progress", "completed", "incomplete", "failed")
)


class ResponseEvents:
    """Events of a streamed response; the last of them carries it whole."""

    def __init__(self, capture: bool) -> None:
        self._capture = capture
        self._response: Any = None
        self._error: Any = None
        self._items: dict[int, Any] = {}
        self._texts: dict[int, list[str]] = {}

    def add(self, chunk: Any) -> None:
        """Take the next event."""
        kind = getattr(chunk, "type", None)
        if kind in _WITH_RESPONSE:
            self._response = chunk.response
        elif kind == "error":
            self._error = chunk
        elif self._capture and kind == "response.output_item.done":
            self._items[chunk.output_index] = chunk.item
        elif self._capture and kind == "response.output_text.delta":
            self._texts.setdefault(chunk.output_index, []).append(chunk.delta)

    def answer(self) -> Any:
        """Return the response: the final one, or what had arrived of it."""
        if self._error is None and field(self._response, "status") not in ("in_progress", "queued"):
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
