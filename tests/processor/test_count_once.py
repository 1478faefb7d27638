"""However many spans describe one call, one counts and knows what all know; the others point at it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

MS = 1_000_000
USED = {"gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.response.id": "r1"}


@pytest.fixture(scope="module")
def shared(open_database: Callable[..., Any]) -> Any:
    return open_database()


class World:
    """New traces in a shared store."""

    count = 7_000

    def __init__(self, database: Any, otlp: Any) -> None:
        self.database, self.otlp = database, otlp

    def new(self) -> int:
        World.count += 1
        return World.count

    def scoped(self, *scopes: tuple[str, list[Any]]) -> bytes:
        """One request with the spans of several libraries."""
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        for name, spans in scopes:
            resource.scope_spans.add(spans=spans).scope.name = name
        return request.SerializeToString()

    def roles(self, *bodies: bytes, traces: list[int]) -> dict[int, tuple[str, int | None]]:
        """Insert, and return each span's role and the span that counts instead, live as settled."""
        self.database.insert(*bodies)
        live = self._roles(traces)
        self.database.store.settle(0)
        assert self._roles(traces) == live
        return live

    def _roles(self, traces: list[int]) -> dict[int, tuple[str, int | None]]:
        listed = ", ".join(f"'{trace:032x}'" for trace in traces)
        rows = self.database.rows(f"SELECT * FROM usage_roles WHERE trace_id IN ({listed})")
        return {
            int(row["span_id"], 16): (
                row["usage_role"],
                None if row["duplicate_of"] is None else int(row["duplicate_of"], 16),
            )
            for row in sorted(rows, key=lambda row: row["span_id"])
        }

    def calls(self, trace: int) -> list[dict[str, Any]]:
        query = "SELECT * FROM llm_calls WHERE trace_id = ? ORDER BY start_time"
        return self.database.rows(query, [f"{trace:032x}"])


@pytest.fixture(scope="module")
def world(shared: Any, otlp: Any) -> World:
    return World(shared, otlp)


def timed(otlp: Any, start: int, end: int) -> dict[str, int]:
    return {"start": otlp.noon + start * MS, "end": otlp.noon + end * MS}


def test_a_clients_span_beside_a_frameworks_is_the_same_call(world: World, otlp: Any) -> None:
    """OpenInference: the client's span is a child of the application's, not of the framework's."""
    trace = world.new()
    framework = otlp.call(trace, 1, 9, (100, 20), {"gen_ai.prompt.name": "mine"}, **timed(otlp, 0, 50))
    client = otlp.call(
        trace, 2, 9, (100, 20), USED | {"gen_ai.prompt.name": None, "gen_ai.prompt.version": None},
        **timed(otlp, 10, 40),
    )  # fmt: skip
    request = world.scoped(("framework", [framework]), ("client", [client]))
    assert world.roles(request, traces=[trace]) == {1: ("duplicate", 2), 2: ("leaf", None)}
    (call,) = world.calls(trace)
    assert (call["prompt_name"], call["prompt_version"]) == ("mine", "3")
    assert call["response_model"] == "gpt-4o-2024-08-06"


@pytest.mark.parametrize("other", [[], [("client", 3, USED)]])
def test_a_span_of_no_tokens_at_all_is_not_the_call_that_spans_with_tokens_tell_of(
    world: World, otlp: Any, other: list[tuple[str, int, dict[str, Any]]]
) -> None:
    """OpenLLMetry below a framework: it says 0 of a response that it cannot read, beside the client's own."""
    trace = world.new()
    unnamed = {"gen_ai.prompt.name": None, "gen_ai.prompt.version": None}
    framework = otlp.call(trace, 1, 9, (23, 5), **timed(otlp, 0, 50))
    empty = otlp.call(trace, 2, 1, (0, 0), unnamed, **timed(otlp, 10, 40))
    below = [
        (scope, [otlp.call(trace, span, 1, (23, 5), said | unnamed, **timed(otlp, 20, 30))])
        for scope, span, said in other
    ]
    counted = other[0][1] if other else 1
    roles = world.roles(world.scoped(("framework", [framework]), ("empty", [empty]), *below), traces=[trace])
    assert [span for span, (role, _) in roles.items() if role == "leaf"] == [counted]
    assert {told for _, told in roles.values()} == {None, counted}
    (call,) = world.calls(trace)
    assert (call["prompt_name"], call["input_tokens"], call["output_tokens"]) == ("answer", 23, 5)


