"""Prompts that come from a registry keep its name and version, whatever LangChain makes of them."""

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.load import dumpd
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langsmith import AsyncClient, Client
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
    prompt = (("system", "Be brief."), ("user", "Greet {who}."), ("user", "{question}"))

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
    "langfuse chat": (
        lambda model: model.invoke(ChatPromptClient().compile(who="Ann", question="How?")),
        ("chat", "8"),
    ),
    "langfuse as it is written": (lambda model: model.invoke(ChatPromptClient().prompt[0][1]), ("chat", "8")),
    "langfuse template": (
        lambda model: (
            PromptTemplate.from_template(TextPromptClient().get_langchain_prompt()) | model
        ).invoke({"who": "Ann"}),
        ("greet", "7"),
    ),
    "langfuse chat template": (
        lambda model: (chat(ChatPromptClient().get_langchain_prompt()) | model).invoke(
            {"who": "Ann", "question": "How?"}
        ),
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


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """Address of an endpoint with one prompt, as LangSmith's has many."""

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            manifest = dumpd(chat([("system", "You know the harbour."), ("user", "{question}")]))
            body = json.dumps({"commit_hash": "c0ffee", "manifest": manifest, "examples": []}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def from_hub(address: str, how: str) -> Any:
    """The prompt of that endpoint."""
    if how == "sync":
        client = Client(api_url=address, api_key="none", auto_batch_tracing=False)
        return client.pull_prompt("harbour", skip_cache=True)

    async def pull() -> Any:
        async with AsyncClient(api_url=address, api_key="none") as client:
            return await client.pull_prompt("harbour", skip_cache=True)

    return asyncio.run(pull())


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_prompt_of_the_hub_is_known_where_an_agent_is_given_its_text(
    trace: Any, model: Any, hub: str, how: str
) -> None:
    pulled = from_hub(hub, how)
    for text in (pulled.messages[0].prompt.template, pulled.format_messages(question="Hm?")[0].content):
        create_agent(model(), system_prompt=text).invoke({"messages": [("user", "Hm?")]})
    (chat([("user", "{question}")]) | model()).invoke({"question": "Hm?"})

    *known, other = [dict(span.attributes) for span in trace.all("chat")]
    assert [(one["gen_ai.prompt.name"], one["gen_ai.prompt.version"]) for one in known] == [
        ("harbour", "c0ffee")
    ] * 2
    assert other["tupletrace.prompt.provenance"] == "derived"


@pytest.mark.parametrize("made", ["template", "text"])
def test_a_message_that_is_one_variable_is_not_the_registrys(trace: Any, model: Any, made: str) -> None:
    registered = ChatPromptClient()
    registered.get_langchain_prompt()
    registered.compile(who="Ann", question="How are you?")

    if made == "template":
        (chat([("system", "Judge."), ("user", "{question}")]) | model()).invoke({"question": "Well?"})
    else:
        model().invoke([("system", "Judge."), ("user", "How are you?")])

    assert trace.facts("chat")["tupletrace.prompt.provenance"] == "derived"
