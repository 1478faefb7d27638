"""Traces end in the same calls, tuple and coverage however their spans arrive; nothing is counted twice."""

import random
from collections.abc import Callable
from typing import Any

import pytest

VIEWS = {
    "llm_calls": "SELECT * FROM llm_calls",
    "traces": "SELECT * EXCLUDE (complete) FROM traces",
    "trace_layers": "SELECT * FROM trace_layers",
    "tuples": "SELECT trace_id, members.* FROM tuples AS members JOIN traces USING (tuple_id)",
}


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    return open_database()


class Traces:
    """New trace ids in a database that is shared, and the rows of one trace."""

    count = 0

    def __init__(self, database: Any, otlp: Any) -> None:
        self.database, self.otlp = database, otlp

    def new(self) -> int:
        Traces.count += 1
        return Traces.count

    def insert(self, *spans: Any) -> None:
        self.database.insert(self.otlp.request(*spans))

    def settle(self) -> None:
        self.database.store.settle(0)

    def of(self, trace: int) -> dict[str, Any]:
        return self.database.row("SELECT * FROM traces WHERE trace_id = ?", [f"{trace:032x}"])

    def calls(self, *groups: list[Any]) -> list[list[int]]:
        """Insert the spans of some traces, a group each; return the numbers of those that are LLM calls."""
        self.insert(*(span for group in groups for span in group))
        ids = [group[0].trace_id.hex() for group in groups]
        live = self._call_ids(ids)
        self.settle()
        assert self._call_ids(ids) == live
        return [live[trace_id] for trace_id in ids]

    def _call_ids(self, ids: list[str]) -> dict[str, list[int]]:
        found = {trace_id: list[int]() for trace_id in ids}
        for row in self.database.rows("SELECT trace_id, span_id FROM llm_calls ORDER BY span_id"):
            if row["trace_id"] in found:
                found[row["trace_id"]].append(int(row["span_id"], 16))
        return found

    def settled(self, *groups: list[Any]) -> list[dict[str, Any]]:
        """Insert the spans of some traces, a group each; return their rows, live as settled."""
        self.insert(*(span for group in groups for span in group))
        ids = [group[0].trace_id.hex() for group in groups]
        live = {row["trace_id"]: row for row in self.database.rows("FROM traces")}
        self.settle()
        after = {row["trace_id"]: row for row in self.database.rows("FROM traces")}
        for trace_id in ids:
            assert live[trace_id] == after[trace_id] | {"complete": False}
        return [after[trace_id] for trace_id in ids]

    def rows(self, *traces: int) -> list[dict[str, list[str]]]:
        """Every row about each of these traces but for its id, in an order of its own."""
        found = {f"{trace:032x}": {view: list[str]() for view in VIEWS} for trace in traces}
        for view, query in VIEWS.items():
            for row in self.database.rows(query):
                if (trace_id := row.pop("trace_id")) in found:
                    found[trace_id][view].append(str(row))
        return [{view: sorted(rows) for view, rows in one.items()} for one in found.values()]


@pytest.fixture(scope="module")
def traces(database: Any, otlp: Any) -> Traces:
    return Traces(database, otlp)


