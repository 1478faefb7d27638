"""The demo's endpoint refuses what the OpenAI API would refuse, with the same status, code and parameter."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tupletrace.processor.demo.endpoint import Endpoint, serve

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
STRICT_SCHEMA = {"name": "x", "strict": True, "schema": SCHEMA}
PARAMETERS = {**SCHEMA, "required": ["a"], "additionalProperties": False}
ORDER: Any = {
    "type": "function",
    "function": {"name": "get_order", "strict": True, "parameters": PARAMETERS},
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> Iterator[OpenAI]:
    with OpenAI(base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0) as one:
        yield one


def chat(client: OpenAI, **request: Any) -> Any:
    return client.chat.completions.create(**{"model": "gpt-4o-mini", "messages": HELLO, **request})


@pytest.mark.parametrize(
    ("fail", "error"), [("rate_limit", openai.RateLimitError), ("server_error", openai.InternalServerError)]
)
def test_metadata_makes_a_call_fail_on_demand(client: OpenAI, fail: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        chat(client, metadata={"fail": fail}, store=True)


def tool_talk(**changes: Any) -> list[Any]:
    """A conversation in which a tool was called and answered; ``changes`` go into the tool's message."""
    call = {"id": "call_1", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    return [
        {"role": "user", "content": "Where is my order?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "shipped on Monday", **changes},
    ]


def function(**changes: Any) -> list[Any]:
    return [{"type": "function", "function": {**ORDER["function"], **changes}}]


LIST = {"type": "list"}
OTHER = {"type": "function", "function": {"name": "other"}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"extra_body": {"colour": "red"}}, "unknown_parameter colour"),
    ({"messages": []}, "empty_array messages"),
    ({"messages": "hello"}, "invalid_type messages"),
    ({"extra_body": {"messages": None}}, "invalid_type messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value messages[0].role"),
    ({"messages": [{"content": "x"}]}, "missing_required_parameter messages[0].role"),
    ({"messages": [{"role": "user"}]}, "missing_required_parameter messages[0].content"),
    ({"messages": [{"role": "user", "content": 7}]}, "invalid_type messages[0].content"),
    ({"messages": [{"role": "user", "content": None}]}, "invalid_type messages[0].content"),
    ({"messages": [{"role": "user", "content": "x", "mood": "y"}]}, "unknown_parameter messages[0].mood"),
    (
        {"messages": [{"role": "system", "content": [{"type": "image_url"}]}]},
        "invalid_value messages[0].content[0].type",
    ),
    ({"messages": tool_talk()[:2]}, "None messages.[2].role"),
    ({"messages": tool_talk()[::2]}, "None messages.[1].role"),
    ({"messages": tool_talk(tool_call_id="call_2")}, "None messages.[2].role"),
    ({"temperature": 3}, "decimal_above_max_value temperature"),
    ({"temperature": "hot"}, "invalid_type temperature"),
    ({"top_p": -0.1}, "decimal_below_min_value top_p"),
    ({"n": 0}, "integer_below_min_value n"),
    ({"stream_options": {"include_usage": True}}, "None stream_options"),
    ({"metadata": {"a": "b"}}, "None metadata"),
    ({"tools": []}, "empty_array tools"),
    ({"tools": function(name="get order")}, "invalid_value tools[0].function.name"),
    ({"tools": function(name="n" * 65)}, "invalid_value tools[0].function.name"),
    (
        {"tools": function(parameters=LIST)},
        "invalid_function_parameters tools[0].function.parameters",
    ),
    ({"tools": function(parameters=SCHEMA)}, "invalid_function_parameters tools[0].function.parameters"),
    ({"tools": [ORDER["function"]]}, "unknown_parameter tools[0].name"),
    ({"tool_choice": "required"}, "None tool_choice"),
    ({"tools": [ORDER], "tool_choice": "sometimes"}, "invalid_value tool_choice"),
    (
        {"tools": [ORDER], "tool_choice": OTHER},
        "None tool_choice",
    ),
    ({"parallel_tool_calls": True}, "None parallel_tool_calls"),
    ({"response_format": {"type": "json_object"}}, "None messages"),
    ({"response_format": {"type": "json_schema"}}, "missing_required_parameter response_format.json_schema"),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": STRICT_SCHEMA,
            }
        },
        "None response_format",
    ),
    ({"reasoning_effort": "low"}, "unsupported_parameter reasoning_effort"),
    ({"model": "gpt-5-mini", "max_tokens": 9}, "unsupported_parameter max_tokens"),
    ({"model": "gpt-5-mini", "temperature": 0.2}, "unsupported_value temperature"),
    ({"model": "o3", "stop": "x"}, "unsupported_parameter stop"),
]


