"""Graphs and agents: their nodes, steps, tools, names and conversations."""

import asyncio
import operator
import warnings
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import after_model, before_model
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import create_react_agent
from langgraph.types import Command, Send, interrupt
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode

Make = Callable[..., Any]
ASKED = {"messages": [("user", "What is 1 + 2?")]}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class State(TypedDict):
    """Notes that nodes append to."""

    notes: Annotated[list[str], operator.add]


def calls(*ids: str, name: str = "add") -> AIMessage:
    """An answer that calls a tool once for each id."""
    arguments = {"a": 1, "b": 2}
    return AIMessage("", tool_calls=[ToolCall(name=name, args=arguments, id=call_id) for call_id in ids])


def graph(**nodes: Callable[[State], Any]) -> StateGraph[Any]:
    """A graph whose nodes follow one another."""
    made = StateGraph(State)
    for name, node in nodes.items():
        made.add_node(name, node)
    for before, after in zip([START, *nodes], [*nodes, END], strict=True):
        made.add_edge(before, after)
    return made


def run(agent: Any, how: str, asked: Any = ASKED, **config: Any) -> None:
    async def later() -> None:
        if how == "ainvoke":
            await agent.ainvoke(asked, config)
        else:
            async for _ in agent.astream(asked, config):
                pass

    match how:
        case "invoke":
            agent.invoke(asked, config)
        case "stream":
            list(agent.stream(asked, config))
        case _:
            asyncio.run(later())


WAYS = ["invoke", "ainvoke", "stream", "astream"]


@pytest.mark.parametrize("how", WAYS)
def test_an_agent_shows_its_steps_its_model_calls_and_its_tools(trace: Any, model: Make, how: str) -> None:
    agent = create_agent(model(calls("c1", "c2"), "3"), [add], system_prompt="Add well.", name="adder")
    run(agent, how, configurable={"thread_id": "t-1"})

    assert trace.tree() == [
        "invoke_agent adder",
        [
            *("model", ["chat"]),
            *("tools", ["execute_tool add"], "tools", ["execute_tool add"]),
            *("model", ["chat"]),
        ],
    ]
    below = trace.spans[1:]
    assert {span.attributes["gen_ai.agent.name"] for span in trace.spans} == {"adder"}
    steps = [(span.name, span.attributes["agent.trajectory.step"]) for span in below]
    assert sorted(steps) == sorted(
        [("model", 0), ("chat", 0), ("model", 2), ("chat", 2)] + [("tools", 1), ("execute_tool add", 1)] * 2
    )
    conversations = [trace.one("invoke_agent adder"), *trace.all("chat")]
    assert {span.attributes["gen_ai.conversation.id"] for span in conversations} == {"t-1"}
    assert {span.attributes["gen_ai.tool.call.id"] for span in trace.all("execute_tool add")} == {"c1", "c2"}
    assert trace.all("model")[0].attributes["tupletrace.graph.node"] == "model"


def test_the_system_prompt_of_an_agent_is_its_prompt_under_its_name(trace: Any, model: Make) -> None:
    for text in ("Add well.", "Add well.", "Add badly."):
        create_agent(model("3"), [add], system_prompt=text, name="adder").invoke(ASKED)

    first, second, third = [dict(span.attributes) for span in trace.all("chat")]
    assert first["gen_ai.prompt.name"] == "adder"
    assert first["gen_ai.prompt.version"] == second["gen_ai.prompt.version"] != third["gen_ai.prompt.version"]
    assert first["tupletrace.tools.names"] == ("add",)


def test_an_agent_without_a_name_is_called_after_the_function_that_runs_it(trace: Any, model: Make) -> None:
    def support() -> None:
        create_agent(model("3"), [add]).invoke(ASKED)

    support()

    (name, *_) = trace.tree()
    assert name.startswith("invoke_agent ")
    assert name.endswith("support")


def test_the_older_prebuilt_agent_is_an_agent_too(trace: Any, model: Make) -> None:
    with warnings.catch_warnings(action="ignore"):
        agent = create_react_agent(model(calls("c1"), "3"), [add], prompt="Add well.", name="older")
    agent.invoke(ASKED)

    assert trace.tree() == [
        "invoke_agent older",
        ["agent", ["chat"], "tools", ["execute_tool add"], "agent", ["chat"]],
    ]
    assert [span.attributes["agent.trajectory.step"] for span in trace.all("chat")] == [0, 2]


