"""Prompts: which template, in which version, a model call was given, however the template was rendered."""

import asyncio
import gc
import json
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import (
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    FewShotPromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
)
from langchain_core.runnables import RunnableLambda, RunnableParallel

from tupletrace.instrumentors import using_prompt

Make = Callable[..., Any]
Identity = tuple[str, str, str]
MESSAGES = [("system", "You are {who}."), ("human", "{question}")]
ASKED = {"who": "kind", "question": "How are you?"}


def identity(trace: Any, index: int = -1) -> Identity | None:
    """Name, version and provenance of the prompt of one of the inferences."""
    facts = dict(trace.all("chat")[index].attributes)
    keys = ("gen_ai.prompt.name", "gen_ai.prompt.version", "tupletrace.prompt.provenance")
    found = [facts[key] for key in keys if key in facts]
    assert len(found) in (0, 3), "an identity is written whole or not at all"
    return tuple(found) if found else None


def version(trace: Any, model: Make, template: Any, asked: dict[str, Any] | None = None) -> str:
    """The version that a template has as a step before a model."""
    (template | model()).invoke(ASKED if asked is None else asked)
    found = identity(trace)
    assert found is not None
    return found[1]


def test_a_template_is_derived_from_its_text_and_not_from_its_variables(trace: Any, model: Make) -> None:
    template = ChatPromptTemplate.from_messages(MESSAGES)

    first = version(trace, model, template)
    assert first.startswith("template-")
    assert first == version(trace, model, template, {"who": "rude", "question": "What?"})
    assert first == version(trace, model, ChatPromptTemplate.from_messages(MESSAGES))


@pytest.mark.parametrize(
    "other",
    [
        [("system", "You are {who}!"), ("human", "{question}")],
        [("human", "You are {who}."), ("human", "{question}")],
        [("system", "You are {who}."), ("human", "{question}"), ("placeholder", "{history}")],
        [("human", "{question}"), ("system", "You are {who}.")],
    ],
    ids=["text", "role", "placeholder", "order"],
)
def test_another_text_role_placeholder_or_order_is_another_version(
    trace: Any, model: Make, other: list[tuple[str, str]]
) -> None:
    base = version(trace, model, ChatPromptTemplate.from_messages(MESSAGES))

    assert base != version(trace, model, ChatPromptTemplate.from_messages(other))


def test_another_template_format_is_another_version(trace: Any, model: Make) -> None:
    f_string = ChatPromptTemplate([("human", "Plain")], template_format="f-string")
    mustache = ChatPromptTemplate([("human", "Plain")], template_format="mustache")

    assert version(trace, model, f_string) != version(trace, model, mustache)


def test_partial_variables_count_by_name_and_not_by_value(trace: Any, model: Make) -> None:
    template = ChatPromptTemplate.from_messages(MESSAGES)

    plain = version(trace, model, template)
    kind = version(trace, model, template.partial(who="kind"))
    assert kind == version(trace, model, template.partial(who="rude"))
    assert kind != plain


def test_examples_are_part_of_a_prompt(trace: Any, model: Make) -> None:
    def chat(answer: str) -> ChatPromptTemplate:
        shown = FewShotChatMessagePromptTemplate(
            examples=[{"q": "2+2", "a": answer}],
            example_prompt=ChatPromptTemplate.from_messages([("human", "{q}"), ("ai", "{a}")]),
        )
        return ChatPromptTemplate.from_messages([("system", "Add."), shown, ("human", "{question}")])

    def text(answer: str) -> FewShotPromptTemplate:
        return FewShotPromptTemplate(
            examples=[{"q": "2+2", "a": answer}],
            example_prompt=PromptTemplate.from_template("{q} = {a}"),
            prefix="Add.",
            suffix="{question} =",
            input_variables=["question"],
        )

    for make in (chat, text):
        assert version(trace, model, make("4")) == version(trace, model, make("4"))
        assert version(trace, model, make("4")) != version(trace, model, make("5"))


def test_a_template_that_is_changed_has_another_version_from_then_on(trace: Any, model: Make) -> None:
    template = ChatPromptTemplate.from_messages(MESSAGES)
    before = version(trace, model, template)

    template.append(("human", "Be brief."))

    assert version(trace, model, template) != before


def test_a_template_is_called_as_the_user_named_it(trace: Any, model: Make) -> None:
    template = ChatPromptTemplate.from_messages(MESSAGES)

    (template.with_config(run_name="greeting") | model()).invoke(ASKED)
    assert identity(trace)[::2] == ("greeting", "derived")
    (ChatPromptTemplate(MESSAGES, name="hello") | model()).invoke(ASKED)
    assert identity(trace)[::2] == ("hello", "derived")


def formatted_by_hand(model: Any) -> None:
    model.invoke(ChatPromptTemplate.from_messages(MESSAGES).format_messages(**ASKED))


def rendered_by_hand(model: Any) -> None:
    model.invoke(ChatPromptTemplate.from_messages(MESSAGES).invoke(ASKED))


