"""Prompts of Langfuse's and MLflow's registries: what they are rendered or turned into keeps their name."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from tupletrace.instrumentors.base import Patches
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import Prompt

_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "langfuse.model": tuple(
        f"{kind}PromptClient.{method}"
        for kind in ("Text", "Chat")
        for method in ("compile", "get_langchain_prompt")
    ),
    "mlflow.entities.model_registry.prompt_version": (
        "PromptVersion.format",
        "PromptVersion.to_single_brace_format",
    ),
}
"""Module -> the methods that return a prompt's text, rendered or as a framework's template."""


def wrap_registries(patches: Patches, keep: Callable[[Prompt, str], object]) -> None:
    """Have ``keep`` called with each text that a registry's prompt is made into, from its import on."""

    def made(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        produced = wrapped(*args, **kwargs)
        with guard("prompt registry"):
            name, version = getattr(instance, "name", None), getattr(instance, "version", None)
            if name and version is not None:
                prompt = Prompt(str(name), str(version), "declared")
                for text in _texts(produced):
                    keep(prompt, text)
        return produced

    def wrap(module: str, methods: tuple[str, ...]) -> None:
        for method in methods:
            patches.wrap(module, method, made)

    for module, methods in _METHODS.items():
        patches.when_imported(module, functools.partial(wrap, module, methods))


def _texts(produced: Any) -> Iterable[str]:
    if isinstance(produced, str):
        yield produced
    elif isinstance(produced, Sequence):
        for message in produced:
            text = message.get("content") if isinstance(message, Mapping) else message[-1]
            if isinstance(text, str):
                yield text
