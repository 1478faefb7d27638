"""The prompt's identity: it changes when the prompt changes, and only then."""

import asyncio
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from llama_index.core import Document, PromptTemplate, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, CompletionResponse, LLMMetadata
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import CustomLLM
from llama_index.core.memory import ChatSummaryMemoryBuffer
from llama_index.core.prompts import ChatPromptTemplate, RichPromptTemplate, SelectorPromptTemplate
from llama_index.core.retrievers import QueryFusionRetriever
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

from tupletrace.instrumentors import using_prompt
from tupletrace.instrumentors.llama_index import LlamaIndexInstrumentor
from tupletrace.semconv.fingerprint import mask_volatile, static_text_version, template_version

pytestmark = pytest.mark.usefixtures("instrumented")

TEXT = "Tell me about {topic} in {style} words."
ASK = ChatMessage(role="user", content="Hello")
Identity = tuple[Any, Any, Any]


@pytest.fixture
def identities(spans: InMemorySpanExporter) -> Callable[[], list[Identity]]:
    """Return name, version and provenance of the prompt of each inference since the last question."""

    def collect() -> list[Identity]:
        keys = ("gen_ai.prompt.name", "gen_ai.prompt.version", "tupletrace.prompt.provenance")
        found = [
            tuple((span.attributes or {}).get(key) for key in keys)
            for span in spans.get_finished_spans()
            if span.name.startswith(("chat ", "text_completion "))
        ]
        spans.clear()
        return found  # pyright: ignore[reportReturnType]

    return collect


class Local(CustomLLM):
    """A completion model of the user's own."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="local-1")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="Hello")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        yield CompletionResponse(text="Hello", delta="Hello")


USER = template_version([("user", TEXT)], "f-string")


@pytest.mark.parametrize("content", ["NO_CONTENT", "EVENT_ONLY", "SPAN_ONLY"], indirect=True)
def test_a_templates_text_is_content(
    llm: Any, spans: InMemorySpanExporter, request: pytest.FixtureRequest
) -> None:
    llm().predict(PromptTemplate(TEXT), topic="Paris", style="few")
    (said,) = (span.attributes for span in spans.get_finished_spans() if span.name.startswith("chat "))
    written = '[{"role": "user", "content": "Tell me about {topic} in {style} words."}]'
    on_span = "SPAN_ONLY" in request.node.name
    assert (said or {}).get("tupletrace.prompt.template") == (written if on_span else None)


def test_a_templates_version_is_its_text_whatever_the_variables(llm: Any, identities: Any) -> None:
    model, template = llm(), PromptTemplate(TEXT)
    model.predict(template, topic="Paris", style="few")
    "".join(model.stream(template, topic="Rome", style="many"))
    asyncio.run(model.apredict(template, topic="Oslo", style="nice"))
    name = "test_a_templates_version_is_its_text_whatever_the_variables"
    assert identities() == [(name, USER, "derived")] * 3

    model.predict(PromptTemplate(TEXT + " Please."), topic="Paris", style="few")
    ((_, version, _),) = identities()
    assert version != USER


def test_name_and_version_in_a_templates_metadata_are_a_declaration(llm: Any, identities: Any) -> None:
    llm().predict(PromptTemplate(TEXT, metadata={"name": "about", "version": 3}), topic="Paris", style="few")
    llm().predict(PromptTemplate(TEXT, metadata={"name": "about"}), topic="Paris", style="few")
    assert identities() == [("about", "3", "declared"), ("about", USER, "derived")]


def test_a_hub_or_registry_in_a_templates_metadata_is_a_declaration(llm: Any, identities: Any) -> None:
    hub = {"lc_hub_owner": "acme", "lc_hub_repo": "about", "lc_hub_commit_hash": "4b1f"}
    langfuse = {"langfuse_prompt": SimpleNamespace(name="about", version=12)}
    for metadata in (hub, langfuse, {"prompt_name": "about", "prompt_version": "v2"}):
        llm().predict(PromptTemplate(TEXT, metadata=metadata), topic="Paris", style="few")
    assert identities() == [
        ("acme/about", "4b1f", "declared"),
        ("about", "12", "declared"),
        ("about", "v2", "declared"),
    ]


class TextPromptClient:
    """The shape of Langfuse's text prompt."""

    name, version, prompt = "greet", 7, "Greet {{who}} kindly."

    def compile(self, **variables: Any) -> str:
        return self.prompt.replace("{{who}}", variables["who"])

    def get_langchain_prompt(self) -> str:
        return self.prompt.replace("{{", "{").replace("}}", "}")