@pytest.mark.parametrize("how", WAYS)
def test_nodes_that_run_at_once_share_a_step_and_what_they_do_is_below_them(
    trace: Any, model: Make, tracer_provider: TracerProvider, how: str
) -> None:
    tracer = tracer_provider.get_tracer("app")

    def plan(state: State) -> dict[str, Any]:
        return {"notes": ["plan"]}

    def left(state: State) -> dict[str, Any]:
        with tracer.start_as_current_span("look left"):
            return {"notes": [model().invoke("Left?").text]}

    def right(state: State) -> dict[str, Any]:
        with tracer.start_as_current_span("look right"):
            return {"notes": ["nothing"]}

    made = StateGraph(State)
    for node in (plan, left, right):
        made.add_node(node.__name__, node)
    made.add_edge(START, "plan")
    for node in ("left", "right"):
        made.add_edge("plan", node)
    run(made.compile(name="looker"), how, {"notes": []})

    tree = trace.tree()
    assert tree[0] == "invoke_workflow looker"
    assert tree[1][0] == "plan"
    assert sorted(map(str, zip(tree[1][1::2], tree[1][2::2], strict=True))) == [
        str(("left", ["look left", ["chat"]])),
        str(("right", ["look right"])),
    ]
    assert {span.name: (span.attributes or {}).get("agent.trajectory.step") for span in trace.spans} == {
        "invoke_workflow looker": None,
        "plan": 0,
        "left": 1,
        "look left": None,
        "chat": 1,
        "right": 1,
        "look right": None,
    }


def test_a_graph_inside_a_node_counts_its_own_steps(trace: Any, model: Make) -> None:
    def ask(state: State) -> dict[str, Any]:
        return {"notes": [model().invoke("Hm?").text]}

    def pause(state: State) -> dict[str, Any]:
        return {"notes": ["pause"]}

    inner = graph(ask=ask).compile()

    def call(state: State) -> dict[str, Any]:
        return inner.with_config(run_name="called").invoke(state)

    made = StateGraph(State)
    made.add_node("pause", pause)
    made.add_node("sub", inner)
    made.add_node("call", call)
    for before, after in ((START, "pause"), ("pause", "sub"), ("sub", "call")):
        made.add_edge(before, after)
    made.compile(name="outer").invoke({"notes": []})

    assert trace.tree() == [
        "invoke_workflow outer",
        [
            "pause",
            "sub",
            ["invoke_workflow sub", ["ask", ["chat"]]],
            "call",
            ["invoke_workflow called", ["ask", ["chat"]]],
        ],
    ]
    assert [span.attributes["agent.trajectory.step"] for span in trace.all("ask")] == [0, 0]
    assert trace.one("call").attributes["agent.trajectory.step"] == 2
    paths = [span.attributes["tupletrace.graph.path"] for span in trace.all("ask")]
    assert paths == ["sub/ask", "call/ask"]
    assert "tupletrace.graph.path" not in trace.facts("call")


def test_tasks_of_an_entrypoint_have_spans_and_are_counted(trace: Any, model: Make) -> None:
    @task
    def ask(question: str) -> str:
        return str(model().invoke(question).text)

    @entrypoint()
    def talk(question: str) -> list[str]:
        return [ask(question).result(), ask("And?").result()]

    talk.invoke("Hm?")

    assert trace.tree()[1] == ["talk", ["ask", ["chat"], "ask", ["chat"]]]
    assert [span.attributes["agent.trajectory.step"] for span in trace.all("ask")] == [0, 1]


def test_a_graph_called_by_a_tool_of_an_agent_is_no_agent_itself(trace: Any, model: Make) -> None:
    inner = graph(note=lambda state: {"notes": ["x"]}).compile(name="notes")

    @tool
    def take_note(a: int, b: int) -> str:
        """Take a note."""
        return str(inner.invoke({"notes": []}))

    create_agent(model(calls("c1", name="take_note"), "Done"), [take_note], name="writer").invoke(ASKED)

    assert trace.tree()[1][2:4] == ["tools", ["execute_tool take_note", ["invoke_workflow notes", ["note"]]]]


