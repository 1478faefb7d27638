"""However calls are told, by how many libraries, in whatever order: each counts once, with its tokens."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MS = 1_000_000
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
PENDING = {"logfire.span_type": "pending_span"}


@dataclass(frozen=True)
class Told:
    """How one call is told."""

    tokens: tuple[int, int]
    framework: bool = True
    """A framework's span around the client's."""
    client: str = "below"
    """Where the client's span is: below the framework's or beside it, in a trace of its own, or nowhere."""
    gateway: str = ""
    """A proxy's span in another service: below the client's, or in a trace of its own, or nowhere."""
    differs: bool = False
    """The framework counts other tokens than the client."""
    stream: bool = False
    """The client does not know what was used."""
    identified: bool = True
    """Spans name the response."""
    fetched: bool = False
    """The response is fetched again."""
    aside: bool = False
    """The call begins beside the one before, not after it."""

    def certain(self) -> "Told":
        """One that somebody tells, and of whose spans that stand apart enough is said to be known for one."""
        told = self if self.framework or self.client else replace(self, framework=True)
        apart = self.client in ("beside", "alone") or self.gateway == "alone"
        known = self.identified or self.stream or apart
        return replace(told, identified=known, differs=self.differs and not apart)


@dataclass(frozen=True)
class Run:
    """An agent's run."""

    calls: tuple[Told, ...]
    sums: int = 0
    """How many spans around the calls say what all of them used."""
    pending: bool = False
    """Logfire tells of each span when it begins, too."""
    loses: bool = False
    """Some of its spans never come."""
    seed: int = 0
    """By which its spans are delivered, and lost."""

    def certain(self) -> "Run":
        """One of whose sums something below tells that they are sums."""
        below = any(one.framework or one.client in ("below", "beside") for one in self.calls)
        return self if below else replace(self, sums=0)


def told() -> st.SearchStrategy[Told]:
    """One call."""
    made = st.builds(
        Told,
        tokens=st.tuples(st.integers(1, 3), st.integers(1, 2)),
        framework=st.booleans(),
        client=st.sampled_from(["below", "beside", "alone", ""]),
        gateway=st.sampled_from(["", "", "below", "alone"]),
        differs=st.booleans(),
        stream=st.booleans(),
        identified=st.booleans(),
        fetched=st.booleans(),
        aside=st.booleans(),
    )
    return made.map(Told.certain)


def runs() -> st.SearchStrategy[Run]:
    """One agent's run."""
    calls = st.lists(told(), min_size=1, max_size=3).map(_apart)
    made = st.builds(Run, calls, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2**32))
    return made.map(Run.certain)


def _apart(calls: list[Told]) -> tuple[Told, ...]:
    """Calls beside one another used different tokens: beside what is asked, nothing tells them apart."""
    return tuple(replace(one, tokens=(one.tokens[0] + 10 * i, one.tokens[1])) for i, one in enumerate(calls))


