"""Chains: which runs have spans, what they are called, and what is whose child."""

import asyncio
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import TracerProvider

Make = Callable[..., Any]
PROMPT = ChatPromptTemplate.from_messages([("system", "You are {who}."), ("human", "{question}")])
ASKED = {"who": "kind", "question": "How are you?"}


def chain_of(model: Make) -> Runnable[Any, str]:
    return PROMPT | model() | StrOutputParser()


def answer(chain: Runnable[Any, str]) -> str:
    return chain.invoke(ASKED)


async def answer_later(chain: Runnable[Any, str]) -> str:
    return await chain.ainvoke(ASKED)


def test_a_chain_is_a_workflow_named_after_the_function_that_ran_it(trace: Any, model: Make) -> None:
    assert answer(chain_of(model)) == "Fine, thanks"

    assert trace.tree() == ["invoke_workflow answer", ["chat"]]


def test_an_asynchronous_chain_has_the_same_spans_and_prompt_name(trace: Any, model: Make) -> None:
    asyncio.run(answer_later(chain_of(model)))

    assert trace.tree() == ["invoke_workflow answer_later", ["chat"]]
    assert trace.facts("chat")["gen_ai.prompt.name"] == "answer_later"


def test_a_run_name_names_the_workflow(trace: Any, model: Make) -> None:
    answer(chain_of(model).with_config(run_name="support"))

    assert trace.tree() == ["invoke_workflow support", ["chat"]]


def test_a_named_chain_inside_another_is_a_workflow_and_a_function_is_not(trace: Any, model: Make) -> None:
    def ask_back(text: str) -> str:
        return text + "?"

    inner = chain_of(model).with_config(run_name="inner")
    (inner | ask_back | RunnableLambda(str.upper)).with_config(run_name="outer").invoke(ASKED)

    assert trace.tree() == ["invoke_workflow outer", ["invoke_workflow inner", ["chat"]]]


def test_a_prompt_rendered_by_itself_makes_no_trace(trace: Any) -> None:
    PROMPT.invoke(ASKED)

    assert trace.spans == []


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream", "astream"])
def test_a_streamed_chain_has_the_same_spans_and_the_stream_its_chunks(
    trace: Any, model: Make, asynchronous: bool
) -> None:
    async def collect() -> list[str]:
        return [chunk async for chunk in chain_of(model).astream(ASKED)]

    chunks = asyncio.run(collect()) if asynchronous else list(chain_of(model).stream(ASKED))

    assert len(chunks) > 1
    assert "".join(chunks) == "Fine, thanks"
    (workflow, below) = trace.tree()
    assert workflow.startswith("invoke_workflow ")
    assert below == ["chat"]
    assert trace.facts("chat")["gen_ai.request.stream"] is True
    assert trace.facts("chat")["gen_ai.response.time_to_first_chunk"] > 0


def test_events_of_a_chain_come_with_the_same_spans(trace: Any, model: Make) -> None:
    async def collect() -> list[str]:
        return [event["event"] async for event in chain_of(model).astream_events(ASKED, version="v2")]

    assert "on_chat_model_stream" in asyncio.run(collect())
    (name, below) = trace.tree()
    assert name.endswith("collect")
    assert below == ["chat"]
    assert trace.facts("chat")["gen_ai.prompt.name"].endswith("collect")


def test_branches_that_run_at_once_are_children_of_their_chain(trace: Any, model: Make) -> None:
    branches = RunnableParallel(first=chain_of(model), second=chain_of(model), asked=RunnablePassthrough())
    branches.with_config(run_name="both").invoke(ASKED)
    asyncio.run(branches.with_config(run_name="both later").ainvoke(ASKED))

    assert trace.tree() == [
        "invoke_workflow both",
        ["chat", "chat"],
        "invoke_workflow both later",
        ["chat", "chat"],
    ]


def test_every_item_of_a_batch_is_a_workflow_below_the_span_around_it(
    trace: Any, model: Make, tracer_provider: TracerProvider
) -> None:
    chain = chain_of(model).with_config(run_name="item")

    async def later() -> list[str]:
        return await chain.abatch([ASKED, ASKED])

    with tracer_provider.get_tracer("app").start_as_current_span("request"):
        chain.batch([ASKED, ASKED])
        asyncio.run(later())

    assert trace.tree() == ["request", ["invoke_workflow item", ["chat"]] * 4]


def test_spans_of_the_user_stand_between_a_chain_and_what_it_calls_inside_them(
    trace: Any, model: Make, tracer_provider: TracerProvider
) -> None:
    tracer = tracer_provider.get_tracer("app")

    def look_up(asked: dict[str, str]) -> str:
        with tracer.start_as_current_span("look up"):
            return answer(chain_of(model))

    async def look_up_later(asked: dict[str, str]) -> str:
        with tracer.start_as_current_span("look up later"):
            await asyncio.sleep(0)
            return await answer_later(chain_of(model))

    RunnableLambda(look_up, afunc=look_up_later, name="desk").invoke(ASKED)
    asyncio.run(RunnableLambda(look_up, afunc=look_up_later, name="desk").ainvoke(ASKED))

    assert trace.tree() == [
        "invoke_workflow desk",
        ["look up", ["chat"]],
        "invoke_workflow desk",
        ["look up later", ["chat"]],
    ]


