"""Every method of the client whose answer tells tokens is traced, or left alone for a reason."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

import openai.resources
from openai import BaseModel
from openai._resource import SyncAPIResource

from tupletrace.instrumentors.openai import AGENTS, PATCHED

LEFT_ALONE = {
    "batches Batches.retrieve": "a sum; each result is told when its file is fetched",
    "batches Batches.cancel": "the same",
    "beta.threads.runs.runs Runs.update": "of its metadata",
    "beta.threads.runs.steps Steps.retrieve": "a part of a run",
    "chat.completions.completions Completions.retrieve": "stored; told by the call that made it",
    "chat.completions.completions Completions.update": "the same",
    "beta.agents.sessions.sessions Sessions.retrieve": "a sum; each turn is told by its events",
    "beta.agents.sessions.sessions Sessions.update": "the same",
    "beta.agents.sessions.turns.turns Turns.retrieve": "told by its events",
    "beta.agents.sessions.subagents.turns.turns Turns.retrieve": "the same",
}


def test_every_method_whose_answer_tells_tokens_is_traced_or_left_alone_for_a_reason() -> None:
    for module in pkgutil.walk_packages(openai.resources.__path__, "openai.resources."):
        importlib.import_module(module.name)
    telling = {
        named(resource, name)
        for resource in resources(SyncAPIResource)
        for name, method in vars(resource).items()
        if callable(method) and not name.startswith("_") and tells_tokens(inspect.unwrap(method))
    }

    assert named(openai.resources.chat.completions.Completions, "create") in telling
    assert telling - traced() - LEFT_ALONE.keys() == set()


def named(resource: type, method: str) -> str:
    return f"{resource.__module__.removeprefix('openai.resources.')} {resource.__name__}.{method}"


def resources(parent: type) -> Iterator[type]:
    for child in parent.__subclasses__():
        yield child
        yield from resources(child)


def tells_tokens(method: Any) -> bool:
    returned = get_type_hints(method).get("return")
    return any("usage" in model.model_fields for model in models(returned))


def models(said: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a type: those of a union, of a stream's events, of a page."""
    for kind in (said, get_origin(said)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind
    for argument in get_args(said):
        yield from models(argument)


def traced() -> set[str]:
    streams = ((module, resource, (method,)) for module, (resource, method) in AGENTS.items())
    return {
        named(found, method)
        for module, resource, methods in (*(one[:3] for one in PATCHED), *streams)
        for method in methods
        if (found := known(module, resource)) is not None
    }


def known(module: str, resource: str) -> Any:
    try:
        return getattr(importlib.import_module(module), resource, None)
    except ImportError:  # not in this version
        return None