def with_history(model: Any) -> None:
    rendered = ChatPromptTemplate.from_messages(MESSAGES).format_prompt(**ASKED)
    model.invoke([HumanMessage("Earlier"), *rendered.to_messages(), HumanMessage("Later")])


async def awaited_by_hand(model: Any) -> None:
    await model.ainvoke(await ChatPromptTemplate.from_messages(MESSAGES).aformat_messages(**ASKED))


async def invoked_and_awaited(model: Any) -> None:
    await model.ainvoke(await ChatPromptTemplate.from_messages(MESSAGES).ainvoke(ASKED))


async def in_a_chain_awaited(model: Any) -> None:
    await (ChatPromptTemplate.from_messages(MESSAGES) | model).ainvoke(ASKED)


def in_a_chain(model: Any) -> None:
    (ChatPromptTemplate.from_messages(MESSAGES) | model).invoke(ASKED)


def through_copies(model: Any) -> None:
    copies = RunnableLambda(lambda value: [one.model_copy(deep=True) for one in value.to_messages()])
    (ChatPromptTemplate.from_messages(MESSAGES) | copies | model).invoke(ASKED)


def in_a_branch(model: Any) -> None:
    (ChatPromptTemplate.from_messages(MESSAGES) | RunnableParallel(a=model)).invoke(ASKED)


@pytest.mark.parametrize(
    "ask",
    [
        formatted_by_hand,
        rendered_by_hand,
        with_history,
        awaited_by_hand,
        invoked_and_awaited,
        in_a_chain,
        in_a_chain_awaited,
        through_copies,
        in_a_branch,
    ],
)
def test_however_it_was_rendered_the_call_has_its_prompt_named_after_the_function(
    trace: Any, model: Make, ask: Callable[[Any], Any]
) -> None:
    expected = version(trace, model, ChatPromptTemplate.from_messages(MESSAGES))
    trace.clear()

    asyncio.run(ask(model())) if asyncio.iscoroutinefunction(ask) else ask(model())

    assert identity(trace) == (ask.__name__, expected, "derived")


def test_a_text_template_formatted_by_hand_is_the_prompt_of_the_call(trace: Any, model: Make) -> None:
    template = PromptTemplate.from_template("Translate {text} into French.")
    expected = version(trace, model, template, {"text": "cat"})

    model().invoke(template.format(text="dog"))
    model().invoke([SystemMessage(template.format(text="bird")), HumanMessage("Now")])

    assert identity(trace, -2) == identity(trace, -1)
    assert identity(trace)[1] == expected


def test_history_given_to_a_template_does_not_carry_another_prompt_along(trace: Any, model: Make) -> None:
    first = ChatPromptTemplate.from_messages([("human", "{question}")])
    second = ChatPromptTemplate.from_messages([SystemMessage("Sum up."), MessagesPlaceholder("history")])
    expected = version(trace, model, second, {"history": [HumanMessage("x")]})

    asked = first.format_messages(question="Hm?")
    model().invoke(second.format_messages(history=asked))
    assert identity(trace)[1] == expected
    model().invoke(asked)
    assert identity(trace)[1] == version(trace, model, first)


def test_the_second_stage_of_a_chain_has_its_own_prompt(trace: Any, model: Make) -> None:
    first = ChatPromptTemplate.from_messages(MESSAGES)
    second = ChatPromptTemplate.from_messages([("human", "Shorter: {text}")])
    (first | model() | StrOutputParser() | {"text": lambda text: text} | second | model()).invoke(ASKED)

    versions = [identity(trace, 0)[1], identity(trace, 1)[1]]
    assert versions == [
        version(trace, model, first),
        version(trace, model, second, {"text": "x"}),
    ]


def test_a_model_asked_with_the_answer_of_another_is_not_said_to_have_its_prompt(
    trace: Any, model: Make
) -> None:
    (ChatPromptTemplate.from_messages(MESSAGES) | model() | StrOutputParser() | model()).invoke(ASKED)

    assert identity(trace, 0) is not None
    assert identity(trace, 1) is None


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (
            {"lc_hub_owner": "acme", "lc_hub_repo": "support", "lc_hub_commit_hash": "9f3c"},
            ("acme/support", "9f3c", "declared"),
        ),
        (
            {"lc_hub_owner": "-", "lc_hub_repo": "support", "lc_hub_commit_hash": "9f3c"},
            ("support", "9f3c", "declared"),
        ),
        (
            {"langfuse_prompt": SimpleNamespace(name="support", version=7, labels=["production"])},
            ("support", "7", "declared"),
        ),
        ({"prompt_name": "support", "prompt_version": "v3"}, ("support", "v3", "declared")),
        ({"name": "support", "version": 2}, ("support", "2", "declared")),
    ],
    ids=["hub", "own hub", "langfuse", "prompt name", "name"],
)
def test_metadata_of_a_template_declares_its_prompt(
    trace: Any, model: Make, metadata: dict[str, Any], expected: Identity
) -> None:
    template = ChatPromptTemplate(MESSAGES, metadata=metadata)

    (template | model()).invoke(ASKED)
    model().invoke(template.format_messages(**ASKED))

    assert [identity(trace, 0), identity(trace, 1)] == [expected, expected]


