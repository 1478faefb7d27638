"""The wrapped prompt templates: whatever one renders is remembered as coming from it."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import replace
from typing import Any, Final

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import Prompt, caller_name
from tupletrace.instrumentors.langchain import templates
from tupletrace.instrumentors.langchain.calls import ambient_parent_id
from tupletrace.instrumentors.langchain.recorder import Recorder
from tupletrace.instrumentors.langchain.runs import Run
from tupletrace.instrumentors.registries import declared

Call = Callable[..., Any]
_inside: Final[ContextVar[bool]] = ContextVar("tupletrace.langchain.rendering", default=False)
"""Set while a template renders, so that the templates it consists of do not count."""


class Renders:
    """Wrappers of the methods by which templates render."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def render(self, wrapped: Call, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Remember what a template's method returned."""
        if _inside.get():
            return wrapped(*args, **kwargs)
        token = _inside.set(True)
        try:
            produced = wrapped(*args, **kwargs)
        finally:
            _leave(token)
        self._remember(instance, kwargs, produced)
        return produced

    def arender(self, wrapped: Call, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Remember what a template's asynchronous method returned."""

        async def rendering() -> Any:
            if _inside.get():
                return await wrapped(*args, **kwargs)
            token = _inside.set(True)
            try:
                produced = await wrapped(*args, **kwargs)
            finally:
                _leave(token)
            self._remember(instance, kwargs, produced)
            return produced

        return rendering()

    @guard("langchain prompt")
    def _remember(self, template: Any, variables: Mapping[str, Any], produced: Any) -> None:
        run = self._recorder.runs.get(ambient_parent_id())
        step = run if run is not None and run.kind == "prompt" else None
        prompt = _identify(template, step)
        if prompt is None:
            texts = templates.texts_of(template)
            prompt = self._registered(texts) or _derive(template, texts, step, run)
        captured = self._recorder.telemetry.should_capture_content()
        if captured:
            prompt = replace(prompt, template=templates.texts_of(template))
        if step is not None and step.parent is not None:
            step.parent.prompt = prompt
        self._recorder.renderings.remember(
            prompt, _content(produced), _given(template, variables), dict(variables) if captured else {}
        )

    def _registered(self, texts: Sequence[templates.Text]) -> Prompt | None:
        """Return the prompt of a registry whose text a template was made of."""
        for _, text in texts:
            rendering = self._recorder.renderings.of_text(text)
            if rendering is not None and rendering.prompt.provenance == "declared":
                return rendering.prompt
        return None


def _identify(template: Any, step: Run | None) -> Prompt | None:
    own = declared(template.metadata or {}, own=True)
    return own or (declared(step.metadata) if step is not None else None)


def _derive(template: Any, texts: Sequence[templates.Text], step: Run | None, run: Run | None) -> Prompt:
    name = templates.given_name(template, step.name if step is not None else None)
    if name is None:
        name = step.label if step is not None else caller_name(run.label if run is not None else None)
    return Prompt(name, templates.version_of(template, texts), "derived")


def _content(produced: Any) -> Any:
    if isinstance(produced, (str, list)):
        return produced
    messages = getattr(produced, "messages", None)
    return produced.text if messages is None else messages


def _given(template: Any, variables: Mapping[str, Any]) -> Sequence[Any]:
    """Return what may be messages that a template does not make but passes on."""
    given = [*templates.messages_of(template)]
    for value in variables.values():
        if isinstance(value, (list, tuple)):
            given += value
    return given


def _leave(token: Token[bool]) -> None:
    # An abandoned coroutine is closed in another context, which the token is not of.
    # Not `suppress`, which takes longer than all the rest here.
    try:  # noqa: SIM105
        _inside.reset(token)
    except ValueError:
        pass
