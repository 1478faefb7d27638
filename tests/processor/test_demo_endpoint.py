"""The demo's endpoint answers as the OpenAI API does: the real client and its own types are the judges."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, TypeVar

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from tupletrace.processor.demo.endpoint import Endpoint, serve

T = TypeVar("T", bound=BaseModel)
ORDER: Any = {
    "type": "function",
    "function": {
        "name": "get_order",
        "description": "Look up an order and its delivery date.",
        "parameters": {
            "type": "object",
            "properties": {
                "order_id": {"type": "string"},
                "detail": {"type": "string", "enum": ["short", "full"]},
            },
            "required": ["order_id", "detail"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
REFUND = {
    "type": "function",
    "function": {
        "name": "refund_policy",
        "description": "The policy for refunds.",
        "parameters": {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]},
    },
}
HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> Iterator[OpenAI]:
    with OpenAI(base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0) as one:
        yield one


def chat(client: OpenAI, **request: Any) -> ChatCompletion:
    return client.chat.completions.create(**{"model": "gpt-4o-mini", "messages": HELLO, **request})


def valid(kind: type[T], answer: BaseModel) -> T:
    """The answer read again with the client library's own type, which must know every field of it."""
    fields = answer.model_dump(exclude_unset=True, by_alias=True)
    fields.pop("store", None)  # the API sends it, the type of a response lacks it
    return kind.model_validate(fields, extra="forbid")


def test_a_completion_is_one_by_the_clients_own_type_and_comes_from_the_dated_snapshot(
    client: OpenAI,
) -> None:
    answer = valid(ChatCompletion, chat(client))
    assert (answer.model, answer.choices[0].finish_reason) == ("gpt-4o-mini-2024-07-18", "stop")
    assert answer.choices[0].message.content
    assert answer.service_tier == "default"
    assert answer.system_fingerprint
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_same_question_has_the_same_answer_and_the_same_tokens() -> None:
    def ask() -> tuple[str | None, int]:
        with serve() as fresh, OpenAI(base_url=fresh.base_url, api_key=fresh.api_key) as client:
            answer = chat(client)
        assert answer.usage
        return answer.choices[0].message.content, answer.usage.total_tokens

    assert ask() == ask()


def test_a_stream_carries_the_text_of_the_plain_answer_and_its_usage_in_a_last_chunk_without_choices(
    client: OpenAI,
) -> None:
    stream: Any = client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [valid(ChatCompletionChunk, chunk) for chunk in stream]
    *parts, last = chunks
    text = "".join(choice.delta.content or "" for chunk in parts for choice in chunk.choices)
    assert text == chat(client).choices[0].message.content
    assert parts[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in parts)
    assert (last.choices, last.usage) == ([], chat(client).usage)
    assert len(parts) > 3


def test_a_stream_without_include_usage_has_no_usage(client: OpenAI) -> None:
    stream: Any = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True)
    assert all(chunk.usage is None and chunk.choices for chunk in stream)