def test_the_version_of_the_program_is_not_the_version_of_a_prompt(trace: Any, model: Make) -> None:
    template = ChatPromptTemplate.from_messages(MESSAGES)
    (template | model()).invoke(ASKED, {"metadata": {"name": "my app", "version": "1.2"}})

    assert identity(trace)[2] == "derived"


def test_a_name_without_a_version_names_a_derived_version(trace: Any, model: Make) -> None:
    (ChatPromptTemplate(MESSAGES, metadata={"prompt_name": "support"}) | model()).invoke(ASKED)

    name, found, provenance = identity(trace)
    assert (name, found[:9], provenance) == ("support", "template-", "derived")


def test_a_declared_prompt_wins_over_the_template(trace: Any, model: Make) -> None:
    with using_prompt("support", "v3"):
        (ChatPromptTemplate.from_messages(MESSAGES) | model()).invoke(ASKED)

    assert identity(trace) == ("support", "v3", "declared")


def test_a_prompt_declared_within_a_chain_holds_for_the_calls_inside(trace: Any, model: Make) -> None:
    @using_prompt("inner", 2)
    def ask(asked: Any) -> Any:
        return model().invoke("Hi")

    (RunnableLambda(ask) | StrOutputParser() | model()).invoke(ASKED)

    assert [identity(trace, 0), identity(trace, 1)] == [("inner", "2", "declared"), None]


def test_the_prompt_that_the_call_itself_names_wins_over_all(trace: Any, model: Make) -> None:
    with using_prompt("support", "v3"):
        model().bind(prompt={"id": "pmpt_1", "version": "4"}).invoke("Hi")

    assert identity(trace) == ("pmpt_1", "4", "declared")


def test_without_a_template_the_text_of_the_system_message_is_the_prompt(trace: Any, model: Make) -> None:
    def ask(day: str, question: str) -> None:
        model().invoke([SystemMessage(f"Be kind. Today is {day}."), HumanMessage(question)])

    ask("2026-08-01", "Who?")
    ask("2026-08-02", "What?")

    first, second = identity(trace, 0), identity(trace, 1)
    assert first == second
    assert first[0].endswith("ask")
    assert first[1].startswith("text-")


def test_a_call_with_neither_template_nor_instructions_has_no_prompt(trace: Any, model: Make) -> None:
    model().invoke("Hi")

    assert identity(trace) is None


def test_a_template_and_its_variables_are_content(
    trace: Any,
    model: Make,
    instrumentor: Any,
    tracer_provider: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = ChatPromptTemplate.from_messages(MESSAGES)
    (template | model()).invoke(ASKED)
    assert not {"gen_ai.prompt.variable.who", "tupletrace.prompt.template"} & trace.facts("chat").keys()

    instrumentor.uninstrument()
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    instrumentor.instrument(tracer_provider=tracer_provider)
    (template | model()).invoke(ASKED)
    said = dict(trace.all("chat")[1].attributes)
    assert said["gen_ai.prompt.variable.who"] == "kind"
    written = [(one["role"], one["content"]) for one in json.loads(said["tupletrace.prompt.template"])]
    assert written == [({"human": "user"}.get(role, role), text) for role, text in MESSAGES]


def test_no_message_and_no_variable_is_kept_once_the_call_is_over(
    trace: Any, model: Make, instrumentor: Any, tracer_provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Payload(str):
        """A variable that can be watched."""

        __slots__ = ("__weakref__",)

    instrumentor.uninstrument()
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    instrumentor.instrument(tracer_provider=tracer_provider)
    asked = Payload("How are you?")
    watched = weakref.ref(asked)
    (ChatPromptTemplate.from_messages(MESSAGES) | model()).invoke({"who": "kind", "question": asked})
    model().invoke(PromptTemplate.from_template("{text}").format(text=asked))

    del asked
    trace.clear()
    gc.collect()
    assert watched() is None


def gathered(chain: Any) -> None:
    async def both() -> None:
        await asyncio.gather(*(chain.ainvoke({"question": text}) for text in ("Hm?", "And?")))

    asyncio.run(both())


def at_once(chain: Any) -> None:
    async def both() -> None:
        await chain.abatch([{"question": "Hm?"}, {"question": "And?"}])

    asyncio.run(both())


def as_completed(chain: Any) -> None:
    def both() -> None:
        list(chain.batch_as_completed([{"question": "Hm?"}, {"question": "And?"}]))

    both()


def in_a_task(chain: Any) -> None:
    async def both() -> None:
        await asyncio.create_task(chain.with_config(tags=["x"]).ainvoke({"question": "Hm?"}))

    asyncio.run(both())


@pytest.mark.parametrize("run", [gathered, at_once, as_completed, in_a_task])
def test_a_prompt_is_named_after_who_calls_though_it_runs_in_another_task_or_thread(
    trace: Any, model: Make, run: Callable[[Any], None]
) -> None:
    run(ChatPromptTemplate.from_template("Answer {question}") | model())

    names = {span.attributes["gen_ai.prompt.name"] for span in trace.all("chat")}
    assert names == {f"{run.__name__}.<locals>.both"}