def test_a_text_that_the_framework_names_wins_over_the_same_text_without_a_name(
    world: World, otlp: Any
) -> None:
    trace = world.new()
    said = json.dumps([{"role": "system", "parts": [{"type": "text", "content": "You sell lamps."}]}])
    derived = {
        "gen_ai.prompt.name": "answer",
        "gen_ai.prompt.version": "text-0123456789ab",
        "tupletrace.prompt.provenance": "derived",
    }
    unnamed = {"gen_ai.prompt.name": None, "gen_ai.prompt.version": None, "gen_ai.input.messages": said}
    framework = otlp.call(trace, 1, 9, (100, 20), derived, **timed(otlp, 0, 50))
    client = otlp.call(trace, 2, 1, (100, 20), USED | unnamed, **timed(otlp, 10, 40))
    world.roles(world.scoped(("framework", [framework]), ("client", [client])), traces=[trace])
    (call,) = world.calls(trace)
    assert (call["prompt_name"], call["prompt_version"]) == ("answer", "text-0123456789ab")


@pytest.mark.parametrize(
    "other",
    [
        {"gen_ai.request.model": "gpt-4o-mini"},
        {"gen_ai.usage.input_tokens": 101},
        {"gen_ai.operation.name": "embeddings"},
        {"gen_ai.response.id": "r2"},
    ],
)
def test_what_contradicts_is_another_call(world: World, otlp: Any, other: dict[str, Any]) -> None:
    trace = world.new()
    first = otlp.call(trace, 1, 9, (100, 20), {"gen_ai.response.id": "r1"}, **timed(otlp, 0, 50))
    second = otlp.call(trace, 2, 9, (100, 20), other, **timed(otlp, 10, 40))
    request = world.scoped(("framework", [first]), ("client", [second]))
    assert world.roles(request, traces=[trace]) == {1: ("leaf", None), 2: ("leaf", None)}


def asks(*said: tuple[str, str]) -> dict[str, str]:
    parts = [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in said]
    return {"gen_ai.input.messages": json.dumps(parts)}


@pytest.mark.parametrize(
    ("framework", "client", "ends", "calls"),
    [
        (asks(("system", "S"), ("user", "Where?")), asks(("user", "When?")), 40, 2),
        (asks(("system", "S"), ("user", "Where?")), asks(("user", "Where? ")), 60, 1),
        (asks(("user", "Where?")), asks(("user", "Answer this: Where?"), ("tool", "x")), 40, 1),
        (asks(("user", "Where?")), asks(("user", "__REDACTED__")), 40, 1),
        (asks(("user", "Where?")), {"gen_ai.input.messages": '[{"role": "us'}, 40, 1),
        ({}, asks(("user", "When?")), 40, 1),
        ({}, {}, 40, 1),
        ({}, {}, 60, 2),
    ],
)
def test_a_clients_call_without_usage_is_the_frameworks_unless_it_asked_something_else_or_outlasts_it(
    world: World, otlp: Any, framework: dict[str, Any], client: dict[str, Any], ends: int, calls: int
) -> None:
    trace = world.new()
    outer = otlp.call(trace, 1, 9, (100, 20), framework, **timed(otlp, 0, 50))
    inner = otlp.call(trace, 2, 9, None, USED | client, **timed(otlp, 10, ends))
    world.roles(world.scoped(("framework", [outer]), ("client", [inner])), traces=[trace])
    assert len(world.calls(trace)) == calls


def test_a_streams_opening_is_the_next_call_that_asked_the_same(world: World, otlp: Any) -> None:
    trace = world.new()
    where, when = asks(("user", "Where?")), asks(("user", "When?"))
    openings = [
        otlp.call(trace, i, 9, None, asked, name="OpenAI.astream_chat", **timed(otlp, i, i + 1))
        for i, asked in ((1, where), (3, when))
    ]
    client = otlp.call(trace, 5, 9, (100, 20), USED | where, name="ChatCompletion", **timed(otlp, 5, 40))
    roles = world.roles(world.scoped(("llama", openings), ("client", [client])), traces=[trace])
    assert roles == {1: ("duplicate", 5), 3: ("leaf", None), 5: ("leaf", None)}