def test_a_resumed_thread_starts_at_step_zero_and_an_interrupt_is_no_error(trace: Any, model: Make) -> None:
    def draft(state: State) -> dict[str, Any]:
        return {"notes": ["draft"]}

    def approve(state: State) -> dict[str, Any]:
        return {"notes": [interrupt("Approve?")]}

    compiled = graph(draft=draft, approve=approve).compile(checkpointer=InMemorySaver(), name="approval")
    thread: Any = {"configurable": {"thread_id": 7}}
    compiled.invoke({"notes": []}, thread)
    compiled.invoke(Command(resume="yes"), thread)

    assert trace.tree() == [
        "invoke_workflow approval",
        ["draft", "approve"],
        "invoke_workflow approval",
        ["approve"],
    ]
    steps = [span.attributes["agent.trajectory.step"] for span in trace.all("approve")]
    assert steps == [1, 0]
    assert {span.status.status_code for span in trace.spans} == {StatusCode.UNSET}
    conversations = {
        span.attributes["gen_ai.conversation.id"] for span in trace.all("invoke_workflow approval")
    }
    assert conversations == {"7"}


@pytest.mark.parametrize("asking", [False, True])
def test_the_choice_where_to_begin_is_no_step_unless_it_acts(trace: Any, model: Make, asking: bool) -> None:
    chooser = model()

    def choose(state: State) -> list[Send]:
        if asking:
            chooser.invoke("Which?")
        return [Send("one", state), Send("one", state)]

    made = StateGraph(State)
    made.add_node("one", lambda state: {"notes": []})
    made.add_conditional_edges(START, choose, ["one"])
    made.compile(name="choosing").invoke({"notes": []})

    steps = [(span.attributes or {}).get("agent.trajectory.step") for span in trace.all("one")]
    assert steps == ([1, 1] if asking else [0, 0])
    assert trace.facts("__start__").get("agent.trajectory.step") == (0 if asking else None)


@pytest.mark.parametrize("how", WAYS)
def test_an_error_in_a_node_is_on_the_node_and_its_graph_and_raised_as_it_was(trace: Any, how: str) -> None:
    error = LookupError("canary")

    def fail(state: State) -> dict[str, Any]:
        raise error

    with pytest.raises(LookupError) as raised:
        run(graph(fail=fail).compile(name="failing"), how, {"notes": []})

    assert raised.value is error
    assert [span.attributes["error.type"] for span in trace.spans] == ["LookupError"] * 2
    assert not [span for span in trace.spans if "canary" in span.to_json()]


def test_an_error_of_a_tool_is_recorded_whether_it_is_raised_or_told_to_the_model(
    trace: Any, model: Make
) -> None:
    @tool
    def break_down(a: int, b: int) -> int:
        """Break down."""
        raise ZeroDivisionError("canary")

    @tool
    def excuse(a: int, b: int) -> int:
        """Excuse."""
        raise ToolException("canary")

    excuse.handle_tool_error = True
    agent = create_agent(
        model(calls("c1", name="excuse"), calls("c2", name="break_down")), [break_down, excuse]
    )
    with pytest.raises(ZeroDivisionError):
        agent.invoke(ASKED)

    assert trace.facts("execute_tool excuse")["error.type"] == "tool_error"
    assert trace.facts("execute_tool break_down")["error.type"] == "ZeroDivisionError"
    assert not [span for span in trace.spans if "canary" in span.to_json()]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "run"])
def test_an_error_that_a_tool_called_by_hand_tells_of_is_recorded(trace: Any, how: str) -> None:
    @tool
    def excuse(a: int) -> int:
        """Excuse."""
        raise ToolException("canary")

    excuse.handle_tool_error = excuse.handle_validation_error = True
    for given in ({"a": 1}, {"a": "one"}):
        match how:
            case "invoke":
                excuse.invoke(given)
            case "ainvoke":
                asyncio.run(excuse.ainvoke(given))
            case _:
                excuse.run(given)

    assert [span.attributes["error.type"] for span in trace.spans] == ["tool_error"] * 2