@pytest.mark.parametrize(("request_", "error"), WRONG, ids=[error for _, error in WRONG])
def test_a_completion_that_the_api_would_refuse_is_refused_with_its_code_and_parameter(
    client: OpenAI, request_: dict[str, Any], error: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, **request_)
    assert f"{refused.value.code} {refused.value.param}" == error
    assert refused.value.type == "invalid_request_error"


OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "get_order", "arguments": "{}"}
WRONG_RESPONSES: list[tuple[dict[str, Any], str]] = [
    ({"extra_body": {"messages": HELLO}}, "unknown_parameter messages"),
    ({"extra_body": {"input": None}}, "missing_required_parameter input"),
    ({"input": [OUTPUT]}, "None input"),
    ({"input": [CALL]}, "None input"),
    ({"input": [{"role": "tool", "content": "x"}]}, "invalid_value input[0].role"),
    ({"input": [{"type": "thought"}]}, "invalid_value input[0].type"),
    (
        {"input": [{"role": "user", "content": [{"type": "text"}]}]},
        "invalid_value input[0].content[0].type",
    ),
    ({"previous_response_id": "resp_1"}, "previous_response_not_found previous_response_id"),
    ({"tools": [ORDER]}, "unknown_parameter tools[0].function"),
    ({"reasoning": {"effort": "low"}}, "unsupported_parameter reasoning.effort"),
    ({"model": "gpt-5", "reasoning": {"effort": "huge"}}, "invalid_value reasoning.effort"),
    ({"max_output_tokens": 1}, "integer_below_min_value max_output_tokens"),
    ({"text": {"format": {"type": "json_object"}}}, "None input"),
]


@pytest.mark.parametrize(("request_", "error"), WRONG_RESPONSES, ids=[error for _, error in WRONG_RESPONSES])
def test_a_response_that_the_api_would_refuse_is_refused_with_its_code_and_parameter(
    client: OpenAI, request_: dict[str, Any], error: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**{"model": "gpt-4o-mini", "input": "Hello", **request_})
    assert f"{refused.value.code} {refused.value.param}" == error


@pytest.mark.parametrize(
    "request_",
    [
        {"input": ""},
        {"input": []},
        {"input": ["a", ""]},
        {"dimensions": 9999},
        {"model": "text-embedding-ada-002", "dimensions": 8},
        {"encoding_format": "hex"},
    ],
)
def test_embeddings_that_the_api_would_refuse_are_refused(client: OpenAI, request_: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(**{"model": "text-embedding-3-small", "input": "a", **request_})


def test_a_missing_or_wrong_key_is_refused(endpoint: Endpoint, client: OpenAI) -> None:
    for given in (
        client.with_options(api_key="wrong"),
        client.with_options(default_headers={"Authorization": ""}),
    ):
        with pytest.raises(openai.AuthenticationError):
            chat(given)


def test_an_unknown_path_and_a_body_that_is_no_json_are_refused(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.post("/nowhere", body={}, cast_to=object)
    with pytest.raises(openai.BadRequestError):
        client.post("/chat/completions", content=b"{", cast_to=object)
    with pytest.raises(openai.APIStatusError) as method:
        client.get("/chat/completions", cast_to=object)
    assert method.value.status_code == 405
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_unknown")
