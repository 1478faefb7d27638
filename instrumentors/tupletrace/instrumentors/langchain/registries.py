"""Prompts of Langfuse's and MLflow's registries: what they are rendered or turned into keeps their name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import Prompt
from tupletrace.instrumentors.langchain.recorder import Recorder

REGISTRIES: Final[Mapping[str, tuple[str, ...]]] = {
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
"""Module -> the methods that return a prompt's text, rendered or as a template of LangChain's."""


class Registries:
    """A wrapper in wrapt's form of those methods."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def made(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Remember the texts of what a registry's prompt was made into."""
        produced = wrapped(*args, **kwargs)
        with guard("langchain prompt registry"):
            name, version = getattr(instance, "name", None), getattr(instance, "version", None)
            if name and version is not None:
                prompt = Prompt(str(name), str(version), "declared")
                for text in _texts(produced):
                    self._recorder.renderings.remember(prompt, text, (), {})
        return produced


def _texts(produced: Any) -> Iterable[str]:
    if isinstance(produced, str):
        yield produced
    elif isinstance(produced, Sequence):
        for message in produced:
            text = message.get("content") if isinstance(message, Mapping) else message[-1]
            if isinstance(text, str):
                yield text
