"""Agents and workflows: each turn and tool knows its agent, its place in the run, and its parent."""

import asyncio
import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatSummaryMemoryBuffer, Memory
from llama_index.core.tools import BaseTool, FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import (
    Context,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from opentelemetry import trace
from pydantic import BaseModel

pytestmark = pytest.mark.usefixtures("instrumented")

STEP = "agent.trajectory.step"
RUN = [
    (
        "invoke_agent helper",
        [
            ("run_agent_step", ["chat gpt-4o-mini"]),
            "execute_tool weather",
            "execute_tool time_in",
            ("run_agent_step", ["chat gpt-4o-mini"]),
        ],
    )
]


def weather(city: str) -> str:
    """Tell the weather."""
    return f"Sunny in {city}"


async def time_in(zone: str) -> str:
    """Tell the time."""
    return f"Noon in {zone}"


@pytest.fixture
def asks_both(endpoint: Any) -> None:
    """A model that calls both tools before it answers."""

    def reply(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            return endpoint.says("Sunny at noon")
        return endpoint.calls(("weather", {"city": "Paris"}), ("time_in", {"zone": "CET"}))

    endpoint.reply = reply


def agent(llm: Any, **settings: Any) -> FunctionAgent:
    instructions = "You tell weather and time."
    return FunctionAgent(
        **{"name": "helper", "tools": [weather, time_in], "streaming": False, **settings},
        llm=llm,
        system_prompt=instructions,
    )


def ask(runnable: Any, **arguments: Any) -> str:
    async def run() -> str:
        return str(await runnable.run(user_msg="Weather and time?", **arguments))

    return asyncio.run(run())


@pytest.mark.usefixtures("asks_both")
@pytest.mark.parametrize("streaming", [False, True])
def test_an_agents_turns_and_tools_are_numbered_in_the_order_in_which_it_acts(
    llm: Any, spans: Any, tree: Any, streaming: bool
) -> None:
    assert ask(agent(llm(), streaming=streaming)).startswith("Sunny at noon")

    assert tree() == RUN
    acts = [span for span in spans.get_finished_spans() if not span.name.startswith("invoke")]
    acts.sort(key=lambda span: span.start_time)
    assert [(span.name.partition(" ")[0], span.attributes[STEP]) for span in acts] == [
        ("run_agent_step", 0),
        ("chat", 0),
        ("execute_tool", 1),
        ("execute_tool", 1),
        ("run_agent_step", 2),
        ("chat", 2),
    ]
    assert {span.attributes["gen_ai.agent.name"] for span in acts} == {"helper"}


@pytest.mark.usefixtures("asks_both")
def test_prompt_and_tools_of_an_agent_are_identified_on_its_inferences(llm: Any, named: Any) -> None:
    ask(agent(llm()))

    first, second = named("chat")
    assert first.attributes["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert first.attributes["gen_ai.prompt.name"] == "helper"
    assert first.attributes["gen_ai.prompt.version"].startswith("text-")
    assert first.attributes["tupletrace.tools.names"] == ("time_in", "weather")
    for key in ("gen_ai.prompt.version", "tupletrace.tools.version"):
        assert first.attributes[key] == second.attributes[key]


@pytest.mark.usefixtures("asks_both")
def test_a_tool_span_has_the_models_call_id_and_no_content(llm: Any, named: Any) -> None:
    ask(agent(llm()))

    (tool,) = named("execute_tool weather")
    assert dict(tool.attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "weather",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_weather",
        "gen_ai.agent.name": "helper",
        "tupletrace.graph.node": "call_tool",
        STEP: 1,
    }


@pytest.mark.usefixtures("asks_both")
@pytest.mark.parametrize("content", ["SPAN_ONLY"], indirect=True)
def test_an_agents_spans_hold_content_where_the_environment_asks(llm: Any, named: Any) -> None:
    ask(agent(llm()))

    (run,), (tool,), (_, last) = named("invoke_agent"), named("execute_tool weather"), named("chat")
    assert "Weather and time?" in run.attributes["gen_ai.input.messages"]
    assert "Sunny at noon" in run.attributes["gen_ai.output.messages"]
    assert tool.attributes["gen_ai.tool.call.arguments"] == '{"city":"Paris"}'
    assert tool.attributes["gen_ai.tool.call.result"] == "Sunny in Paris"
    parts = [
        part for message in json.loads(last.attributes["gen_ai.input.messages"]) for part in message["parts"]
    ]
    assert [part["type"] for part in parts] == [
        "text",
        "text",
        "tool_call",
        "tool_call",
        "tool_call_response",
        "tool_call_response",
    ]
    assert '"name":"weather"' in last.attributes["gen_ai.tool.definitions"]


@pytest.mark.usefixtures("asks_both")
def test_spans_of_the_users_own_nest_below_the_tool_that_starts_them(
    llm: Any, tree: Any, tracer_provider: Any
) -> None:
    tracer = tracer_provider.get_tracer("user")

    def traced(name: str, answer: str) -> str:
        with tracer.start_as_current_span(name):
            return answer

    def weather(city: str) -> str:
        """Tell the weather, in a thread."""
        return traced("look outside", city)

    async def time_in(zone: str) -> str:
        """Tell the time."""
        await asyncio.sleep(0)
        return traced("look at the clock", zone)

    ask(agent(llm(), tools=[weather, time_in]))
    tools = [node for node in tree()[0][1] if node[0].startswith("execute_tool")]
    assert tools == [
        ("execute_tool weather", ["look outside"]),
        ("execute_tool time_in", ["look at the clock"]),
    ]


def test_a_tools_error_fails_its_span_and_not_the_agent(
    llm: Any, endpoint: Any, failures: Any, spans: Any
) -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        raise LookupError("canary from the tool")

    def reply(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            return endpoint.says("I do not know")
        return endpoint.calls(("weather", {"city": "Paris"}), ("unknown", {}))

    endpoint.reply = reply
    assert ask(agent(llm(), tools=[weather])).startswith("I do not know")
    assert failures() == {"execute_tool weather": "LookupError", "execute_tool unknown": "tool_error"}
    assert "canary" not in "".join(span.to_json() for span in spans.get_finished_spans())


def test_a_provider_error_fails_inference_step_and_agent(llm: Any, endpoint: Any, failures: Any) -> None:
    endpoint.refused = "/chat/completions"
    with pytest.raises(Exception, match="canary"):
        ask(agent(llm()))

    assert set(failures()) == {"chat gpt-4o-mini", "run_agent_step", "invoke_agent helper"}
    assert failures()["chat gpt-4o-mini"] == "openai.AuthenticationError"


@pytest.mark.parametrize("graceful", [True, False])
def test_a_cancelled_run_leaves_no_span_open(llm: Any, endpoint: Any, failures: Any, graceful: bool) -> None:
    async def run() -> None:
        endpoint.reached = asyncio.Event()
        handler = agent(llm()).run(user_msg="Weather?")
        await endpoint.reached.wait()
        if graceful:
            await handler.cancel_run()
            return
        handler._result_task.cancel()
        handler._external_adapter.abort()

    asyncio.run(run())
    assert set(failures()) == {"chat gpt-4o-mini", "run_agent_step", "invoke_agent helper"}


@pytest.mark.usefixtures("asks_both")
def test_two_hundred_interleaved_runs_keep_their_own_order_and_parents(
    llm: Any, tree: Any, named: Any
) -> None:
    helper = agent(llm())

    async def run() -> None:
        await asyncio.gather(*(helper.run(user_msg=f"Question {n}") for n in range(200)))

    asyncio.run(run())
    assert tree() == RUN * 200
    assert sorted(span.attributes[STEP] for span in named("chat")) == [0] * 200 + [2] * 200


@pytest.mark.usefixtures("asks_both")
def test_a_run_is_a_child_of_the_span_that_started_it_and_leaves_that_one_current(
    llm: Any, tree: Any, tracer_provider: Any
) -> None:
    async def run() -> None:
        with tracer_provider.get_tracer("user").start_as_current_span("request") as request:
            handler = agent(llm()).run(user_msg="Weather?")
            assert trace.get_current_span() is request
            async for _ in handler.stream_events():
                assert trace.get_current_span() is request
            await handler
            assert trace.get_current_span() is request

    asyncio.run(run())
    assert tree() == [("request", RUN)]


@pytest.mark.usefixtures("asks_both")
def test_the_memorys_session_is_the_conversation_of_every_span(llm: Any, spans: Any) -> None:
    ask(agent(llm()), memory=Memory.from_defaults(session_id="session-7"))

    assert {s.attributes["gen_ai.conversation.id"] for s in spans.get_finished_spans()} == {"session-7"}

    spans.clear()
    ask(agent(llm()))
    assert {s.attributes.get("gen_ai.conversation.id") for s in spans.get_finished_spans()} == {None}


def test_runs_in_a_context_that_the_program_keeps_are_one_conversation(llm: Any, named: Any) -> None:
    helper = agent(llm(), tools=[])

    async def run() -> None:
        named_once, unnamed = Context(helper), Context(helper)
        await helper.run(user_msg="One", ctx=named_once, memory=Memory.from_defaults(session_id="s-1"))
        await helper.run(user_msg="Two", ctx=named_once)
        first = helper.run(user_msg="One", ctx=unnamed)
        await first
        await helper.run(user_msg="Two", ctx=unnamed)
        await helper.run(user_msg="Alone")
        expected = ["s-1", "s-1", first.run_id, first.run_id, None]
        assert [s.attributes.get("gen_ai.conversation.id") for s in named("chat")] == expected
        assert [s.attributes.get("gen_ai.conversation.id") for s in named("invoke_agent")] == expected

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.run(run())


def test_an_agent_that_asks_a_human_numbers_its_acts_through_the_wait(
    llm: Any, endpoint: Any, named: Any
) -> None:
    async def danger(ctx: Context, what: str) -> str:
        """Do it if a human agrees."""
        answer = await ctx.wait_for_event(
            HumanResponseEvent,
            waiter_id="w",
            waiter_event=InputRequiredEvent(prefix="May I?"),
        )
        return f"did: {answer.response}"

    def reply(body: dict[str, Any]) -> Any:
        asked = body["messages"][-1]["role"] == "tool"
        return endpoint.says("Done") if asked else endpoint.calls(("danger", {"what": "x"}))

    endpoint.reply = reply

    async def run() -> str:
        handler = agent(llm(), tools=[danger]).run(user_msg="Do it")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="yes"))
        return str(await handler)

    assert asyncio.run(run()) == "Done"
    # LlamaIndex calls the tool once more when the answer is there.
    assert [span.attributes[STEP] for span in named("execute_tool")] == [1, 1]
    assert [span.attributes[STEP] for span in named("chat")] == [0, 2]
    assert len(named("invoke_agent")) == 1


def test_a_hand_off_changes_the_agents_name_and_prompt_within_one_run(
    llm: Any, endpoint: Any, named: Any, tree: Any
) -> None:
    def reply(body: dict[str, Any]) -> Any:
        offered = {tool["function"]["name"] for tool in body.get("tools") or ()}
        if "handoff" in offered:
            return endpoint.calls(("handoff", {"to_agent": "writer", "reason": "it writes"}))
        return endpoint.says("Written")

    endpoint.reply = reply
    settings: dict[str, Any] = {"llm": llm(), "streaming": False, "tools": []}
    planner = FunctionAgent(
        name="planner", description="plans", system_prompt="Plan.", can_handoff_to=["writer"], **settings
    )
    writer = FunctionAgent(
        name="writer", description="writes", system_prompt="Write.", can_handoff_to=[], **settings
    )
    assert ask(AgentWorkflow(agents=[planner, writer], root_agent="planner")) == "Written"

    assert tree() == [
        (
            "invoke_agent planner",
            [
                ("run_agent_step", ["chat gpt-4o-mini"]),
                "execute_tool handoff",
                ("run_agent_step", ["chat gpt-4o-mini"]),
            ],
        )
    ]
    acts = [*named("chat"), *named("execute_tool")]
    acts.sort(key=lambda span: span.attributes[STEP])
    assert [(s.attributes[STEP], s.attributes["gen_ai.agent.name"]) for s in acts] == [
        (0, "planner"),
        (1, "planner"),
        (2, "writer"),
    ]
    assert [span.attributes["gen_ai.prompt.name"] for span in named("chat")] == ["planner", "writer"]


def test_a_structured_answer_is_a_turn_of_its_own(llm: Any, endpoint: Any, tree: Any, named: Any) -> None:
    class Report(BaseModel):
        text: str

    def reply(body: dict[str, Any]) -> Any:
        structured = "Report" in str(body.get("tools")) or "response_format" in body
        return endpoint.says('{"text": "fine"}') if structured else endpoint.says("Fine")

    endpoint.reply = reply
    ask(agent(llm(model="gpt-4o"), output_cls=Report))

    assert tree() == [
        ("invoke_agent helper", [("run_agent_step", ["chat gpt-4o"]), "chat gpt-4o"]),
    ]
    assert [span.attributes[STEP] for span in named("chat")] == [0, 1]
    assert {span.attributes["gen_ai.prompt.name"] for span in named("chat")} == {"helper"}


def test_a_summary_that_an_agents_memory_asks_for_is_not_made_with_the_agents_prompt(
    llm: Any, named: Any
) -> None:
    model = llm()
    memory = ChatSummaryMemoryBuffer.from_defaults(llm=model, token_limit=30, tokenizer_fn=str.split)
    memory.set([ChatMessage(role="user", content="word " * 40), ChatMessage(role="assistant", content="yes")])
    ask(agent(model), memory=memory)

    names = [span.attributes["gen_ai.prompt.name"] for span in named("chat")]
    assert "helper" in names
    assert {name for name in names if name != "helper"} != set()


def test_a_react_agents_tools_are_known_though_its_prompt_describes_them(
    llm: Any, endpoint: Any, tree: Any, named: Any
) -> None:
    def reply(body: dict[str, Any]) -> Any:
        if "Observation:" in body["messages"][-1]["content"]:
            return endpoint.says("Thought: I can answer.\nAnswer: Sunny")
        return endpoint.says('Thought: I need it.\nAction: weather\nAction Input: {"city": "Paris"}')

    endpoint.reply = reply
    helper = ReActAgent(
        name="helper", tools=[weather], llm=llm(), system_prompt="You reason.", streaming=False
    )
    assert ask(helper) == "Sunny"

    assert tree() == [
        (
            "invoke_agent helper",
            [
                ("run_agent_step", ["chat gpt-4o-mini"]),
                "execute_tool weather",
                ("run_agent_step", ["chat gpt-4o-mini"]),
            ],
        )
    ]
    first, second = named("chat")
    assert first.attributes["tupletrace.tools.names"] == ("weather",)
    assert first.attributes["gen_ai.prompt.name"] == "helper"
    assert first.attributes["gen_ai.prompt.version"] == second.attributes["gen_ai.prompt.version"]


@pytest.mark.usefixtures("asks_both")
def test_an_agent_called_as_a_tool_counts_for_itself(llm: Any, endpoint: Any, named: Any) -> None:
    inner = agent(llm(), name="inner", tools=[weather, time_in])
    asked_before = endpoint.reply

    async def consult(question: str) -> str:
        """Ask the expert."""
        return str(await inner.run(user_msg=question))

    def reply(body: dict[str, Any]) -> Any:
        if body["tools"][0]["function"]["name"] != "consult":
            return asked_before(body)
        if body["messages"][-1]["role"] == "tool":
            return endpoint.says("Consulted")
        return endpoint.calls(("consult", {"question": "Weather?"}))

    endpoint.reply = reply
    assert ask(agent(llm(), name="outer", tools=[consult])) == "Consulted"

    (tool,), (run,) = named("execute_tool consult"), named("invoke_agent inner")
    assert run.parent.span_id == tool.context.span_id
    assert [(s.attributes["gen_ai.agent.name"], s.attributes[STEP]) for s in named("chat")] == [
        ("outer", 0),
        ("inner", 0),
        ("inner", 2),
        ("outer", 2),
    ]


class Pipeline(Workflow):
    """A workflow of the user's own, with a model call in a step."""

    def __init__(self, llm: Any) -> None:
        super().__init__()
        self._llm = llm

    @step
    async def answer(self, event: StartEvent) -> StopEvent:
        return StopEvent(result=str(await self._llm.acomplete("Hello")))


def test_a_workflow_of_the_users_own_has_a_span_for_each_step(llm: Any, tree: Any, named: Any) -> None:
    async def run() -> str:
        return await Pipeline(llm()).run()

    assert asyncio.run(run()) == "Hello world"
    assert tree() == [("invoke_workflow Pipeline", [("answer", ["chat gpt-4o-mini"])])]
    (answer,) = named("answer")
    assert dict(answer.attributes) == {"tupletrace.graph.node": "answer", STEP: 0}


def test_a_tool_called_without_an_agent_is_one_span(tree: Any, failures: Any) -> None:
    tool = FunctionTool.from_defaults(weather)
    assert str(tool("Paris")) == "Sunny in Paris"
    assert str(tool.call(city="Paris")) == "Sunny in Paris"
    assert str(asyncio.run(tool.acall(city="Paris"))) == "Sunny in Paris"
    assert tree() == ["execute_tool weather"] * 3
    assert failures() == {}


def test_a_tool_that_raises_without_an_agent_raises_to_the_user(failures: Any) -> None:
    def refuse() -> str:
        """Refuse."""
        raise LookupError

    with pytest.raises(LookupError):
        FunctionTool.from_defaults(refuse).call()
    assert failures() == {"execute_tool refuse": "LookupError"}


@pytest.mark.usefixtures("asks_both")
def test_a_run_that_is_going_on_ends_its_spans_after_uninstrument(
    llm: Any, tree: Any, instrumented: Any, endpoint: Any
) -> None:
    reply: Callable[[Any], Any] = endpoint.reply

    def uninstrumenting(body: dict[str, Any]) -> Any:
        instrumented.uninstrument()
        return reply(body)

    endpoint.reply = uninstrumenting
    assert ask(agent(llm())).startswith("Sunny")
    assert tree() == [("invoke_agent helper", [("run_agent_step", ["chat gpt-4o-mini"])])]


class Picky(BaseTool):
    """Takes its only argument by name alone."""

    metadata = ToolMetadata("Tell the weather.", "weather")

    def __call__(self, *args: Any, **kwargs: Any) -> ToolOutput:
        if args:
            raise TypeError("by name, please")
        return ToolOutput(content="Sunny", tool_name="weather", raw_input=kwargs, raw_output="Sunny")


def test_a_tool_that_a_model_chose_is_executed_once_under_its_call_id(
    llm: Any, endpoint: Any, named: Any, failures: Any
) -> None:
    """LlamaIndex tries its argument by position and by name."""
    endpoint.reply = lambda _: endpoint.calls(("weather", {"input": "Paris"}))
    assert str(llm().predict_and_call([Picky()], "How is the weather?")) == "Sunny"
    endpoint.reply = lambda _: endpoint.calls(("time_in", {"zone": "CET"}))
    chosen = llm().apredict_and_call([FunctionTool.from_defaults(time_in)], "What time is it?")
    assert str(asyncio.run(chosen)) == "Noon in CET"
    ids = [tool.attributes["gen_ai.tool.call.id"] for tool in named("execute_tool")]
    assert ids == ["call_weather", "call_time_in"]
    assert failures() == {}


def test_instructions_that_an_agent_does_not_pass_on_are_no_part_of_its_prompt(llm: Any, named: Any) -> None:
    """Its name and its tools stay its own."""

    def prompt(system_prompt: str) -> dict[str, Any]:
        helper = ReActAgent(name="re", llm=llm(), tools=[weather], system_prompt=system_prompt)
        helper.formatter.system_header = "Think it over. Tools: {tool_desc} {tool_names}"
        ask(helper)
        said = named("chat")[-1].attributes
        return {key: said[key] for key in ("gen_ai.prompt.name", "gen_ai.prompt.version")} | {
            "tools": said["tupletrace.tools.names"]
        }

    said = prompt("Never said")
    assert (said["gen_ai.prompt.name"], said["tools"]) == ("re", ("weather",))
    assert prompt("Not said either") == said
