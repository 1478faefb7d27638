"""Which template a text was rendered from, so that the call made with the text can name it."""

import contextlib
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from tupletrace.instrumentors.base import Patches, Wrapper
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import Prompt
from tupletrace.instrumentors.registries import declared

SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_CONTENT: Final = "tupletrace.content"
_KEPT: Final = 1024
"""Renderings remembered, by hash: a call follows the rendering of its prompt closely."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template as it was written, without its variables' values."""

    messages: tuple[tuple[str, str], ...]
    format: str
    metadata: Mapping[str, Any]
    selected_for: Any = None

    @property
    def declared(self) -> Prompt | None:
        """Name and version that somebody gave it: a hub, a registry, or the user in its metadata."""
        return declared(self.metadata, own=True)

    @property
    def purpose(self) -> str | None:
        """LlamaIndex's prompt type, its own or that of the selector: ``text_qa``, ``refine`` ..."""
        for kind in (self.metadata.get("prompt_type"), self.selected_for):
            kind = getattr(kind, "value", kind)
            if kind and kind != "custom":
                return str(kind)
        return None


class _Memory:
    def __init__(self) -> None:
        self._templates: OrderedDict[tuple[int, int], Template] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, text: str, template: Template) -> None:
        key = (len(text), hash(text))
        with self._lock:
            self._templates[key] = template
            self._templates.move_to_end(key)
            if len(self._templates) > _KEPT:
                self._templates.popitem(last=False)

    def find(self, text: str) -> Template | None:
        return self._templates.get((len(text), hash(text)))


_memory: Final = _Memory()
_predicting: Final[ContextVar[list[Template] | None]] = ContextVar(
    "tupletrace.llama_index.predicting", default=None
)
_purpose: Final[ContextVar[Any]] = ContextVar("tupletrace.llama_index.purpose", default=None)


def keep_registered(prompt: Prompt, text: str) -> None:
    """Remember a text that a prompt of a registry was made into, rendered or to be made a template of."""
    _memory.keep(
        text, Template((("user", text),), "f-string", {"name": prompt.name, "version": prompt.version})
    )


def source_of(text: str) -> Template | None:
    """Return the template that exactly this text was rendered from, if one was lately."""
    return _memory.find(text)


def predicted() -> Template | None:
    """Return the template that the surrounding ``LLM.predict`` rendered."""
    rendered = _predicting.get()
    return rendered[0] if rendered else None


def wrap_rendering(patches: Patches, module: str) -> None:
    """Remember from here on what ``module``'s templates are rendered to."""
    for path, wrapper in RENDERING[module].items():
        patches.wrap(module, path, wrapper)


def _mark(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Mark a template that a structured LLM makes of the messages it was given: content, not a template."""
    made = wrapped(*args, **kwargs)
    with guard("llama_index structured llm"):
        made.metadata[_CONTENT] = True
    return made


def _select(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Let the template that is selected be known for what the selector is for."""
    token = _purpose.set((instance.metadata or {}).get("prompt_type"))
    try:
        return wrapped(*args, **kwargs)
    finally:
        _purpose.reset(token)


def _render(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    rendered = wrapped(*args, **kwargs)
    with guard("llama_index prompt template"):
        _remember(instance, rendered, kwargs)
    return rendered


def _remember(prompt: Any, rendered: Any, variables: Mapping[str, Any]) -> None:
    template = _template(prompt)
    if template is None:
        return
    if (predicting := _predicting.get()) is not None:
        predicting.append(template)
    if isinstance(rendered, str):
        texts = [rendered]
    else:
        constant = {text for role, text in template.messages if role not in SYSTEM_ROLES}
        texts = [text for text in map(message_text, rendered) if text not in constant]
    # A text that is one variable's value and nothing else says nothing about the template.
    values = {v.strip() for v in (*variables.values(), *prompt.kwargs.values()) if isinstance(v, str)}
    for text in texts:
        if text.strip() not in values:
            _memory.keep(text, template)


def _template(prompt: Any) -> Template | None:
    metadata = prompt.metadata or {}
    if _CONTENT in metadata:
        return None
    template_format = "f-string"
    if (messages := getattr(prompt, "message_templates", None)) is not None:
        written = tuple((message_role(message), message_text(message)) for message in messages)
    elif (text := getattr(prompt, "template_str", None)) is not None:
        written, template_format = (("template", text),), "jinja2"
    else:
        written = (("user", prompt.get_template()),)
    for _, text in written:
        # A template that is made of a registry's text is that registry's prompt.
        if (source := source_of(text)) is not None and source.declared is not None:
            metadata = source.metadata
    return Template(written, template_format, metadata, _purpose.get())


RENDERING: Final[Mapping[str, Mapping[str, Wrapper]]] = {
    "llama_index.core.prompts.base": {
        "PromptTemplate.format": _render,
        "ChatPromptTemplate.format": _render,
        "ChatPromptTemplate.format_messages": _render,
        "LangchainPromptTemplate.format": _render,
        "LangchainPromptTemplate.format_messages": _render,
        "SelectorPromptTemplate.format": _select,
        "SelectorPromptTemplate.format_messages": _select,
    },
    "llama_index.core.prompts.rich": {
        "RichPromptTemplate.format": _render,
        "RichPromptTemplate.format_messages": _render,
    },
    "llama_index.core.llms.structured_llm": {"ChatPromptTemplate": _mark},
}
"""Where a template becomes text, by module; last, where LlamaIndex makes a template of mere messages."""


def message_text(message: Any) -> str:
    """Return a chat message's text, without images and tool calls."""
    texts = (getattr(block, "text", None) for block in message.blocks)
    return "\n".join(text for text in texts if isinstance(text, str))


def message_role(message: Any) -> str:
    """Return ``system``, ``user``, ``assistant``, ``tool`` ..."""
    return str(getattr(message.role, "value", message.role))


def predicting(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Wrap ``LLM.predict`` and its kind: what is rendered inside is the prompt of the call inside."""
    if inspect.iscoroutinefunction(wrapped):
        return _apredicting(wrapped, args, kwargs)
    token = _predicting.set([])
    try:
        return wrapped(*args, **kwargs)
    finally:
        _predicting.reset(token)


async def _apredicting(wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    token = _predicting.set([])
    try:
        return await wrapped(*args, **kwargs)
    finally:
        # A coroutine that is closed by another task ends in that task's context.
        with contextlib.suppress(ValueError):
            _predicting.reset(token)