def agent(otlp: Any, trace: int) -> list[Any]:
    """A trace that holds everything: agent, wrapped and doubled calls, tools, retrieval, evaluation."""
    tools = {"tupletrace.tools.names": ["a"], "tupletrace.tools.version": "tools-1"}
    day = 86_400_000_000_000
    spans = [
        otlp.span(trace, 1, None, {"http.route": "/ask"}, name="POST /ask", end=otlp.noon + 20_000_000),
        otlp.span(trace, 2, 1, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"}),
        otlp.call(trace, 3, 2, (30, 15), name="framework"),
        otlp.call(trace, 4, 3, (30, 15), tools | {"gen_ai.response.model": "gpt-4o-2024-08-06"}),
        otlp.span(trace, 5, 2, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "a"}),
        otlp.span(trace, 6, 5, {"gen_ai.operation.name": "retrieval", "tupletrace.retriever.name": "faq",
                                "tupletrace.retriever.version": "retriever-1"}),
        otlp.call(trace, 7, 6, (100, None), {"gen_ai.operation.name": "embeddings",
                                             "gen_ai.request.model": "text-embedding-3-small"}),
        otlp.call(trace, 8, 2, (40, 25), {"gen_ai.response.id": "r1", "gen_ai.prompt.version": "4"}),
        otlp.call(trace, 9, 2, (40, 25), {"gen_ai.response.id": "r1"}),
        otlp.call(trace, 10, 2, ("many", 25), {"gen_ai.prompt.name": None, "gen_ai.prompt.version": None}),
        otlp.span(trace, 11, 99, name="orphan", start=otlp.noon + day),
        otlp.span(trace, 12, 2, name="early", start=otlp.noon - day),
    ]  # fmt: skip
    judged = spans[7].events.add(name="gen_ai.evaluation.result", time_unix_nano=otlp.noon)
    judged.attributes.extend(otlp.key_values({"gen_ai.evaluation.name": "good"}))
    return spans


@pytest.mark.parametrize("seed", range(3))
def test_any_partition_order_and_repetition_of_spans_ends_in_the_same_rows(
    traces: Traces, otlp: Any, seed: int
) -> None:
    """F15, F17: many traces at once, each in an order of its own, some spans again, settled now and then."""
    usual = traces.new()
    traces.insert(*agent(otlp, usual))
    traces.settle()
    (expected,) = traces.rows(usual)
    assert all(expected.values())

    chance = random.Random(seed)
    shuffled = {}
    for trace in [traces.new() for _ in range(25)]:
        spans = agent(otlp, trace)
        shuffled[trace] = [*spans, *chance.choices(spans, k=chance.randrange(8))]
        chance.shuffle(shuffled[trace])
    while any(shuffled.values()):
        batch = []
        for left in shuffled.values():
            size = chance.randrange(7)
            batch += left[:size]
            del left[:size]
        chance.shuffle(batch)
        traces.insert(*batch)
        if chance.random() < 0.5:
            traces.settle()
    for when in ("while they are open", "when they have settled"):
        assert [rows for rows in traces.rows(*shuffled) if rows != expected] == [], when
        traces.settle()
    left_behind = "SELECT tuple_id FROM tuples EXCEPT SELECT tuple_id FROM traces"
    assert traces.database.rows(left_behind) == [], "a tuple of a trace that was not all there"


def test_a_late_span_opens_a_settled_trace_again(traces: Traces, otlp: Any) -> None:
    trace = traces.new()
    traces.insert(otlp.span(trace, 1), otlp.call(trace, 2, 1))
    traces.settle()
    settled = traces.of(trace)
    assert (settled["spans"], settled["llm_calls"], settled["complete"]) == (2, 1, True)
    traces.insert(otlp.call(trace, 3, 1, start=otlp.noon + 100 * 86_400_000_000_000))
    reopened = traces.of(trace)
    assert (reopened["spans"], reopened["llm_calls"], reopened["complete"]) == (3, 2, False)
    assert reopened["cost_usd"] == 2 * settled["cost_usd"]
    traces.settle()
    assert traces.of(trace) == reopened | {"complete": True}


def test_a_trace_is_complete_when_its_root_came_and_it_was_quiet(traces: Traces, otlp: Any) -> None:
    trace = traces.new()
    traces.insert(otlp.call(trace, 2, 1))
    assert not traces.of(trace)["complete"]
    traces.settle()
    assert not traces.of(trace)["complete"], "its root never came"
    traces.insert(otlp.span(trace, 1, name="root"))
    traces.database.store.settle(60_000)
    assert not traces.of(trace)["complete"], "it was not quiet for so long"
    traces.settle()
    assert traces.of(trace)["complete"]


def test_only_quiet_traces_settle(traces: Traces, otlp: Any) -> None:
    before, after = traces.new(), traces.new()
    traces.insert(otlp.span(before))
    traces.settle()
    traces.insert(otlp.span(after))
    traces.database.store.settle(60_000)
    assert traces.of(before)["complete"]
    assert not traces.of(after)["complete"]