class World:
    """Runs in a shared store, each in traces of its own."""

    count = 20_000

    def __init__(self, database: Any, otlp: Any) -> None:
        self.database, self.otlp = database, otlp

    def spans(self, run: Run) -> tuple[list[int], list[tuple[str, Any]]]:
        """Traces of a run, and its spans with the library that tells each."""
        World.count += 20
        main, found, others = (
            World.count,
            list[tuple[str, Any]](),
            iter(range(World.count + 1, World.count + 20)),
        )
        traces, start, numbers = [main], 10, iter(range(10, 200))

        def add(
            scope: str, trace: int, parent: int | None, said: dict[str, Any], begin: int, end: int, name: str
        ) -> int:
            span, noon = next(numbers), self.otlp.noon + main * 1_000 * MS
            made = self.otlp.span(
                trace, span, parent, said, name=name, start=noon + begin * MS, end=noon + end * MS
            )
            found.append((scope, made))
            if run.pending:
                ahead = self.otlp.span(
                    trace, next(numbers), span, said | PENDING, name=name, start=noon + begin * MS
                )
                found.append((scope, ahead))
            return span

        used = [truth(one) for one in run.calls]
        summed = [sum(one[side] for one in used if one) for side in (0, 1)]
        around: int | None = add("app", main, None, {"http.route": "/"}, 0, 9_000, "GET")
        for _ in range(run.sums):
            said = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"} | tokens(*summed)
            around = add("framework", main, around, said, 1, 8_000, "agent")
        for number, one in enumerate(run.calls):
            start += 3 if one.aside else 200
            answer = asks("ABC"[number], f"r{main}-{number}" if one.identified else None)
            parent, trace = around, main
            if one.framework:
                said = tokens(one.tokens[0] + one.differs, one.tokens[1])
                parent = add("framework", main, around, CHAT | answer | said, start, start + 90, "ChatOpenAI")
            if one.client:
                if one.client == "alone":
                    trace, parent = next(others), None
                    traces.append(trace)
                elif one.client == "beside":
                    parent = around
                said = {} if one.stream else tokens(*one.tokens)
                beside = trace, parent
                parent = add(
                    "client", trace, parent, CHAT | answer | said, start + 10, start + 80, "Completions"
                )
                if one.fetched and one.identified and not one.stream:
                    add("client", *beside, CHAT | answer | said, start + 95, start + 96, "Completions")
            if one.gateway:
                if one.gateway == "alone":
                    trace, parent = next(others), None
                    traces.append(trace)
                said = CHAT | answer | tokens(*one.tokens)
                add("gateway", trace, parent, said, start + 20, start + 70, "litellm_request")
        return traces, found

    def deliver(self, spans: list[tuple[str, Any]]) -> None:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        for scope, span in spans:
            resource.scope_spans.add(spans=[span]).scope.name = scope
        self.database.insert(request.SerializeToString())

    def calls(self, traces: list[int]) -> list[tuple[Any, ...]]:
        """Trace by its place, span, tokens."""
        places = {f"{trace:032x}": place for place, trace in enumerate(traces)}
        rows = self.database.rows("SELECT * FROM llm_calls WHERE list_contains(?, trace_id)", [list(places)])
        return sorted(
            (places[row["trace_id"]], row["span_id"], row["input_tokens"], row["output_tokens"])
            for row in rows
        )

    def roles(self, traces: list[int]) -> list[tuple[Any, ...]]:
        places = {f"{trace:032x}": place for place, trace in enumerate(traces)}
        rows = self.database.rows(
            "SELECT * FROM usage_roles WHERE list_contains(?, trace_id)", [list(places)]
        )
        return sorted(
            (
                places[row["trace_id"]], row["span_id"], row["usage_role"], row["duplicate_of"] or "",
                places[row["duplicate_of_trace_id"] or row["trace_id"]],
            )
            for row in rows
        )  # fmt: skip


def tokens(asked: int, answered: int) -> dict[str, Any]:
    return {"gen_ai.usage.input_tokens": asked, "gen_ai.usage.output_tokens": answered}


def asks(question: str, response_id: str | None) -> dict[str, Any]:
    said = [{"role": "user", "parts": [{"type": "text", "content": question}]}]
    return {"gen_ai.input.messages": json.dumps(said)} | (
        {"gen_ai.response.id": response_id} if response_id else {}
    )


def truth(one: Told) -> tuple[int, int] | None:
    """What the call used, as the span nearest to the model says that knows."""
    if one.gateway or (one.client and not one.stream):
        return one.tokens
    return (one.tokens[0] + one.differs, one.tokens[1]) if one.framework else None


@pytest.fixture(scope="module")
def world(open_database: Callable[..., Any], otlp: Any) -> World:
    return World(open_database(), otlp)


@settings(max_examples=5, derandomize=True, phases=[Phase.generate])
@given(listed=st.lists(runs(), min_size=1, max_size=8))
def test_every_call_counts_once_and_any_subset_order_and_repetition_settles_to_the_same_rows(
    world: World, listed: list[Run]
) -> None:
    whole, parts = [world.spans(run) for run in listed], [world.spans(run) for run in listed]
    batches: list[list[tuple[str, Any]]] = [[], [], [], []]
    for run, (_, spans), (_, same) in zip(listed, whole, parts, strict=True):
        chance = random.Random(run.seed)
        if run.loses:
            kept = [chance.random() < 0.7 for _ in spans]
            spans[:] = [span for span, stays in zip(spans, kept, strict=True) if stays]
            same[:] = [span for span, stays in zip(same, kept, strict=True) if stays]
        batches[0] += spans
        for span in chance.sample(same, len(same)) + chance.choices(same, k=3 if same else 0):
            batches[chance.randrange(1, 4)].append(span)
    for batch in batches:
        world.deliver(batch)
    world.database.store.settle(0)
    for run, (traces, _), (others, _) in zip(listed, whole, parts, strict=True):
        calls, roles = world.calls(traces), world.roles(traces)
        assert (world.calls(others), world.roles(others)) == (calls, roles), run
        leaves = {(place, span) for place, span, role, *_ in roles if role == "leaf"}
        assert {(place, span) for place, span, *_ in calls} == leaves
        if run.loses:
            continue
        found = sorted(((asked, answered) for *_, asked, answered in calls), key=str)
        assert found == sorted((truth(one) or (None, None) for one in run.calls), key=str), run
        for _, span, role, counted, of_trace in roles:
            assert role != "duplicate" or (of_trace, counted) in leaves, (run, span)