def test_the_thread_of_a_plain_chain_is_its_conversation(trace: Any, model: Make) -> None:
    chain_of(model).with_config(run_name="talk").invoke(ASKED, {"configurable": {"thread_id": "t-9"}})

    assert trace.facts("invoke_workflow talk")["gen_ai.conversation.id"] == "t-9"
    assert trace.facts("chat")["gen_ai.conversation.id"] == "t-9"


def test_what_is_declared_is_on_every_span(trace: Any, model: Make) -> None:
    from tupletrace.instrumentors import using_route, using_session, using_tags, using_user

    with using_route("/ask"), using_user("u1"), using_tags("beta"), using_session("s1"):
        answer(chain_of(model))

    for name, said in {"tupletrace.route": "/ask", "user.id": "u1", "tupletrace.tags": ("beta",)}.items():
        assert [dict(span.attributes)[name] for span in trace.spans] == [said, said]
    assert trace.facts("chat")["gen_ai.conversation.id"] == "s1"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_chain_with_a_history_is_its_callers_and_of_its_session(trace: Any, model: Make) -> None:
    from langchain_core.chat_history import InMemoryChatMessageHistory
    from langchain_core.runnables.history import RunnableWithMessageHistory

    prompt = ChatPromptTemplate.from_messages(
        [("system", "Be brief."), ("placeholder", "{past}"), ("user", "{q}")]
    )
    past = InMemoryChatMessageHistory()
    chain = RunnableWithMessageHistory(
        prompt | model("Yes"), lambda _: past, input_messages_key="q", history_messages_key="past"
    )
    chain.invoke({"q": "May I?"}, {"configurable": {"session_id": "s1"}})

    facts = trace.facts("chat")
    caller = test_a_chain_with_a_history_is_its_callers_and_of_its_session.__name__
    assert (facts["gen_ai.prompt.name"], facts["gen_ai.conversation.id"]) == (caller, "s1")


def test_a_threads_own_id_wins_over_a_declared_session(trace: Any, model: Make) -> None:
    from tupletrace.instrumentors import using_session

    with using_session("s1"):
        chain_of(model).invoke(ASKED, {"configurable": {"thread_id": "t-9"}})

    assert trace.facts("chat")["gen_ai.conversation.id"] == "t-9"


def test_an_error_is_recorded_by_type_and_raised_as_it_was(trace: Any, model: Make) -> None:
    error = ValueError("canary-in-the-error")

    def fail(asked: dict[str, str]) -> str:
        raise error

    with pytest.raises(ValueError, match="canary") as raised:
        (PROMPT | model() | fail).with_config(run_name="failing").invoke(ASKED)

    assert raised.value is error
    assert trace.facts("invoke_workflow failing")["error.type"] == "ValueError"
    assert trace.one("invoke_workflow failing").status.description is None
    assert "error.type" not in trace.facts("chat")
    assert get_current() == {}


def test_fifty_interleaved_runs_keep_their_parents_apart(
    trace: Any, model: Make, tracer_provider: TracerProvider
) -> None:
    tracer = tracer_provider.get_tracer("app")

    async def one(number: int) -> None:
        async def wait(asked: dict[str, str]) -> dict[str, str]:
            await asyncio.sleep(0.001 * (number % 7))
            return asked

        named = chain_of(model).with_config(run_name=f"chain {number}")
        with tracer.start_as_current_span(f"request {number}"):
            async for _ in (
                (RunnableLambda(wait) | named).with_config(run_name=f"run {number}").astream(ASKED)
            ):
                await asyncio.sleep(0)

    async def together() -> None:
        await asyncio.gather(*(one(number) for number in range(50)))

    asyncio.run(together())

    tree = trace.tree()
    assert sorted(zip(tree[::2], map(str, tree[1::2]), strict=True)) == sorted(
        (f"request {n}", str([f"invoke_workflow run {n}", [f"invoke_workflow chain {n}", ["chat"]]]))
        for n in range(50)
    )


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_generator_in_a_chain_is_no_workflow_streamed_or_not(trace: Any, model: Make, how: str) -> None:
    def louder(words: Iterator[str]) -> Iterator[str]:
        for word in words:
            yield word.upper()

    chain = chain_of(model) | RunnableGenerator(louder)
    list(chain.stream(ASKED)) if how == "stream" else chain.invoke(ASKED)

    assert [span.name for span in trace.spans][1:] == ["chat"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_function_in_a_chain_asks_is_named_after_the_function(
    trace: Any, model: Make, asynchronous: bool
) -> None:
    def judge(answer: str) -> str:
        return chain_of(model).invoke(ASKED | {"question": answer})

    async def judge_later(answer: str) -> str:
        return await chain_of(model).ainvoke(ASKED | {"question": answer})

    chain = chain_of(model) | RunnableLambda(judge, afunc=judge_later, name="judge")
    asyncio.run(answer_later(chain)) if asynchronous else answer(chain)

    first, second = (span.attributes["gen_ai.prompt.name"] for span in trace.all("chat"))
    assert (first, second) == ("answer_later" if asynchronous else "answer", "judge")


def test_the_log_of_a_stream_is_named_after_who_asks_for_it(trace: Any, model: Make) -> None:
    async def follow() -> None:
        with warnings.catch_warnings(action="ignore"):
            async for _ in chain_of(model).astream_log(ASKED):
                pass

    asyncio.run(follow())

    (workflow, _) = trace.spans
    assert workflow.name.endswith("follow")