def test_a_framework_span_around_a_client_span_is_one_call(traces: Traces, otlp: Any) -> None:
    """The inner one, unless only the outer one knows what was used; also with other spans between them."""
    usage = (10, 5)
    groups, expected = [], []
    for outer, inner, call in [(usage, usage, 2), (None, usage, 2), (usage, None, 1), (None, None, 2)]:
        near, far = traces.new(), traces.new()
        groups.append([otlp.call(near, 1, None, outer), otlp.call(near, 2, 1, inner)])
        between = [otlp.span(far, 3, 1), otlp.span(far, 4, 3)]
        groups.append([otlp.call(far, 1, None, outer), *between, otlp.call(far, 2, 4, inner)])
        expected += [[call], [call]]
    assert traces.calls(*groups) == expected


def test_calls_are_counted_whatever_is_above_them(traces: Traces, otlp: Any) -> None:
    new = traces.new
    agent = {"gen_ai.operation.name": "invoke_agent"}
    embeddings = {"gen_ai.operation.name": "embeddings"}
    cases = {
        "a wrapper of several calls is none": lambda t: (
            [otlp.call(t, 1), otlp.call(t, 2, 1), otlp.call(t, 3, 1)],
            [2, 3],
        ),
        "each attempt below a wrapper is a call": lambda t: (
            [otlp.call(t, 1), otlp.call(t, 2, 1, None), otlp.call(t, 3, 1)],
            [2, 3],
        ),
        "wrappers in wrappers are one call": lambda t: (
            [otlp.call(t, 1), otlp.call(t, 2, 1, None), otlp.call(t, 3, 2)],
            [3],
        ),
        "an embedding below a chat, as of a semantic cache, is another call": lambda t: (
            [otlp.call(t, 1), otlp.call(t, 2, 1, (7, None), embeddings)],
            [1, 2],
        ),
        "a span below itself is a call (F19)": lambda t: ([otlp.call(t, 1, 1)], [1]),
        "spans below each other are calls (F19)": lambda t: (
            [otlp.call(t, 1, 2), otlp.call(t, 2, 1)],
            [1, 2],
        ),
        "an agent's rollup is none": lambda t: (
            [otlp.call(t, 1, None, (99, 99), agent), otlp.call(t, 2, 1)],
            [2],
        ),
    }
    made = {said: make(new()) for said, make in cases.items()}
    found = traces.calls(*(spans for spans, _ in made.values()))
    assert dict(zip(made, found, strict=True)) == {said: calls for said, (_, calls) in made.items()}


def test_spans_with_one_response_id_are_one_call_of_their_trace(traces: Traces, otlp: Any) -> None:
    trace, other = traces.new(), traces.new()
    same = {"gen_ai.response.id": "resp_1"}
    spans = [*(otlp.call(trace, i, attributes=same) for i in (1, 2, 3)), otlp.call(trace, 4)]
    first, second = traces.calls(spans, [otlp.call(other, 1, attributes=same)])
    assert (len(first), 4 in first, second) == (2, True, [1])


def test_equal_ids_with_another_start_are_two_spans_and_two_calls(traces: Traces, otlp: Any) -> None:
    """F16: programs that call random.seed() use the same ids in every run."""
    trace = traces.new()
    first, second = (otlp.call(trace, 1, start=otlp.noon + run * 1000) for run in (0, 1))
    traces.insert(first)
    assert traces.calls([second, first, second]) == [[1, 1]]
    found = traces.of(trace)
    assert (found["spans"], found["llm_calls"], str(found["cost_usd"])) == (2, 2, "0.000150000000")


def layers(traces: Traces, *spans: Any) -> dict[str, Any]:
    (found,) = traces.settled(list(spans))
    return found


def test_layers_that_took_no_part_are_not_applicable(traces: Traces, otlp: Any) -> None:
    found = layers(traces, otlp.call(traces.new()))
    states = [found[f"{layer}_state"] for layer in ("model", "prompt", "retriever", "tools", "evaluator")]
    assert states == ["declared", "declared", "not_applicable", "not_applicable", "not_applicable"]
    assert found["covered"]