def test_calls_of_one_library_at_the_same_time_are_several(world: World, otlp: Any) -> None:
    trace = world.new()
    calls = [otlp.call(trace, i, 9, (100, 20), **timed(otlp, i, 50 + i)) for i in (1, 2, 3)]
    assert set(world.roles(world.scoped(("client", calls)), traces=[trace]).values()) == {("leaf", None)}


def test_frameworks_calls_at_the_same_time_are_as_many_as_the_clients(world: World, otlp: Any) -> None:
    trace = world.new()
    outer = [otlp.call(trace, i, 9, (100, 20), **timed(otlp, i, 50 + i)) for i in (1, 2, 3)]
    inner = [otlp.call(trace, i, 9, (100, 20), **timed(otlp, i, 40 + i)) for i in (11, 12, 13)]
    roles = world.roles(world.scoped(("framework", outer), ("client", inner)), traces=[trace])
    assert sorted(i for i, (role, _) in roles.items() if role == "leaf") == [11, 12, 13]


def test_the_outer_span_knows_the_tokens_of_a_stream(world: World, otlp: Any) -> None:
    trace = world.new()
    outer = otlp.call(trace, 1, 9, (100, 20), **timed(otlp, 0, 50))
    inner = otlp.call(trace, 2, 9, None, USED, **timed(otlp, 10, 40))
    roles = world.roles(world.scoped(("framework", [outer]), ("client", [inner])), traces=[trace])
    assert roles == {1: ("leaf", None), 2: ("duplicate", 1)}
    assert world.calls(trace)[0]["response_id"] == "r1"


def test_the_opening_of_a_stream_is_the_call_that_follows_beside_it(world: World, otlp: Any) -> None:
    """LlamaIndex: the generator is returned before the request is sent."""
    trace = world.new()
    opening = otlp.call(trace, 1, 9, None, name="OpenAI.astream_chat", **timed(otlp, 0, 2))
    client = otlp.call(trace, 2, 9, None, USED, name="ChatCompletion", **timed(otlp, 5, 40))
    roles = world.roles(world.scoped(("llama", [opening]), ("client", [client])), traces=[trace])
    assert roles == {1: ("duplicate", 2), 2: ("leaf", None)}


@pytest.mark.parametrize("code", [Status.STATUS_CODE_OK, Status.STATUS_CODE_ERROR])
def test_a_stream_that_is_said_to_end_where_it_was_opened_ran_until_its_last_event(
    world: World, otlp: Any, code: Any
) -> None:
    """OpenInference's spans of LlamaIndex, beside a library with a tree of its own."""
    trace = world.new()
    event = Span.Event(name="First Token Stream Event", time_unix_nano=otlp.noon + 40 * MS)
    kinds: dict[str, Any] = {"status": Status(code=code)}
    opening = otlp.call(trace, 1, 8, None, events=[event], **kinds, **timed(otlp, 0, 2))
    answer = {} if code == Status.STATUS_CODE_ERROR else USED
    client = otlp.call(trace, 2, 9, None, answer, **kinds, **timed(otlp, 5, 40))
    world.roles(world.scoped(("llama", [opening]), ("client", [client])), traces=[trace])
    assert len(world.calls(trace)) == 1


def test_an_agents_sum_is_a_rollup_and_so_is_a_call_around_several(world: World, otlp: Any) -> None:
    trace = world.new()
    agent = otlp.call(trace, 1, None, (300, 60), {"gen_ai.operation.name": "invoke_agent"})
    outer = otlp.call(trace, 2, 1, (300, 60))
    roles = world.roles(
        otlp.request(agent, outer, *(otlp.call(trace, i, 2, (100, 20)) for i in (3, 4, 5))), traces=[trace]
    )
    assert (roles[1], roles[2]) == (("rollup", None), ("rollup", None))
    assert {roles[i] for i in (3, 4, 5)} == {("leaf", None)}


def test_a_response_that_is_fetched_again_is_counted_once(world: World, otlp: Any) -> None:
    trace = world.new()
    call = otlp.call(trace, 1, attributes=USED)
    fetch = otlp.call(trace, 2, attributes=USED | {"gen_ai.operation.name": "fetch_response"})
    roles = world.roles(otlp.request(call, fetch), traces=[trace])
    assert roles == {1: ("leaf", None), 2: ("duplicate", 1)}


