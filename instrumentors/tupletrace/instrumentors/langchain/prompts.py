"""Which prompt a model call was given: rendered templates are remembered by what they produced."""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from opentelemetry.context import Context

from tupletrace.instrumentors.context import declared_prompt
from tupletrace.instrumentors.current import current_context
from tupletrace.instrumentors.identity import Prompt, static_prompt
from tupletrace.instrumentors.langchain.messages import instructions, text_of
from tupletrace.instrumentors.langchain.middleware import prompt_in
from tupletrace.instrumentors.langchain.runs import Run, label_below

_MOST_REMEMBERED: Final = 4096
_NEVER: Final = (None, None)


@dataclass(frozen=True, slots=True)
class Rendering:
    """One rendering of a template: its messages by id, its text by hash."""

    prompt: Prompt
    order: int
    needed: frozenset[int]
    """Messages that were there before, all of which must be found: others may hold some of them, too."""
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Content, kept only where it is wanted and only as long as the messages live."""


class Renderings:
    """The latest renderings; bounded, and without a reference to any message or text."""

    def __init__(self) -> None:
        self._made: OrderedDict[int, tuple[weakref.ref[Any], Rendering]] = OrderedDict()
        self._passed_on: OrderedDict[int, tuple[weakref.ref[Any], Rendering]] = OrderedDict()
        self._texts: OrderedDict[int, Rendering] = OrderedDict()
        self._order = count()
        self._lock = threading.Lock()

    def remember(
        self, prompt: Prompt, produced: Any, given: Iterable[Any], variables: Mapping[str, Any]
    ) -> None:
        """Keep the identity of ``produced`` messages or text; ``given`` messages were only passed on."""
        if isinstance(produced, str):
            self.keep_text(prompt, produced)
            return
        order = next(self._order)
        had = {id(message) for message in given}
        made = [message for message in produced if id(message) not in had]
        needed = frozenset[int]() if made else frozenset(id(message) for message in produced)
        rendering = Rendering(prompt, order, needed, variables)
        memory = self._made if made else self._passed_on
        with self._lock:
            for message in made or produced:
                _put(memory, id(message), (_reference(memory, message), rendering))
                # An agent is given its instructions as a text.
                if prompt.provenance == "declared" and message.type == "system":
                    _put(self._texts, hash(text_of(message)), rendering)

    def keep_text(self, prompt: Prompt, text: str) -> None:
        """Keep the identity of a text."""
        with self._lock:
            _put(self._texts, hash(text), Rendering(prompt, next(self._order), frozenset()))

    def find(self, messages: Sequence[Any]) -> Rendering | None:
        """Return the latest rendering that any of these messages (or strings) came from."""
        latest: Rendering | None = None
        for message in messages:
            for rendering in self._of(message):
                newer = latest is None or rendering.order > latest.order
                if newer and (not rendering.needed or rendering.needed <= {id(one) for one in messages}):
                    latest = rendering
        return latest

    def of_text(self, text: str) -> Rendering | None:
        """Return the rendering that this text came from."""
        return self._texts.get(hash(text)) if self._texts else None

    def _of(self, message: Any) -> Iterable[Rendering]:
        key = id(message)
        for memory in (self._made, self._passed_on):
            reference, rendering = memory.get(key, _NEVER)
            if rendering is not None and reference is not None and reference() is message:
                yield rendering
        if self._texts:
            content = message if isinstance(message, str) else message.content
            if isinstance(content, str) and (rendering := self.of_text(content)) is not None:
                yield rendering


def _reference(memory: OrderedDict[int, Any], message: Any) -> weakref.ref[Any]:
    key = id(message)
    # No lock: it runs wherever the message dies, also while this thread holds it.
    return weakref.ref(message, lambda _: memory.pop(key, None))


def _put(memory: OrderedDict[int, Any], key: int, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MOST_REMEMBERED:
        memory.popitem(last=False)


def resolve(
    run: Run,
    messages: Sequence[Any],
    params: Mapping[str, Any],
    rendering: Rendering | None,
    context: Context,
) -> Prompt | None:
    """Return the prompt of a model run; the first source that names one wins."""
    return (
        _named_by_call(params)
        or declared_prompt()
        or (declared_prompt(context) if context is not current_context() else None)
        or (rendering.prompt if rendering is not None else None)
        or _of_sequence(run.parent)
        or prompt_in(context)
        or _static(run, messages, params)
    )


def _named_by_call(params: Mapping[str, Any]) -> Prompt | None:
    prompt = params.get("prompt")
    if not isinstance(prompt, Mapping) or not prompt.get("id") or not prompt.get("version"):
        return None
    return Prompt(str(prompt["id"]), str(prompt["version"]), "declared")


def _of_sequence(run: Run | None) -> Prompt | None:
    while run is not None:
        if run.prompt is not None or run.kind != "chain":
            return run.prompt
        run = run.parent
    return None


def _static(run: Run, messages: Sequence[Any], params: Mapping[str, Any]) -> Prompt | None:
    texts = instructions(message for message in messages if not isinstance(message, str))
    if not texts:
        return None
    schema = params.get("response_format")
    describe = getattr(schema, "model_json_schema", None)
    schema = describe() if describe is not None else schema
    # What a middleware of LangChain's asks for itself is no prompt of the agent's.
    name = run.metadata.get("lc_source") or run.agent or label_below(run.parent)
    return static_prompt(texts, str(name), schema)