def test_a_trace_without_llm_calls_has_no_tuple_and_is_not_counted(traces: Traces, otlp: Any) -> None:
    found = layers(traces, otlp.span(traces.new(), name="health check"))
    assert (found["tuple_id"], found["covered"], found["cost_status"]) == (None, None, None)
    assert found["llm_calls"] == 0
    assert traces.database.rows("SELECT * FROM tuple_coverage WHERE route = 'health check'") == []
    assert traces.database.rows("SELECT * FROM trace_costs WHERE route = 'health check'") == []


def test_a_layer_is_declared_derived_or_missing_as_the_call_says(traces: Traces, otlp: Any) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("model", {}, "declared"),
        ("model", {"gen_ai.request.model": None}, "missing"),
        ("model", {"gen_ai.request.model": None, "gen_ai.response.model": "gpt-4o"}, "declared"),
        ("prompt", {}, "declared"),
        ("prompt", {"tupletrace.prompt.provenance": "derived"}, "derived"),
        ("prompt", {"gen_ai.prompt.version": None}, "missing"),
        ("prompt", {"gen_ai.prompt.name": None}, "declared"),
        ("tools", {"tupletrace.tools.version": "tools-1"}, "derived"),
    ]
    found = traces.settled(*([otlp.call(traces.new(), attributes=said)] for _, said, _ in cases))
    for (layer, said, state), row in zip(cases, found, strict=True):
        assert (row[f"{layer}_state"], row["covered"]) == (state, state != "missing"), said


def test_a_retrieval_says_its_retriever_and_a_call_its_tools_or_they_are_missing(
    traces: Traces, otlp: Any
) -> None:
    """A tool that ran and was offered by no call is missing too."""
    search, tool = {"gen_ai.operation.name": "retrieval"}, {"gen_ai.operation.name": "execute_tool"}
    offered = {"tupletrace.tools.version": "tools-1"}
    cases: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
        ("retriever", {}, search | {"tupletrace.retriever.version": "retriever-1"}, "derived"),
        ("retriever", {}, search | {"gen_ai.data_source.id": "faq"}, "missing"),
        ("tools", {}, tool, "missing"),
        ("tools", offered, tool, "derived"),
    ]
    groups = [
        [otlp.call(trace, attributes=call), otlp.span(trace, 2, 1, below)]
        for _, call, below, _ in cases
        for trace in [traces.new()]
    ]
    for (layer, *_, state), row in zip(cases, traces.settled(*groups), strict=True):
        assert (row[f"{layer}_state"], row["covered"]) == (state, state != "missing")


@pytest.mark.parametrize(("version", "state"), [("2", "declared"), (None, "missing")])
def test_an_evaluation_makes_the_evaluator_a_layer(
    traces: Traces, otlp: Any, version: str | None, state: str
) -> None:
    call = otlp.call(traces.new())
    said = {"gen_ai.evaluation.name": "relevance", "tupletrace.evaluator.name": "judge"}
    said |= {"gen_ai.evaluation.score.value": 0.5, "gen_ai.evaluation.score.label": "pass"}
    said |= {"tupletrace.evaluator.version": version} if version else {}
    event = call.events.add(name="gen_ai.evaluation.result", time_unix_nano=otlp.noon)
    event.attributes.extend(otlp.key_values(said))
    found = layers(traces, call)
    assert (found["evaluator_state"], found["covered"]) == (state, state != "missing")
    traces.insert(call)
    (row,) = traces.database.rows("FROM evaluations WHERE trace_id = ?", [found["trace_id"]])
    assert (row["score_value"], row["passed"], row["evaluator_version"]) == (0.5, True, version)