def test_a_response_made_in_the_background_counts_once_with_the_tokens_that_its_fetch_brings(
    world: World, otlp: Any
) -> None:
    trace, alone = world.new(), world.new()
    made = {"gen_ai.response.id": "r1", "gen_ai.prompt.name": "p", "gen_ai.prompt.version": "3"}
    brought = {"gen_ai.operation.name": "fetch_response", "gen_ai.response.id": "r1"}
    tokens = brought | {"tupletrace.usage.input_tokens": 7, "tupletrace.usage.output_tokens": 3}
    create = otlp.call(trace, 1, None, None, made, **timed(otlp, 0, 1))
    polls = [otlp.span(trace, 2 + i, None, brought, **timed(otlp, 2 + i, 3 + i)) for i in range(2)]
    fetch = otlp.span(trace, 4, None, tokens, **timed(otlp, 5, 6))
    again = otlp.span(alone, 5, None, tokens, **timed(otlp, 5, 6))
    roles = world.roles(otlp.request(create, *polls, fetch, again), traces=[trace, alone])
    assert roles == {1: ("duplicate", 4), 4: ("leaf", None), 5: ("leaf", None)}
    (call,) = world.calls(trace)
    assert (call["operation_name"], call["input_tokens"], call["output_tokens"]) == ("chat", 7, 3)
    assert (call["prompt_name"], call["prompt_version"]) == ("p", "3")


def test_one_id_for_two_answers_is_two_calls(world: World, otlp: Any) -> None:
    """A fake model that gives every response the same id."""
    trace = world.new()
    ends = [USED | {"gen_ai.response.finish_reasons": [why]} for why in ("tool_calls", "stop")]
    roles = world.roles(
        otlp.request(*(otlp.call(trace, i, 9, attributes=end) for i, end in enumerate(ends, 1))),
        traces=[trace],
    )
    assert roles == {1: ("leaf", None), 2: ("leaf", None)}


def test_a_clients_span_in_a_trace_of_its_own_is_the_frameworks_call(world: World, otlp: Any) -> None:
    """MLflow: a stream's client span loses its parent."""
    trace, alone = world.new(), world.new()
    asked = {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 4711}
    outer = otlp.call(trace, 1, 9, (4711, 20), asked, name="ChatOpenAI", **timed(otlp, 0, 50))
    client = otlp.call(alone, 2, None, (4711, 20), asked | USED, name="Completions", **timed(otlp, 10, 40))
    roles = world.roles(otlp.request(outer), otlp.request(client), traces=[trace, alone])
    assert roles == {1: ("leaf", None), 2: ("duplicate", 1)}
    assert world.calls(trace)[0]["response_model"] == "gpt-4o-2024-08-06"
    assert world.calls(alone) == []


@pytest.mark.parametrize("late", ["client", "framework"])
def test_the_late_half_of_a_call_opens_the_other_halfs_trace(world: World, otlp: Any, late: str) -> None:
    trace, alone = world.new(), world.new()
    used = (10_000 + trace, 20)
    halves = {
        "framework": otlp.call(trace, 1, 9, used, name="ChatOpenAI", **timed(otlp, 0, 50)),
        "client": otlp.call(alone, 2, None, used, USED, name="Completions", **timed(otlp, 10, 40)),
    }
    last = halves.pop(late)
    world.database.insert(otlp.request(*halves.values()))
    world.database.store.settle(0)
    assert world.roles(otlp.request(last), traces=[trace, alone]) == {1: ("leaf", None), 2: ("duplicate", 1)}


@pytest.mark.parametrize(("outer_parent", "inner_parent"), [(None, None), (8, None), (8, 9), (None, 9)])
def test_one_response_that_two_libraries_tell_of_in_two_traces_is_one_call(
    world: World, otlp: Any, outer_parent: int | None, inner_parent: int | None
) -> None:
    """OpenInference: LangChain's tracer begins a trace of its own beside the client's."""
    trace, other = world.new(), world.new()
    said = {"gen_ai.response.id": f"chatcmpl-{trace}"}
    outer = otlp.call(trace, 1, outer_parent, (100, 20), said, **timed(otlp, 0, 50))
    more = said | {"gen_ai.agent.name": "x"}
    inner = otlp.call(other, 2, inner_parent, (100, 20), more, **timed(otlp, 9, 60))
    above = [otlp.span(trace, 8, **timed(otlp, 0, 99)), otlp.span(other, 9, **timed(otlp, 0, 99))]
    bodies = world.scoped(("framework", [outer, above[0]])), world.scoped(("client", [inner, above[1]]))
    roles = world.roles(*bodies, traces=[trace, other])
    assert roles == {1: ("leaf", None), 2: ("duplicate", 1)}
    query = "SELECT duplicate_of_trace_id AS trace FROM usage_roles WHERE trace_id = ?"
    assert world.database.row(query, [f"{other:032x}"])["trace"] == f"{trace:032x}"
    assert [call["agent_name"] for call in world.calls(trace)] == ["x"]
    assert world.calls(other) == []