@pytest.mark.parametrize("how", ["compiled", "message", "template", "chat template", "agent"])
def test_a_registrys_prompt_keeps_its_name_whatever_is_made_of_it(
    llm: Any, identities: Any, tracer_provider: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    module: Any = ModuleType("langfuse.model")
    module.TextPromptClient = type("TextPromptClient", (TextPromptClient,), dict(vars(TextPromptClient)))
    monkeypatch.setitem(sys.modules, "langfuse", ModuleType("langfuse"))
    monkeypatch.setitem(sys.modules, "langfuse.model", module)
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.uninstrument()
    instrumentor.instrument(tracer_provider=tracer_provider)
    prompt = module.TextPromptClient()

    if how == "compiled":
        llm().complete(prompt.compile(who="Ann"))
    elif how == "message":
        messages = [ChatMessage(role="system", content=prompt.compile(who="Ann")), ASK]
        llm().chat(messages)
    elif how == "template":
        llm().predict(PromptTemplate(prompt.get_langchain_prompt()), who="Ann")
    elif how == "chat template":
        written = [("system", prompt.get_langchain_prompt()), ("user", "{question}")]
        llm().predict(ChatPromptTemplate.from_messages(written), who="Ann", question="Hi")
    else:
        helper = FunctionAgent(name="helper", llm=llm(), system_prompt=prompt.compile(who="Ann"))

        async def run() -> None:
            await helper.run(user_msg="Hi")

        asyncio.run(run())
    assert identities() == [("greet", "7", "declared")]


def test_what_condenses_a_chat_engines_question_has_a_name_of_its_own(
    index: VectorStoreIndex, llm: Any, identities: Any
) -> None:
    mode: Any = "condense_plus_context"
    engine = index.as_chat_engine(chat_mode=mode, llm=llm())
    engine.chat("One?")
    engine.chat("Two?")
    answer, condense, again = identities()
    assert answer == again
    assert condense[0] == "condense_prompt_template"
    assert answer[0] == "test_what_condenses_a_chat_engines_question_has_a_name_of_its_own"


def test_a_summary_of_the_talk_is_no_prompt(llm: Any, endpoint: Any, identities: Any) -> None:
    """It is another one in every turn, and stands where instructions do."""
    turns = iter(range(100))
    endpoint.reply = lambda _: endpoint.says(f"Answer {next(turns)} to a long question")
    memory = ChatSummaryMemoryBuffer.from_defaults(llm=llm(), token_limit=10, tokenizer_fn=str.split)
    engine = SimpleChatEngine.from_defaults(llm=llm(), memory=memory, system_prompt="Be brief.")
    for _ in range(3):
        engine.chat("Tell me something of some length, please")
    found = identities()
    assert {name for name, *_ in found} > {"summarize_prompt"}
    assert len(set(found)) == 2
    plain = SimpleChatEngine.from_defaults(llm=llm(), memory=memory)
    plain.chat("Tell me something of some length, please")
    assert [name for name, *_ in identities()] == ["summarize_prompt", None]


def test_using_prompt_beats_the_template(llm: Any, identities: Any) -> None:
    with using_prompt("mine", "v2"):
        llm().predict(PromptTemplate(TEXT), topic="Paris", style="few")
    assert identities() == [("mine", "v2", "declared")]


def test_a_selector_is_identified_by_the_template_that_it_selects(llm: Any, identities: Any) -> None:
    default = PromptTemplate("Complete: {topic}", prompt_type="summary")
    chat = ChatPromptTemplate.from_messages([("system", "You sum up."), ("user", "{topic}")])
    selector = SelectorPromptTemplate(default, [(lambda model: model.metadata.is_chat_model, chat)])

    llm().predict(selector, topic="Paris")
    Local().predict(selector, topic="Paris")
    assert identities() == [
        (
            "summary",
            template_version([("system", "You sum up."), ("user", "{topic}")], "f-string"),
            "derived",
        ),
        ("summary", template_version([("user", "Complete: {topic}")], "f-string"), "derived"),
    ]


def test_a_rich_template_is_identified_by_its_source(llm: Any, identities: Any) -> None:
    source = "{% chat role='system' %}Be brief.{% endchat %}{% chat role='user' %}{{ topic }}{% endchat %}"
    llm().predict(RichPromptTemplate(source), topic="Paris")
    llm().chat(RichPromptTemplate(source).format_messages(topic="Rome"))
    versions = {version for _, version, _ in identities()}
    assert versions == {template_version([("template", source)], "jinja2")}


@pytest.mark.parametrize("how", ["complete", "chat", "stream_complete", "achat", "messages"])
def test_a_template_that_the_user_renders_is_found_again_in_the_call(
    llm: Any, identities: Any, how: str
) -> None:
    template, model = PromptTemplate(TEXT), llm()
    text = template.format(topic="Paris", style="few")
    message = ChatMessage(role="user", content=text)
    if how == "complete":
        model.complete(text)
    elif how == "stream_complete":
        list(model.stream_complete(text))
    elif how == "chat":
        model.chat([message])
    elif how == "achat":
        asyncio.run(model.achat([message]))
    else:
        model.chat(template.format_messages(topic="Paris", style="few"))
    assert [version for _, version, _ in identities()] == [USER]


def test_a_template_that_is_one_bare_variable_does_not_claim_the_variables_value(
    llm: Any, identities: Any
) -> None:
    PromptTemplate("{question}").format(question="What is Paris?")
    llm().chat([ChatMessage(role="user", content="What is Paris?")])
    assert identities() == [(None, None, None)]


def test_a_system_message_beside_a_template_is_part_of_the_prompt(llm: Any, identities: Any) -> None:
    def ask(system: str) -> None:
        text = PromptTemplate(TEXT).format(topic="Paris", style="few")
        llm().chat([ChatMessage(role="system", content=system), ChatMessage(role="user", content=text)])

    ask("Today is 2024-01-01.")
    ask("Today is 2025-12-31.")
    ask("Be rude.")
    first, second, third = (version for _, version, _ in identities())
    assert (
        first
        == second
        == template_version([("system", mask_volatile("Today is 2024-01-01.")), ("user", TEXT)], "f-string")
    )
    assert third != first


def test_the_llms_own_system_prompt_is_part_of_every_templates_prompt(llm: Any, identities: Any) -> None:
    llm(system_prompt="Be kind.").predict(PromptTemplate(TEXT), topic="Paris", style="few")
    ((_, version, _),) = identities()
    assert version == template_version([("system", "Be kind."), ("user", TEXT)], "f-string")


def test_without_a_template_the_system_message_is_the_prompt(llm: Any, identities: Any) -> None:
    def ask(system: str) -> None:
        messages = [ChatMessage(role="system", content=system), ChatMessage(role="user", content="Hello")]
        llm().chat(messages)

    ask("You are helpful. It is 10:30.")
    ask("You are helpful. It is 11:45.")
    version = static_text_version([("system", "You are helpful. It is 10:30.")])
    name = "test_without_a_template_the_system_message_is_the_prompt.<locals>.ask"
    assert identities() == [(name, version, "derived")] * 2


def test_user_messages_alone_are_no_prompt(llm: Any, identities: Any) -> None:
    llm().chat([ChatMessage(role="user", content="Hello")])
    llm().complete("Hello")
    assert identities() == [(None, None, None)] * 2


def test_a_wrapper_around_every_prompt_of_a_completion_model_does_not_hide_the_prompt(
    identities: Any,
) -> None:
    wrapped = Local(system_prompt="Be kind.", query_wrapper_prompt=PromptTemplate("<s>{query_str}</s>"))
    wrapped.predict(PromptTemplate(TEXT), topic="Paris", style="few")
    assert [version for _, version, _ in identities()] == [USER]


def test_structured_predictions_are_identified_by_their_template(
    llm: Any, endpoint: Any, identities: Any
) -> None:
    class City(BaseModel):
        name: str

    def reply(body: dict[str, Any]) -> Any:
        if body.get("tools"):
            return endpoint.calls(("City", {"name": "Paris"}))
        return endpoint.says('{"name": "Paris"}')

    endpoint.reply = reply
    for model in (llm(), llm(model="gpt-4o")):
        assert model.structured_predict(City, PromptTemplate(TEXT), topic="a", style="b").name == "Paris"
        list(model.stream_structured_predict(City, PromptTemplate(TEXT), topic="a", style="b"))
        structured = model.as_structured_llm(City)
        structured.chat([ChatMessage(role="system", content="Find."), ChatMessage(role="user", content="Hi")])

    versions = [version for _, version, _ in identities()]
    assert [version for version in versions if version == USER] == [USER] * 4
    assert len([version for version in versions if version.startswith("text-")]) == 2


def test_synthesizers_say_which_of_their_prompts_they_used(llm: Any, identities: Any) -> None:
    index = SummaryIndex.from_documents([Document(text="Paris."), Document(text="Rome.")])
    index.as_query_engine(llm=llm(), response_mode="refine").query("What?")
    assert [name for name, _, _ in identities()] == ["text_qa", "refine"]

    index.as_query_engine(llm=llm(), response_mode="tree_summarize").query("What?")
    assert {name for name, _, _ in identities()} == {"summary"}


def test_a_query_engines_prompt_changes_with_its_template_and_not_with_the_question(
    index: VectorStoreIndex, llm: Any, identities: Any
) -> None:
    def ask(text: str, question: str) -> None:
        index.as_query_engine(llm=llm(), text_qa_template=PromptTemplate(text)).query(question)

    ask("{context_str}\nQ: {query_str}", "What is Paris?")
    ask("{context_str}\nQ: {query_str}", "What is Lyon?")
    ask("{context_str}\nQuestion: {query_str}", "What is Paris?")
    first, second, third = identities()
    assert first == second
    assert first[1] != third[1]


def test_a_prompt_that_a_retriever_keeps_as_a_mere_text_is_known_by_it(
    index: VectorStoreIndex, llm: Any, identities: Any
) -> None:
    def ask(question: str, prompt: str | None = None) -> Identity:
        QueryFusionRetriever(
            [index.as_retriever()], llm=llm(), num_queries=2, use_async=False, query_gen_prompt=prompt
        ).retrieve(question)
        (identity,) = identities()
        return identity

    its_own, other = (
        ask("Where?"),
        ask("Where?", "Think of other ways to ask this, {num_queries}: {query}"),
    )
    assert its_own[0] == other[0] == "query_gen_prompt"
    assert its_own == ask("When?") != other