def test_the_tool_that_the_question_asks_for_is_called_with_arguments_out_of_its_text(client: OpenAI) -> None:
    question = [{"role": "user", "content": "Where is my order A-1042? Full detail please."}]
    answer = valid(ChatCompletion, chat(client, messages=question, tools=[REFUND, ORDER]))
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == (
        "get_order",
        '{"order_id": "A-1042", "detail": "full"}',
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None


def test_several_ids_and_tools_are_called_in_parallel_unless_that_is_switched_off(client: OpenAI) -> None:
    question = [{"role": "user", "content": "What is the refund policy for orders A-1042 and B-7?"}]
    both = chat(client, messages=question, tools=[REFUND, ORDER]).choices[0].message.tool_calls
    one = chat(client, messages=question, tools=[REFUND, ORDER], parallel_tool_calls=False)
    assert [call.function.name for call in both or []] == ["refund_policy", "get_order", "get_order"]
    assert [call.function.name for call in one.choices[0].message.tool_calls or []] == ["refund_policy"]


def test_streamed_tool_calls_add_up_to_the_plain_ones(client: OpenAI) -> None:
    question: Any = [{"role": "user", "content": "Where are orders A-1042 and B-7?"}]
    tools: Any = [ORDER]
    with client.chat.completions.stream(model="gpt-4o-mini", messages=question, tools=tools) as stream:
        final = stream.get_final_completion()
    plain = chat(client, messages=question, tools=tools)
    assert [call.function.arguments for call in final.choices[0].message.tool_calls or []] == [
        call.function.arguments for call in plain.choices[0].message.tool_calls or []
    ]
    assert final.choices[0].finish_reason == "tool_calls"


def test_after_a_tool_result_the_answer_quotes_it(client: OpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    talk = [
        {"role": "user", "content": "Where is my order?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "shipped on Monday"},
    ]
    said = chat(client, messages=talk).choices[0].message.content
    assert said == "get_order says: shipped on Monday. Is there anything else that I can do for you?"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_order"}}])
def test_a_forced_tool_is_called_whatever_the_question(client: OpenAI, choice: Any) -> None:
    answer = chat(client, tools=[ORDER], tool_choice=choice)
    assert [call.function.name for call in answer.choices[0].message.tool_calls or []] == ["get_order"]


def test_tool_choice_none_answers_in_words(client: OpenAI) -> None:
    question = [{"role": "user", "content": "Where is my order A-1042?"}]
    assert chat(client, messages=question, tools=[ORDER], tool_choice="none").choices[0].message.content


def test_n_choices_are_given_and_billed(client: OpenAI) -> None:
    one, three = chat(client), valid(ChatCompletion, chat(client, n=3))
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert one.usage
    assert three.usage
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens


def test_a_structured_answer_fits_its_schema(client: OpenAI) -> None:
    class Order(BaseModel):
        order_id: str
        quantity: int
        state: bool | None

    question: Any = [{"role": "user", "content": "I bought 3 pieces with order A-1042"}]
    answer = client.chat.completions.parse(model="gpt-4o-mini", messages=question, response_format=Order)
    parsed = answer.choices[0].message.parsed
    assert parsed
    assert (parsed.order_id, parsed.quantity) == ("A-1042", 3)


def test_the_answer_is_made_of_the_sentences_of_the_context_that_fit_the_question(client: OpenAI) -> None:
    context = "Shipping takes three days.\nRefunds are paid within 14 days.\nWe are closed on Sunday."
    for label in ("Question", "Query"):
        prompt = f"Context:\n{context}\n\n{label}: When are refunds paid?\nAnswer:"
        answer = chat(client, messages=[{"role": "user", "content": prompt}])
        assert answer.choices[0].message.content == "Refunds are paid within 14 days."


def test_the_limit_of_output_tokens_cuts_the_answer(client: OpenAI) -> None:
    answer = chat(client, max_completion_tokens=2)
    assert answer.usage
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 2)


def test_a_reasoning_model_bills_its_reasoning_as_part_of_the_output(client: OpenAI) -> None:
    plain = chat(client, model="gpt-5-mini", reasoning_effort="minimal").usage
    usage = chat(client, model="gpt-5-mini", reasoning_effort="high").usage
    assert plain
    assert usage
    assert usage.completion_tokens_details
    assert usage.completion_tokens_details.reasoning_tokens == 256
    assert usage.completion_tokens == plain.completion_tokens + 256


def test_a_repeated_long_prefix_counts_as_cached_in_blocks_of_128() -> None:
    system = {"role": "system", "content": "Always be kind to every customer. " * 40}
    with serve() as fresh, OpenAI(base_url=fresh.base_url, api_key=fresh.api_key) as client:
        usages = [
            chat(client, messages=[system, {"role": "user", "content": text}]).usage for text in ("Hi", "Bye")
        ]
    first, second = [
        usage.prompt_tokens_details.cached_tokens for usage in usages if usage and usage.prompt_tokens_details
    ]
    assert first == 0
    assert second
    assert second % 128 == 0
    assert usages[1]
    assert 0 < second < usages[1].prompt_tokens


def test_a_response_is_one_by_the_clients_own_type(client: OpenAI) -> None:
    for model in ("gpt-4.1-mini", "gpt-5-mini"):
        answer = client.responses.create(model=model, instructions="Be brief.", input="Hello there")
        assert valid(Response, answer).output_text
        assert valid(Response, client.responses.retrieve(answer.id)) == valid(Response, answer)


def test_a_streamed_response_is_told_in_typed_events_that_end_with_the_whole_response(client: OpenAI) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    stream = client.responses.create(
        model="gpt-5-mini", input="Hello there", reasoning={"summary": "auto"}, stream=True
    )
    events = [adapter.validate_python(event.model_dump(exclude_unset=True)) for event in stream]
    kinds = [event.type for event in events]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert events[-1].response.output_text == text != ""
    assert {
        "response.output_item.added",
        "response.content_part.done",
        "response.reasoning_summary_text.delta",
    } < set(kinds)


def test_a_responses_tool_loop_goes_on_from_the_previous_response(client: OpenAI) -> None:
    tools: Any = [{"type": "function", **ORDER["function"]}]
    with client.responses.stream(model="gpt-4o-mini", input="Where is order A-1042?", tools=tools) as stream:
        kinds = {event.type for event in stream}
        first = stream.get_final_response()
    call: Any = first.output[0]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "shipped on Monday"}
    second = client.responses.create(
        model="gpt-4o-mini", previous_response_id=first.id, input=[result], tools=tools
    )
    assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} < kinds
    assert call.arguments == '{"order_id": "A-1042", "detail": "short"}'
    assert "shipped on Monday" in second.output_text
    assert first.usage
    assert second.usage
    assert second.usage.input_tokens > first.usage.input_tokens