def test_a_response_that_is_fetched_again_and_told_in_another_trace_too_is_one_call(
    world: World, otlp: Any
) -> None:
    """A gateway's span lost its parent; what counts in the trace of the client fetched the response again."""
    trace, other = world.new(), world.new()
    said = {"gen_ai.response.id": f"chatcmpl-{trace}"}
    client = otlp.call(trace, 1, None, (100, 20), said, **timed(otlp, 0, 50))
    again = otlp.call(trace, 2, None, (100, 20), said, **timed(otlp, 60, 61))
    proxy = otlp.call(other, 3, None, (100, 20), said, **timed(otlp, 9, 40))
    upstream = otlp.call(other, 4, 3, (100, 20), **timed(otlp, 10, 39))
    late = world.scoped(("gateway", [proxy, upstream]))
    world.database.insert(world.scoped(("client", [client, again])))
    roles = world.roles(late, traces=[trace, other])
    assert roles == {1: ("duplicate", 2), 2: ("leaf", None), 3: ("duplicate", 2), 4: ("duplicate", 2)}
    assert len(world.calls(trace)) == 1


def test_a_failed_call_that_two_libraries_tell_of_in_two_traces_is_one(world: World, otlp: Any) -> None:
    """There is no response to know it by: the client's span is alone, and in time within the framework's."""
    trace, other = world.new(), world.new()
    failed: dict[str, Any] = {"status": {"code": 2}}
    outer = otlp.call(trace, 1, 9, None, **timed(otlp, 0, 50), **failed)
    inner = otlp.call(other, 2, None, None, **timed(otlp, 9, 40), **failed)
    bodies = world.scoped(("framework", [outer])), world.scoped(("client", [inner]))
    assert world.roles(*bodies, traces=[trace, other]) == {1: ("leaf", None), 2: ("duplicate", 1)}


@pytest.mark.parametrize("late", [0, 1])
def test_the_late_half_of_a_response_opens_the_other_trace(world: World, otlp: Any, late: int) -> None:
    trace, other = world.new(), world.new()
    said = {"gen_ai.response.id": f"chatcmpl-{trace}"}
    outer = otlp.call(trace, 1, None, None, said, **timed(otlp, 0, 50))
    inner = otlp.call(other, 2, None, (100, 20), said, **timed(otlp, 9, 40))
    bodies = [world.scoped(("framework", [outer])), world.scoped(("client", [inner]))]
    last = bodies.pop(late)
    world.database.insert(*bodies)
    world.database.store.settle(0)
    assert world.roles(last, traces=[trace, other]) == {1: ("leaf", None), 2: ("duplicate", 1)}
    (call,) = world.calls(trace)
    assert (call["input_tokens"], call["output_tokens"]) == (100, 20), "filled by whoever knows"


def test_a_provider_that_gives_every_response_one_id_has_all_its_calls_counted(
    world: World, otlp: Any
) -> None:
    traces = [world.new() for _ in range(3)]
    ids = {"gen_ai.response.id": f"fake-{traces[0]}"}
    times = [(0, 50), (10, 40), (60, 90)]
    calls = [
        otlp.call(trace, i, None, (100, 20), ids, **timed(otlp, *times[i - 1]))
        for i, trace in enumerate(traces, 1)
    ]
    scoped = [("one", calls[:2]), ("other", calls[2:])]
    assert set(world.roles(world.scoped(*scoped), traces=traces).values()) == {("leaf", None)}


RUN = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "guide"}


def test_an_agents_run_with_no_call_below_is_the_call(world: World, otlp: Any) -> None:
    """An assistant's, or a remote agent's: the provider calls the model."""
    trace = world.new()
    outer, run = otlp.call(trace, 1, None, (300, 60), RUN), otlp.call(trace, 2, 1, (300, 60), RUN)
    tool = otlp.span(trace, 3, 2, {"gen_ai.operation.name": "execute_tool"})
    roles = world.roles(otlp.request(outer, run, tool), traces=[trace])
    assert roles == {1: ("rollup", None), 2: ("leaf", None)}
    (call,) = world.calls(trace)
    assert (call["operation_name"], call["agent_name"], call["input_tokens"]) == (
        "invoke_agent",
        "guide",
        300,
    )
    assert call["cost_status"] == "priced"


