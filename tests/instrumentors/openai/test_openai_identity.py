"""Which prompt and which tools made the answer: told with no change to the program, content on or off."""

import asyncio
import datetime as dt
import json
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tupletrace.instrumentors import using_prompt, using_route
from tupletrace.instrumentors.openai import OpenAIInstrumentor

SYSTEM = {"role": "system", "content": "You are terse."}
EMBEDDED = {
    "object": "list",
    "model": "e",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}
QUESTION = {"role": "user", "content": "Capital of France?"}
PROMPT = ("gen_ai.prompt.name", "gen_ai.prompt.version", "tupletrace.prompt.provenance")


def prompt_of(span: Any) -> tuple[Any, ...]:
    return tuple(span.attributes.get(name) for name in PROMPT)


def versions(spans: Any) -> list[Any]:
    return [span.attributes.get("gen_ai.prompt.version") for span in spans.get_finished_spans()]


@pytest.fixture
def ask(provider: Any, program: Any, completion: dict[str, Any]) -> Any:
    """Make a chat completion of the given messages."""
    provider.answers_json(completion)

    def make(*messages: Any, **kwargs: Any) -> Any:
        return program.call("chat.completions.create", model="m", messages=[*messages, QUESTION], **kwargs)

    return make


@pytest.fixture
def respond(provider: Any, program: Any, response: dict[str, Any]) -> Any:
    """Make a response."""
    provider.answers_json(response)

    def make(**kwargs: Any) -> Any:
        return program.call("responses.create", **{"model": "m", "input": "Capital?"} | kwargs)

    return make


def test_a_stored_prompt_that_the_call_names_wins_over_all_others(respond: Any, span: Any) -> None:
    with using_prompt("declared", "v1"):
        respond(prompt={"id": "pmpt_1", "version": "3"}, instructions="You are terse.")

    assert prompt_of(span()) == ("pmpt_1", "3", "declared")


def test_the_version_of_a_stored_prompt_is_taken_from_the_answer_when_the_call_names_none(
    respond: Any, response: dict[str, Any], span: Any
) -> None:
    response["prompt"] = {"id": "pmpt_1", "version": "7", "variables": None}

    respond(prompt={"id": "pmpt_1"})

    assert prompt_of(span()) == ("pmpt_1", "7", "declared")


def test_a_stored_prompt_whose_version_nobody_tells_has_no_identity_rather_than_a_wrong_one(
    respond: Any, span: Any
) -> None:
    respond(prompt={"id": "pmpt_1"}, instructions="You are terse.")

    assert prompt_of(span()) == (None, None, None)


def test_a_declared_prompt_wins_over_the_text(ask: Any, span: Any) -> None:
    with using_prompt("support", 4):
        ask(SYSTEM)

    assert prompt_of(span()) == ("support", "4", "declared")


def test_a_declared_prompt_needs_no_system_message(ask: Any, span: Any) -> None:
    with using_prompt("support", "v2"):
        ask()

    assert prompt_of(span()) == ("support", "v2", "declared")


def test_the_static_text_gives_the_version_and_the_calling_function_the_name(
    provider: Any, instrumented: None, completion: dict[str, Any], span: Any
) -> None:
    provider.answers_json(completion)

    def answer_customer() -> None:
        provider.client().chat.completions.create(model="m", messages=[SYSTEM, QUESTION])

    answer_customer()

    name, version, provenance = prompt_of(span())
    assert name.endswith(".answer_customer")
    assert version.startswith("text-")
    assert provenance == "derived"


def test_the_calling_function_is_known_also_when_the_call_is_awaited_elsewhere(
    provider: Any, instrumented: None, completion: dict[str, Any], span: Any
) -> None:
    provider.answers_json(completion)

    def answer_customer(client: Any) -> Any:
        return client.chat.completions.create(model="m", messages=[SYSTEM, QUESTION])

    async def main() -> None:
        await asyncio.gather(answer_customer(provider.async_client()))

    asyncio.run(main())

    assert span().attributes["gen_ai.prompt.name"].endswith(".answer_customer")


def test_a_call_with_no_static_text_has_no_prompt(ask: Any, span: Any) -> None:
    ask()

    assert prompt_of(span()) == (None, None, None)


@pytest.mark.parametrize(
    "content",
    ["You are terse.", [{"type": "text", "text": "You are terse."}]],
    ids=["string", "parts"],
)
def test_the_same_text_is_the_same_version_however_it_is_sent(
    ask: Any, respond: Any, provider: Any, completion: dict[str, Any], spans: Any, content: Any
) -> None:
    respond(instructions="You are terse.")
    respond(input=[{"role": "system", "content": "You are terse."}, QUESTION])
    provider.answers[:] = []
    provider.answers_json(completion)
    ask({"role": "system", "content": content})

    assert len(set(versions(spans))) == 1
    assert None not in versions(spans)