def test_a_conversation_remembers_what_was_said_in_it(client: OpenAI) -> None:
    conversation = client.conversations.create()
    for text in ("Hello there", "And again"):
        answer = client.responses.create(model="gpt-4o-mini", input=text, conversation=conversation.id)
    assert valid(Response, answer).conversation
    assert answer.usage
    alone = client.responses.create(model="gpt-4o-mini", input="And again").usage
    assert alone
    assert answer.usage.input_tokens > alone.input_tokens


def test_a_response_from_a_stored_prompt_names_it(client: OpenAI) -> None:
    answer = client.responses.create(
        prompt={"id": "pmpt_support", "version": "3", "variables": {"tone": "kind"}}
    )
    assert answer.prompt
    assert (answer.prompt.id, answer.prompt.version) == ("pmpt_support", "3")


def test_texts_about_the_same_thing_have_close_vectors_in_either_encoding(client: OpenAI) -> None:
    texts = ["refunds are paid within days", "when is my refund paid?", "the sun is a star"]

    def vectors(**request: Any) -> list[list[float]]:
        answer = client.embeddings.create(model="text-embedding-3-small", input=texts, **request)
        return [item.embedding for item in valid(CreateEmbeddingResponse, answer).data]

    def dot(left: list[float], right: list[float]) -> float:
        return sum(one * other for one, other in zip(left, right, strict=True))

    one, other, far = vectors(dimensions=256)
    assert dot(one, other) > 0.5 > dot(one, far)
    assert dot(one, one) == pytest.approx(1, abs=1e-5)
    assert len(one) == 256
    assert vectors(encoding_format="float")[0] == pytest.approx(vectors()[0], abs=1e-6)


def test_the_models_of_the_list_are_those_that_answer(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"} < names
    with pytest.raises(openai.NotFoundError) as unknown:
        chat(client, model="gpt-9")
    assert unknown.value.code == "model_not_found"


def test_async_calls_and_streams_work_alike(endpoint: Endpoint, client: OpenAI) -> None:
    async def ask() -> tuple[str, str, str]:
        async with AsyncOpenAI(base_url=endpoint.base_url, api_key=endpoint.api_key) as one:
            plain = await one.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
            stream = await one.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            response = await one.responses.create(model="gpt-4o-mini", input="Hello there")
        return plain.choices[0].message.content or "", text, response.output_text

    assert len({*asyncio.run(ask()), chat(client).choices[0].message.content}) == 1


def test_requests_are_kept_for_the_one_who_runs_the_endpoint(client: OpenAI, endpoint: Endpoint) -> None:
    chat(client, seed=7)
    path, body = endpoint.requests[-1]
    assert (path, body["seed"]) == ("/v1/chat/completions", 7)


def test_it_runs_as_a_process_that_says_where_it_listens_and_ends_on_sigterm() -> None:
    command = [sys.executable, "-m", "tupletrace.processor.demo.endpoint", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ready, url = process.stdout.readline().split()
        with OpenAI(base_url=url, api_key="sk-test") as client:
            assert chat(client).choices
        process.terminate()
        process.wait(timeout=120)
    assert ready == "ready"
