"""Prompts that somebody keeps outside the program: what is made of them keeps their name and version."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from tupletrace.instrumentors.base import Patches
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import Prompt

_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "langfuse.model": tuple(
        f"{kind}PromptClient.{method}"
        for kind in ("Text", "Chat")
        for method in ("__init__", "compile", "get_langchain_prompt")
    ),
    "mlflow.entities.model_registry.prompt_version": (
        "PromptVersion.__init__",
        "PromptVersion.format",
        "PromptVersion.to_single_brace_format",
    ),
}
"""Module -> the methods that make a prompt, or return its text, rendered or as a framework's template."""
_VARIABLE: Final = re.compile(r"\{+[^{}]*\}+")
_INSTRUCTING: Final = ("system", "developer")


def declared(metadata: Mapping[str, Any], *, own: bool = False) -> Prompt | None:
    """Return the prompt that metadata names and versions: LangSmith's hub, Langfuse, or the user.

    Plain ``name`` and ``version`` count in a template's ``own`` metadata alone: a run's are the program's.
    """
    if not metadata:
        return None
    repo, commit = metadata.get("lc_hub_repo"), metadata.get("lc_hub_commit_hash")
    if repo and commit:
        owner = metadata.get("lc_hub_owner")
        return Prompt(f"{owner}/{repo}" if owner and owner != "-" else str(repo), str(commit), "declared")
    langfuse = metadata.get("langfuse_prompt")
    name, version = getattr(langfuse, "name", None), getattr(langfuse, "version", None)
    if name is None or version is None:
        name, version = metadata.get("prompt_name"), metadata.get("prompt_version")
    if own and (name is None or version is None):
        name, version = metadata.get("name"), metadata.get("version")
    return None if not name or version is None else Prompt(str(name), str(version), "declared")


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
                for text in _telling(instance, produced):
                    keep(prompt, text)
        return produced

    def wrap(module: str, methods: tuple[str, ...]) -> None:
        for method in methods:
            patches.wrap(module, method, made)

    for module, methods in _METHODS.items():
        patches.when_imported(module, functools.partial(wrap, module, methods))


def says_something(template: str) -> bool:
    """Say whether a template's text is more than variables: ``{question}`` alone is everybody's."""
    return bool(_VARIABLE.sub("", template).strip())


def _telling(registered: Any, produced: Any) -> Iterable[str]:
    """Yield the texts of what a prompt was made into by which it can be told from any other."""
    written = _texts(getattr(registered, "prompt", None) or getattr(registered, "template", None))
    made = written if produced is None else _texts(produced)
    for place, (role, text) in enumerate(made):
        # With the messages of a conversation in it, what comes from where is not to be seen.
        telling = says_something(written[place][1]) if len(made) == len(written) else role in _INSTRUCTING
        if telling:
            yield text


def _texts(content: Any) -> list[tuple[str, str]]:
    if isinstance(content, str):
        return [("", content)]
    if not isinstance(content, Sequence):
        return []
    pairs = [
        (message.get("role"), message.get("content")) if isinstance(message, Mapping) else message
        for message in content
    ]
    return [(str(role), text) for role, text in pairs if isinstance(text, str)]