def test_one_missing_member_makes_the_layer_missing(traces: Traces, otlp: Any) -> None:
    trace = traces.new()
    without = otlp.call(trace, 2, attributes={"gen_ai.prompt.version": None})
    derived = otlp.call(trace, 3, attributes={"tupletrace.prompt.provenance": "derived"})
    found = layers(traces, otlp.call(trace, 1), without, derived)
    assert (found["prompt_state"], found["covered"]) == ("missing", False)
    query = "SELECT DISTINCT reason FROM trace_layers WHERE trace_id = ? AND provenance = 'missing'"
    (row,) = traces.database.rows(query, [found["trace_id"]])
    assert "prompt" in row["reason"]


def test_an_embedding_needs_no_prompt(traces: Traces, otlp: Any) -> None:
    attributes = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.prompt.name": None,
        "gen_ai.prompt.version": None,
    }
    found = layers(traces, otlp.call(traces.new(), attributes=attributes))
    assert (found["model_state"], found["prompt_state"], found["covered"]) == (
        "declared",
        "not_applicable",
        True,
    )


def test_the_tuple_id_depends_on_layers_names_and_versions_alone(
    traces: Traces, otlp: Any, open_database: Callable[..., Any]
) -> None:
    """Not on ids, times, order, route, tokens or provenance; and it is the same in every database."""
    usual, shuffled = agent(otlp, traces.new()), agent(otlp, traces.new())
    random.Random(1).shuffle(shuffled)
    other = Traces(open_database(), otlp)
    rows = [*traces.settled(usual, shuffled), *other.settled(agent(otlp, 4711))]
    assert len({row["tuple_id"] for row in rows}) == 1

    same = [
        otlp.call(traces.new()),
        otlp.call(traces.new(), 5, 4, (1, 2), {"gen_ai.conversation.id": "c"}, start=1, name="x"),
        otlp.call(traces.new(), attributes={"tupletrace.prompt.provenance": "derived"}),
    ]
    (plain,) = {row["tuple_id"] for row in traces.settled(*([span] for span in same))}
    different: list[dict[str, Any]] = [
        {"gen_ai.request.model": "gpt-4o-mini"},
        {"gen_ai.response.model": "gpt-4o-2024-08-06"},
        {"gen_ai.prompt.name": "other"},
        {"gen_ai.prompt.version": "4"},
        {"tupletrace.tools.version": "tools-1"},
    ]
    rows = traces.settled(*([otlp.call(traces.new(), attributes=one)] for one in different))
    assert len({row["tuple_id"] for row in rows} | {plain}) == len(different) + 1


def test_a_tuple_lists_its_members_with_every_provenance_they_had(traces: Traces, otlp: Any) -> None:
    declared = otlp.call(traces.new(), attributes={"gen_ai.prompt.name": "twice"})
    derived = otlp.call(
        traces.new(), attributes={"gen_ai.prompt.name": "twice", "tupletrace.prompt.provenance": "derived"}
    )
    ids = {row["tuple_id"] for row in traces.settled([declared], [derived])}
    query = "SELECT layer, name, version, provenance FROM tuples WHERE tuple_id = ? ORDER BY ALL"
    rows = [tuple(row.values()) for row in traces.database.rows(query, [ids.pop()])]
    assert rows == [
        ("model", "gpt-4o", "gpt-4o", "declared"),
        ("prompt", "twice", "3", "declared"),
        ("prompt", "twice", "3", "derived"),
    ]
    assert not ids


def test_the_route_is_the_first_of_http_route_declared_route_workflow_agent_and_root(
    traces: Traces, otlp: Any
) -> None:
    said = {
        "http.route": "/ask",
        "tupletrace.route": "declared",
        "gen_ai.workflow.name": "workflow",
        "gen_ai.agent.name": "agent",
    }
    expected = [*said.values(), "root"]
    groups = []
    for first in range(len(expected)):
        trace, attributes = traces.new(), dict(list(said.items())[first:])
        groups.append([otlp.call(trace, 2, 1), otlp.span(trace, 1, None, attributes, name="root")])
    assert [row["route"] for row in traces.settled(*groups)] == expected


