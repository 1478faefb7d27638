"""Prompts that come from a registry keep its name and version, whatever LangChain makes of them."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from opentelemetry.sdk.trace import TracerProvider


class TextPromptClient:
    """The shape of Langfuse's text prompt."""

    name, version, prompt = "greet", 7, "Greet {{who}}."

    def compile(self, **variables: Any) -> str:
        return self.prompt.replace("{{who}}", variables["who"])

    def get_langchain_prompt(self) -> str:
        return self.prompt.replace("{{", "{").replace("}}", "}")


class ChatPromptClient:
    """The shape of Langfuse's chat prompt."""

    name, version = "chat", 8
    prompt = (("system", "Be brief."), ("user", "Greet {who}."))

    def compile(self, **variables: Any) -> list[dict[str, str]]:
        return [{"role": role, "content": text.format(**variables)} for role, text in self.prompt]

    def get_langchain_prompt(self) -> list[tuple[str, str]]:
        return list(self.prompt)


class PromptVersion:
    """The shape of MLflow's prompt."""

    name, version, template = "welcome", 3, "Welcome {{who}}."

    def format(self, **variables: Any) -> str:
        return self.template.replace("{{who}}", variables["who"])

    def to_single_brace_format(self) -> str:
        return self.template.replace("{{", "{").replace("}}", "}")


MODULES: dict[str, tuple[type, ...]] = {
    "langfuse.model": (TextPromptClient, ChatPromptClient),
    "mlflow.entities.model_registry.prompt_version": (PromptVersion,),
}


@pytest.fixture(autouse=True)
def registries(
    instrumentor: Any, tracer_provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Langfuse and MLflow, of which only the prompts are there."""
    for name, classes in MODULES.items():
        module = ModuleType(name)
        for kind in classes:
            setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, name, module)
    instrumentor.uninstrument()
    instrumentor.instrument(tracer_provider=tracer_provider)
    yield
    instrumentor.uninstrument()


def chat(messages: Any) -> Any:
    """A template of these messages."""
    return ChatPromptTemplate.from_messages(messages)


WAYS: dict[str, tuple[Callable[[Any], Any], tuple[str, str]]] = {
    "langfuse text": (lambda model: model.invoke(TextPromptClient().compile(who="Ann")), ("greet", "7")),
    "langfuse chat": (lambda model: model.invoke(ChatPromptClient().compile(who="Ann")), ("chat", "8")),
    "langfuse template": (
        lambda model: (
            PromptTemplate.from_template(TextPromptClient().get_langchain_prompt()) | model
        ).invoke({"who": "Ann"}),
        ("greet", "7"),
    ),
    "langfuse chat template": (
        lambda model: (chat(ChatPromptClient().get_langchain_prompt()) | model).invoke({"who": "Ann"}),
        ("chat", "8"),
    ),
    "mlflow": (lambda model: model.invoke(PromptVersion().format(who="Ann")), ("welcome", "3")),
    "mlflow template": (
        lambda model: (chat([("user", PromptVersion().to_single_brace_format())]) | model).invoke(
            {"who": "Ann"}
        ),
        ("welcome", "3"),
    ),
}


@pytest.mark.parametrize(("ask", "expected"), WAYS.values(), ids=WAYS)
def test_a_prompt_of_a_registry_is_known_by_its_name_and_version(
    trace: Any, model: Any, ask: Callable[[Any], Any], expected: tuple[str, str]
) -> None:
    ask(model())

    facts = trace.facts("chat")
    assert (facts["gen_ai.prompt.name"], facts["gen_ai.prompt.version"]) == expected
    assert facts["tupletrace.prompt.provenance"] == "declared"