def test_what_the_user_says_is_no_part_of_the_prompt(ask: Any, spans: Any) -> None:
    ask(SYSTEM, {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"})
    ask(SYSTEM, {"role": "user", "content": "Good day"})

    assert len(set(versions(spans))) == 1


class Answer(BaseModel):
    """A structured answer."""

    city: str


class OtherAnswer(BaseModel):
    """Another one."""

    city: str
    country: str


def test_the_response_schema_is_part_of_the_prompt_and_the_same_in_each_way_of_asking(
    provider: Any, program: Any, completion: dict[str, Any], response: dict[str, Any], spans: Any
) -> None:
    completion["choices"][0]["message"]["content"] = '{"city": "Paris", "country": "France"}'
    response["output"][0]["content"][0]["text"] = '{"city": "Paris", "country": "France"}'
    provider.answers_json(completion)
    provider.answers_json(completion)
    provider.answers_json(completion)
    provider.answers_json(response)
    messages = [SYSTEM, QUESTION]
    schema = Answer.model_json_schema() | {"additionalProperties": False}
    wire = {"type": "json_schema", "json_schema": {"name": "Answer", "schema": schema, "strict": True}}

    program.call("chat.completions.parse", model="m", messages=messages, response_format=Answer)
    program.call("chat.completions.create", model="m", messages=messages, response_format=wire)
    program.call("chat.completions.parse", model="m", messages=messages, response_format=OtherAnswer)
    program.call("responses.parse", model="m", input=messages, text_format=Answer)

    parsed, created, other, answered = versions(spans)
    assert parsed == created == answered
    assert other != parsed


texts = st.text("ab cd\n.", min_size=1, max_size=40).filter(str.strip)


facts_of_the_day = st.tuples(
    st.datetimes(dt.datetime.fromisoformat("1990-01-01"), dt.datetime.fromisoformat("2099-12-31")),
    st.integers(0, 10**9),
    st.uuids(),
    st.text("abcdefgh", min_size=1, max_size=8).map("{}@a.example".format),
)
WRITTEN = (
    "{text} It is {day:%Y-%m-%d}.",
    "Today is {day:%A, %B %d, %Y}, {day:%H:%M}. {text}",
    "The customer {email} has {number} points. {text}",
    "Ticket {id}. {text}",
)


@given(text=texts, other=texts, one=facts_of_the_day, another=facts_of_the_day, form=st.sampled_from(WRITTEN))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_one_prompt_for_two_users_on_two_days_is_one_version_and_an_edited_one_another(
    provider: Any,
    instrumented: None,
    completion: dict[str, Any],
    spans: Any,
    text: str,
    other: str,
    one: Any,
    another: Any,
    form: str,
) -> None:
    provider.answers_json(completion)
    spans.clear()
    create = provider.client().chat.completions.create
    for said, (day, number, identity, email) in ((text, one), (text, another), (other, one)):
        content = form.format(text=said, day=day, number=number, id=identity, email=email)
        create(model="m", messages=[{"role": "system", "content": content}, QUESTION])

    first, second, edited = versions(spans)
    assert first == second
    assert (edited == first) is (other == text)


def tool(name: str, description: str = "Finds it.") -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def test_tools_have_names_and_a_version_that_their_order_does_not_change(ask: Any, spans: Any) -> None:
    ask(tools=[tool("b"), tool("a")])
    ask(tools=[tool("a"), tool("b")])
    ask(tools=[tool("a"), tool("b", "Finds them.")])

    first, second, edited = (span.attributes for span in spans.get_finished_spans())
    assert first["tupletrace.tools.names"] == ("a", "b")
    assert first["tupletrace.tools.version"] == second["tupletrace.tools.version"]
    assert edited["tupletrace.tools.version"] != first["tupletrace.tools.version"]


names = st.text("abc_", min_size=1, max_size=6)


@given(
    offered=st.dictionaries(names, texts, min_size=1, max_size=4),
    data=st.data(),
    key=st.sampled_from(["description", "title"]),
    said=texts,
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_tools_version_is_what_is_said_of_them_in_whatever_order(
    provider: Any,
    instrumented: None,
    completion: dict[str, Any],
    spans: Any,
    offered: dict[str, str],
    data: st.DataObject,
    key: str,
    said: str,
) -> None:
    provider.answers_json(completion)
    spans.clear()
    tools = [tool(name, description) for name, description in offered.items()]
    turned = [dict(reversed(one.items())) for one in data.draw(st.permutations(tools))]
    edited = json.loads(json.dumps(tools))
    function = edited[0]["function"]
    told = function if key == "description" else function["parameters"]
    changed = told.get(key) != said
    told[key] = said
    create = provider.client().chat.completions.create
    for given_tools in (tools, turned, edited):
        create(model="m", messages=[QUESTION], tools=given_tools)

    versions = [span.attributes["tupletrace.tools.version"] for span in spans.get_finished_spans()]
    assert versions[0] == versions[1]
    assert (versions[2] != versions[0]) is changed


def test_a_tool_is_the_same_in_chat_completions_and_in_responses(
    ask: Any, provider: Any, program: Any, response: dict[str, Any], spans: Any
) -> None:
    ask(tools=[tool("a")])
    provider.answers[:] = []
    provider.answers_json(response)
    program.call(
        "responses.create", model="m", input="?", tools=[{"type": "function"} | tool("a")["function"]]
    )

    chat, answered = (span.attributes["tupletrace.tools.version"] for span in spans.get_finished_spans())
    assert chat == answered


def test_tools_that_were_not_offered_are_absent(ask: Any, facts: Any) -> None:
    ask(SYSTEM, tools=openai.NOT_GIVEN)

    assert not [name for name in facts() if "tools" in name]


def test_the_declared_route_is_on_every_span(ask: Any, provider: Any, program: Any, spans: Any) -> None:
    with using_route("/support"):
        ask(SYSTEM)
        provider.answers[:] = []
        provider.answers_json(EMBEDDED)
        program.call("embeddings.create", model="e", input="text")

    assert [span.attributes["tupletrace.route"] for span in spans.get_finished_spans()] == ["/support"] * 2


def test_an_embedding_has_no_prompt(provider: Any, program: Any, span: Any) -> None:
    provider.answers_json(EMBEDDED)

    with using_prompt("support", "v2"):
        program.call("embeddings.create", model="e", input="text")

    assert prompt_of(span()) == (None, None, None)


def test_a_call_that_fails_says_its_prompt_and_tools_all_the_same(
    provider: Any, program: Any, facts: Any
) -> None:
    provider.answers_json({"error": {"message": "no"}}, status=400)

    with pytest.raises(openai.BadRequestError):
        program.call("chat.completions.create", model="m", messages=[SYSTEM, QUESTION], tools=[tool("a")])

    assert facts()["gen_ai.prompt.version"].startswith("text-")
    assert facts()["tupletrace.tools.names"] == ("a",)


@given(system=texts, description=texts)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_identity_is_the_same_with_and_without_content(
    provider: Any, completion: dict[str, Any], tracer_provider: Any, spans: Any, system: str, description: str
) -> None:
    provider.answers_json(completion)
    spans.clear()

    for mode in ("span_only", "no_content"):
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", mode)
            OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
        provider.client().chat.completions.create(
            model="m",
            messages=[{"role": "system", "content": system}, QUESTION],
            tools=[tool("a", description)],
        )
        OpenAIInstrumentor().uninstrument()

    on, off = (span.attributes for span in spans.get_finished_spans())
    assert "gen_ai.input.messages" in on
    assert "gen_ai.input.messages" not in off
    for name in (*PROMPT, "tupletrace.tools.names", "tupletrace.tools.version"):
        assert on[name] == off[name]


def test_a_tool_changed_in_place_is_a_new_version(
    provider: Any, program: Any, completion: dict[str, Any], spans: Any
) -> None:
    provider.answers_json(completion)
    parameters: dict[str, Any] = {
        "type": "object",
        "properties": {"count": {"type": "integer", "minimum": 1}},
    }
    tools = [{"type": "function", "function": {"name": "find", "parameters": parameters}}]

    for minimum in (1, True, 2, 1):
        parameters["properties"]["count"]["minimum"] = minimum
        program.call("chat.completions.create", model="m", messages=[], tools=tools)

    first, boolean, second, again = (
        span.attributes["tupletrace.tools.version"] for span in spans.get_finished_spans()
    )
    assert first == again
    assert len({first, boolean, second}) == 3


def test_a_client_that_moves_is_traced_where_it_is(
    provider: Any, program: Any, completion: dict[str, Any], spans: Any
) -> None:
    provider.answers_json(completion)

    for url in ("https://api.groq.com/openai/v1", "https://api.openai.com/v1"):
        program.client.base_url = url
        program.call("chat.completions.create", model="m", messages=[])

    providers = [span.attributes["gen_ai.provider.name"] for span in spans.get_finished_spans()]
    assert providers == ["groq", "openai"]