def test_a_route_declared_on_any_span_is_the_traces_route(traces: Traces, otlp: Any) -> None:
    trace = traces.new()
    inner = otlp.call(trace, 2, 1, attributes={"tupletrace.route": "declared"})
    assert layers(traces, otlp.span(trace, 1, name="root"), inner)["route"] == "declared"


def test_status_and_duration_are_the_roots_and_of_all_spans(traces: Traces, otlp: Any) -> None:
    trace = traces.new()
    failed = otlp.call(trace, 2, 1, start=otlp.noon, end=otlp.noon + 9_000_000)
    failed.status.code = 2
    root = otlp.span(trace, 1, start=otlp.noon + 1_000_000, end=otlp.noon + 2_000_000)
    found = layers(traces, root, failed)
    assert (found["status_code"], found["duration_ns"]) == ("UNSET", 9_000_000)
    trace = traces.new()
    failed = otlp.call(trace, 2, 1)
    failed.status.code = 2
    assert layers(traces, failed)["status_code"] == "ERROR", "without a root, of any span"


def test_totals_of_orphans_are_totals_all_the_same(traces: Traces, otlp: Any) -> None:
    """F18."""
    trace = traces.new()
    found = layers(traces, *(otlp.call(trace, i, i + 1000) for i in range(1, 6)))
    assert (found["spans"], found["llm_calls"], found["input_tokens"]) == (5, 5, 50)
    assert str(found["cost_usd"]) == "0.000375000000"


def test_spans_far_apart_in_time_are_one_trace(traces: Traces, otlp: Any) -> None:
    trace = traces.new()
    first = otlp.call(trace, 1, start=0, end=1)
    last = otlp.call(trace, 2, start=2**63 - 1, end=2**64 - 1)
    found = layers(traces, first, last)
    assert (found["spans"], found["llm_calls"], found["duration_ns"]) == (2, 2, 2**63 - 1)
    assert found["day"].isoformat() == "1970-01-01"


def test_a_trace_of_many_spans_in_a_deep_chain_settles_in_no_time(
    traces: Traces, otlp: Any, until: Any
) -> None:
    """F19."""
    trace = traces.new()
    chain = [otlp.span(trace, i, i - 1 or None) for i in range(1, 2_001)]
    found = layers(traces, *chain, otlp.call(trace, 2_001, 2_000))
    assert (found["spans"], found["llm_calls"]) == (2_001, 1)


def test_coverage_over_days_weighs_every_trace_alike(traces: Traces, otlp: Any) -> None:
    """Three covered traces on one day and one uncovered on the next are 75 %, in every column."""
    day = 86_400_000_000_000
    for i in range(4):
        attributes = {"tupletrace.route": "weighed"} | ({"gen_ai.prompt.version": None} if i == 3 else {})
        traces.insert(
            otlp.call(traces.new(), attributes=attributes, start=otlp.noon + (day if i == 3 else 0))
        )
    (row,) = traces.database.rows("FROM coverage_by('route', of_route := 'weighed')")
    assert (row["traces"], row["covered"], float(row["coverage"])) == (4, 3, 0.75)
    assert (float(row["prompt"]), float(row["model"]), row["tools"]) == (0.75, 1.0, None)


def test_what_comes_late_to_one_of_two_traces_of_one_call_leaves_it_one_call(
    traces: Traces, otlp: Any
) -> None:
    """A client's span without its parent: both traces are settled anew together."""
    trace, alone = traces.new(), traces.new()
    used, said = (20_000 + trace, 7), {"gen_ai.response.model": "gpt-4o-2024-08-06"}
    traces.insert(otlp.call(trace, 2, 1, used, name="ChatOpenAI", end=otlp.noon + 50_000_000))
    traces.insert(otlp.call(alone, 3, None, used, said, name="Completions"))
    traces.insert(otlp.span(trace, 1, name="late"))
    ids = [f"{trace:032x}", f"{alone:032x}"]
    calls = "SELECT trace_id, response_model FROM llm_calls WHERE trace_id IN (?, ?)"
    assert traces.database.rows(calls, ids) == [{"trace_id": ids[0], "response_model": "gpt-4o-2024-08-06"}]