@pytest.mark.parametrize("usage", [(100, 20), None])
def test_an_agents_run_above_one_call_is_no_call_however_deep_that_is(
    world: World, otlp: Any, usage: tuple[int, int] | None
) -> None:
    trace = world.new()
    run = otlp.call(trace, 1, None, (300, 60), RUN | {"gen_ai.usage.cache_read.input_tokens": 200})
    between = [otlp.span(trace, i, i - 1) for i in range(2, 30)]
    call = otlp.call(trace, 30, 29, usage)
    roles = world.roles(otlp.request(run, *between, call), traces=[trace])
    assert roles == {1: ("rollup", None), 30: ("leaf", None)}
    (counted,) = world.calls(trace)
    assert (counted["cache_read_tokens"], counted["usage_status"]) == (
        None,
        "reported" if usage else "absent",
    )


def test_requests_of_the_same_size_in_traces_of_their_own_are_all_counted(world: World, otlp: Any) -> None:
    traces = [world.new() for _ in range(3)]
    calls = [otlp.call(t, i, None, (5000, 5), **timed(otlp, i, 90 - i)) for i, t in enumerate(traces, 1)]
    assert set(world.roles(otlp.request(*calls), traces=traces).values()) == {("leaf", None)}


@pytest.mark.parametrize(
    ("attributes", "tokens", "status"),
    [
        ({"gen_ai.usage.input_tokens": 100}, (100, 36, 64), "reported"),
        ({"gen_ai.usage.input_tokens": 36}, (100, 36, 64), "reported"),
        ({"gen_ai.usage.input_tokens": 90, "gen_ai.usage.total_tokens": 174}, (154, 90, 64), "reported"),
        ({"gen_ai.usage.input_tokens": 90, "gen_ai.application_name": "x"}, (154, 90, 64), "reported"),
        ({"gen_ai.usage.input_tokens": 90, "gen_ai.span.kind": "LLM"}, (90, 26, 64), "ambiguous"),
    ],
)
def test_cached_tokens_are_told_apart_whether_the_input_includes_them_or_not(
    world: World, otlp: Any, attributes: dict[str, Any], tokens: tuple[int, ...], status: str
) -> None:
    trace = world.new()
    said = {"gen_ai.provider.name": "anthropic", "gen_ai.usage.cache_read.input_tokens": 64}
    world.database.insert(otlp.request(otlp.call(trace, 1, None, (0, 20), said | attributes)))
    (call,) = world.calls(trace)
    columns = ("input_tokens", "input_uncached_tokens", "cache_read_tokens")
    assert (tuple(call[column] for column in columns), call["usage_status"]) == (tokens, status)


@pytest.mark.parametrize(
    ("attributes", "tokens", "status"),
    [
        ({"gen_ai.usage.total_tokens": 128}, (28, 20, 8), "reported"),
        ({"gen_ai.usage.total_tokens": 120}, (20, 12, 8), "reported"),
        ({}, (20, 12, 8), "reported"),
        ({"gen_ai.provider.name": "x_ai"}, (20, 12, 8), "ambiguous"),
        ({"gen_ai.provider.name": "x_ai", "gen_ai.usage.output_tokens": 5}, (13, 5, 8), "reported"),
        ({"gen_ai.usage.output_tokens": 5}, (5, -3, 8), "inconsistent"),
    ],
)
def test_reasoning_tokens_are_told_apart_whether_the_output_includes_them_or_not(
    world: World, otlp: Any, attributes: dict[str, Any], tokens: tuple[int, ...], status: str
) -> None:
    trace = world.new()
    said = {"gen_ai.usage.reasoning.output_tokens": 8, "gen_ai.application_name": "x"}
    world.database.insert(otlp.request(otlp.call(trace, 1, None, (100, 20), said | attributes)))
    (call,) = world.calls(trace)
    columns = ("output_tokens", "output_text_tokens", "reasoning_tokens")
    assert (tuple(call[column] for column in columns), call["usage_status"]) == (tokens, status)