def test_arguments_and_results_of_tools_are_content(
    trace: Any, instrumentor: Any, tracer_provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    add.invoke({"a": 1, "b": 2})
    assert not [key for key in trace.facts("execute_tool add") if ".call." in key or "description" in key]

    instrumentor.uninstrument()
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    instrumentor.instrument(tracer_provider=tracer_provider)
    trace.clear()
    add.invoke({"a": 1, "b": 2})
    facts = trace.facts("execute_tool add")
    assert facts["gen_ai.tool.call.arguments"] == '{"a": 1, "b": 2}'
    assert facts["gen_ai.tool.call.result"] == "3"


def test_interleaved_agents_keep_their_steps_and_threads_apart(trace: Any, model: Make) -> None:
    async def one(number: int) -> None:
        agent = create_agent(model(calls("c1"), "3"), [add], name=f"agent {number}")
        async for _ in agent.astream(ASKED, {"configurable": {"thread_id": str(number)}}):
            await asyncio.sleep(0.001 * (number % 5))

    async def together() -> None:
        await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(together())

    tree = trace.tree()
    steps = ["model", ["chat"], "tools", ["execute_tool add"], "model", ["chat"]]
    assert sorted(tree[::2]) == sorted(f"invoke_agent agent {number}" for number in range(20))
    assert tree[1::2] == [steps] * 20
    for span in trace.all("chat"):
        assert span.attributes["gen_ai.agent.name"] == f"agent {span.attributes['gen_ai.conversation.id']}"


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream_events", "astream_events"])
def test_an_agent_streamed_by_events_of_version_3_has_the_same_spans(
    trace: Any, model: Make, asynchronous: bool
) -> None:
    agent: Any = create_agent(model(), tools=[], name="helper")
    asked = {"messages": [("user", "Hi")]}

    async def stream() -> None:
        async for _ in await agent.astream_events(asked, version="v3"):
            pass

    asyncio.run(stream()) if asynchronous else list(agent.stream_events(asked, version="v3"))

    assert trace.tree() == ["invoke_agent helper", ["model", ["chat"]]]


def test_two_hundred_interleaved_runs_keep_to_themselves(trace: Any, model: Make) -> None:
    async def answer(state: Any) -> Any:
        await asyncio.sleep(0)
        reply = await (ChatPromptTemplate.from_template("Answer {question}") | model()).ainvoke(
            {"question": state["question"]}
        )
        return {"question": reply.content}

    graph = StateGraph(dict).add_node("answer", answer).add_edge(START, "answer").compile(name="talk")

    async def run() -> None:
        config = [{"configurable": {"thread_id": f"t-{number}"}} for number in range(200)]
        await asyncio.gather(*(graph.ainvoke({"question": "Hi"}, one) for one in config))

    before = get_current()
    asyncio.run(run())

    assert get_current() == before
    tree = trace.tree()
    assert tree[::2] == ["invoke_workflow talk"] * 200
    assert tree[1::2] == [["answer", ["chat"]]] * 200
    roots = {span.context.trace_id: span for span in trace.all("invoke_workflow talk")}
    for inference in trace.all("chat"):
        thread = "gen_ai.conversation.id"
        assert inference.attributes[thread] == roots[inference.context.trace_id].attributes[thread]


def test_a_hook_of_an_agents_middleware_is_no_step_unless_it_acts(trace: Any, model: Make) -> None:
    @before_model
    def check(state: Any, runtime: Any) -> None:
        pass

    @after_model
    def grade(state: Any, runtime: Any) -> None:
        if not state["messages"][-1].tool_calls:
            model("Good").invoke("How good is it?")

    agent = create_agent(model(calls("a"), "3"), [add], middleware=[check, grade])
    agent.invoke(ASKED)

    placed = [
        (s.name, s.attributes.get("agent.trajectory.step")) for s in trace.spans if "agent" not in s.name
    ]
    assert placed == [
        ("check.before_model", None),
        ("model", 0),
        ("chat", 0),
        ("grade.after_model", None),
        ("tools", 1),
        ("execute_tool add", 1),
        ("check.before_model", None),
        ("model", 2),
        ("chat", 2),
        ("grade.after_model", 3),
        ("chat", 3),
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_template_of_a_prebuilt_agent_is_called_after_the_agent(trace: Any, model: Make) -> None:
    template = ChatPromptTemplate.from_messages([("system", "You add."), ("placeholder", "{messages}")])
    create_react_agent(model(), [add], prompt=template, name="adder").invoke(ASKED)

    assert trace.facts("chat")["gen_ai.prompt.name"] == "adder"
