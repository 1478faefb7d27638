"""The tuple of other vendors' spans, by the same rule as ours; where it cannot be known, why not."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tupletrace.semconv import fingerprint

TOOL = {"name": "search", "description": "Find.", "parameters": {"type": "object"}}
OPENAI_TOOL = {"type": "function", "function": TOOL}
VERCEL_TOOL = {"type": "function", **{k: v for k, v in TOOL.items() if k != "parameters"}}
VERCEL_TOOL["inputSchema"] = TOOL["parameters"]
LLM = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.provider": "openai"}
SYSTEM = {"llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": "Be kind."}


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    return open_database()


class Asked:
    trace = 90_000


@pytest.fixture
def layers(database: Any, otlp: Any) -> Callable[..., dict[str, tuple[Any, ...]]]:
    """Insert one trace of (span, parent, attributes); return (name, version, provenance, reason) by layer."""

    def send(*spans: tuple[int, int | None, dict[str, Any]], **names: str) -> dict[str, tuple[Any, ...]]:
        Asked.trace += 1
        made = [
            otlp.span(Asked.trace, span, parent, said, name=names.get(f"_{span}", "span"))
            for span, parent, said in spans
        ]
        database.insert(otlp.request(*made))
        database.store.settle(0)
        rows = database.rows("FROM trace_layers WHERE trace_id = ?", [f"{Asked.trace:032x}"])
        assert len({row["layer"] for row in rows}) == len(rows)
        return {row["layer"]: (row["name"], row["version"], row["provenance"], row["reason"]) for row in rows}

    return send


@pytest.mark.parametrize(
    "attributes",
    [
        LLM | {"llm.tools.0.tool.json_schema": json.dumps(OPENAI_TOOL)},
        LLM | {"llm.invocation_parameters": json.dumps({"tools": [OPENAI_TOOL]})},
        {"gen_ai.span.kind": "LLM", "gen_ai.tool.definitions.0.tool.json_schema": json.dumps(OPENAI_TOOL)},
        {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.chat.tools": json.dumps([OPENAI_TOOL])},
        {
            "llm.request.type": "chat",
            "llm.request.functions.0.name": "search",
            "llm.request.functions.0.description": "Find.",
            "llm.request.functions.0.parameters": json.dumps(TOOL["parameters"]),
        },
        {"ai.operationId": "ai.generateText.doGenerate", "ai.prompt.tools": [json.dumps(VERCEL_TOOL)]},
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.tool.definitions": json.dumps([{"type": "function", **TOOL}]),
        },
        {"gen_ai.operation.name": "chat", "gen_ai.tool.definitions": json.dumps([TOOL])},
    ],
)
def test_tools_have_the_same_version_in_every_dialect(
    layers: Any, database: Any, attributes: dict[str, Any]
) -> None:
    names, version = fingerprint.tools_identity([TOOL])
    assert layers((1, None, attributes))["tools"] == (", ".join(names), version, "derived", None)
    query = "SELECT tool_definitions FROM spans WHERE trace_id = ?"
    (row,) = database.rows(query, [f"{Asked.trace:032x}"])
    assert json.loads(row["tool_definitions"]) == [{"type": "function", **TOOL}]


@pytest.mark.parametrize("said", ["null", "nothing", "{}", "[]", "[1]"])
def test_what_is_no_tool_is_none(layers: Any, said: str) -> None:
    assert "tools" not in layers((1, None, LLM | {"gen_ai.tool.definitions": said}))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param('[{"name": "search", "description": "\\ud800"}]', id="half a surrogate pair"),
        pytest.param(f'[{{"name": "search", "parameters": {"[" * 5_000}', id="nested without end"),
    ],
)
def test_what_python_cannot_read_or_write_spoils_no_other_span(database: Any, otlp: Any, said: str) -> None:
    keys = ("gen_ai.tool.definitions", "llm.prompt_template.template")
    Asked.trace += 1
    odd = [otlp.span(Asked.trace, place, None, LLM | {key: said}) for place, key in enumerate(keys, 2)]
    named = otlp.span(Asked.trace, 1, None, LLM | {"gen_ai.tool.definitions": json.dumps([TOOL])})
    database.insert(otlp.request(*odd, named))
    query = "SELECT tools_version FROM spans WHERE trace_id = ? ORDER BY span_id"
    versions = [row["tools_version"] for row in database.rows(query, [f"{Asked.trace:032x}"])]
    assert versions[0] == fingerprint.tools_identity([TOOL])[1]
    assert len(versions) == 3


DECLARED = [
    LLM | {"prompt.id": "answer", "llm.prompt_template.version": "3"},
    LLM | {"metadata": '{"lc_hub_owner": "-", "lc_hub_repo": "answer", "lc_hub_commit_hash": "3"}'},
    {"llm.request.type": "chat", "traceloop.prompt.key": "answer", "traceloop.prompt.version": 3},
    {
        "llm.request.type": "chat",
        "traceloop.entity.input": '{"metadata": {"lc_hub_repo": "answer", "lc_hub_commit_hash": "3"}}',
    },
    {
        "gen_ai.span.kind": "LLM",
        "gen_ai.prompt.template.name": "answer",
        "gen_ai.prompt.template.version": "3",
    },
    {
        "langfuse.observation.type": "generation",
        "langfuse.observation.prompt.name": "answer",
        "langfuse.observation.prompt.version": 3,
    },
    {"mlflow.spanType": '"LLM"', "mlflow.linkedPrompts": '[{"name": "answer", "version": "3"}]'},
    {
        "ai.operationId": "ai.streamText.doStream",
        "ai.telemetry.metadata.langfusePrompt": '{"name": "answer", "version": 3}',
    },
    {
        "langsmith.span.kind": "llm",
        "langsmith.metadata.prompt_name": "answer",
        "langsmith.metadata.prompt_version": "3",
    },
]


@pytest.mark.parametrize("attributes", DECLARED)
def test_a_prompts_name_and_version_are_declared_in_every_dialect(
    layers: Any, attributes: dict[str, Any]
) -> None:
    assert layers((1, None, attributes))["prompt"] == ("answer", "3", "declared", None)


def test_a_template_is_the_prompt_and_its_rendering_is_not(layers: Any) -> None:
    template = LLM | SYSTEM | {"llm.prompt_template.template": "Be {how}."}
    expected = fingerprint.template_version([("user", "Be {how}.")], "f-string")
    assert layers((1, None, template))["prompt"][1:] == (expected, "derived", None)
    messages = [{"role": "system", "content": "Be {how}."}]
    listed = LLM | {"llm.prompt_template.template": json.dumps(messages)}
    expected = fingerprint.template_version([("system", "Be {how}.")], "f-string")
    assert layers((1, None, listed))["prompt"][1] == expected


@pytest.mark.parametrize(
    "attributes",
    [
        LLM | SYSTEM,
        {"gen_ai.span.kind": "LLM", "gen_ai.input.messages.0.message.role": "system",
         "gen_ai.input.messages.0.message.content": "Be kind."},
        {"llm.request.type": "chat", "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "Be kind."},
        {"gen_ai.operation.name": "chat",
         "gen_ai.system_instructions": '[{"type": "text", "content": "Be kind."}]'},
        {"gen_ai.operation.name": "chat", "gen_ai.system_instructions": "Be kind."},
        {"ai.operationId": "ai.generateText.doGenerate",
         "ai.prompt.messages": '[{"role": "system", "content": "Be kind."}]'},
        {"mlflow.spanType": '"CHAT_MODEL"',
         "mlflow.spanInputs": '{"messages": [{"role": "system", "content": "Be kind."}]}'},
    ],
)  # fmt: skip
def test_a_system_text_is_the_prompt_where_there_is_no_template(
    layers: Any, attributes: dict[str, Any]
) -> None:
    expected = fingerprint.static_text_version([("system", "Be kind.")])
    assert layers((1, None, attributes))["prompt"][1:] == (expected, "derived", None)


def test_a_template_that_ran_beside_a_call_made_its_prompt(layers: Any) -> None:
    run = {"openinference.span.kind": "PROMPT", "llm.prompt_template.template": "Be {how}."}
    expected = fingerprint.template_version([("user", "Be {how}.")], "f-string")
    found = layers((1, 9, run), (2, 9, LLM | SYSTEM))
    assert found["prompt"][1:] == (expected, "derived", None)
    hub = run | {"metadata": '{"lc_hub_owner": "acme", "lc_hub_repo": "p", "lc_hub_commit_hash": "c0"}'}
    assert layers((1, 9, hub), (2, 9, LLM | SYSTEM))["prompt"] == ("acme/p", "c0", "declared", None)
    assert layers((1, 8, run), (2, 9, LLM))["prompt"][2] == "missing", "another chain's"


def test_what_a_call_names_itself_comes_before_what_ran_beside_it(layers: Any) -> None:
    run = {"openinference.span.kind": "PROMPT", "llm.prompt_template.template": "Be {how}."}
    assert layers((1, 9, run), (2, 9, DECLARED[0]))["prompt"][:2] == ("answer", "3")


@pytest.mark.parametrize(
    ("spans", "reason"),
    [
        ([(2, 9, LLM)], "content capture off, it seems: no prompt id, template or message on the span"),
        (
            [
                (
                    2,
                    9,
                    LLM
                    | {
                        "llm.input_messages.0.message.role": "user",
                        "llm.input_messages.0.message.content": "x",
                    },
                )
            ],
            "no prompt id, template or system text on the call",
        ),
        (
            [(1, 9, {"mlflow.spanType": '"CHAIN"'}), (2, 9, LLM | SYSTEM)],
            "no template on span: only its rendering",
        ),
        (
            [(2, 9, LLM | SYSTEM | {"gen_ai.prompt.variable.how": "kind"})],
            "no template on span: only its rendering",
        ),
    ],
)
def test_a_missing_prompt_says_why(layers: Any, spans: Any, reason: str) -> None:
    found = layers(*spans, _1="ChatPromptTemplate")
    assert found["prompt"] == (None, None, "missing", reason)


def test_a_retrievers_configuration_is_its_version_and_without_any_it_is_missing(layers: Any) -> None:
    known = {"ls_vector_store_provider": "Chroma", "ls_embedding_provider": "OpenAIEmbeddings"}
    openinference = {"openinference.span.kind": "RETRIEVER", "metadata": json.dumps(known)}
    traceloop = {"gen_ai.operation.name": "vector_db_retrieve", "gen_ai.provider.name": "langchain"}
    traceloop |= {f"traceloop.association.properties.{key}": value for key, value in known.items()}
    found = [layers((1, None, said), _1="faq")["retriever"] for said in (openinference, traceloop)]
    assert found[0][1] == found[1][1]
    assert found[0][0] == "faq"
    assert found[0][2] == "derived"
    other = openinference | {"metadata": json.dumps(known | {"ls_vector_store_provider": "FAISS"})}
    assert layers((1, None, other))["retriever"][1] != found[0][1]
    nothing = layers((1, None, {"openinference.span.kind": "RETRIEVER"}))["retriever"]
    assert nothing[1:] == (None, "missing", "no retriever configuration on the retrieval span")


def messages(*said: tuple[str, Any]) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text"} | more]} for role, more in said])


CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
MARK = {
    f"llm.input_messages.{i}.message.{key}": said
    for i, role in enumerate(("system", "user"))
    for key, said in (("role", role), ("content", "__REDACTED__"))
}
ASKED = messages(("system", {"content": "Be kind."}))
OFF, HIDDEN, CUT, ELSEWHERE = (
    "content capture off, it seems: no prompt id, template or message on the span",
    "content hidden: the messages on the span are without their texts",
    "content cut off: the messages on the span cannot be read",
    "content uploaded: only a reference to the messages is on the span",
)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (CALL, OFF),
        (LLM | {"input.value": "__REDACTED__"}, OFF),
        ({"llm.request.type": "chat", "gen_ai.system": "OpenAI"}, OFF),
        ({"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "gpt-4o"}, OFF),
        (LLM | MARK, HIDDEN),
        (LLM | {"llm.prompt_template.template": "__REDACTED__"} | MARK, HIDDEN),
        (CALL | {"gen_ai.input.messages": messages(("system", {}), ("user", {}))}, HIDDEN),
        (CALL | {"gen_ai.system_instructions": '[{"type": "text"}]'}, HIDDEN),
        (CALL | {"gen_ai.system_instructions": "<redacted>"}, HIDDEN),
        ({"langsmith.span.kind": "llm", "gen_ai.prompt": "{}"}, HIDDEN),
        ({"logfire.msg": "x", "gen_ai.input.messages": "[Scrubbed due to 'password']"} | CALL, HIDDEN),
        (CALL | {"gen_ai.input.messages": ASKED[:60]}, CUT),
        (CALL | {"gen_ai.input.messages_ref": "s3://there/1.json"}, ELSEWHERE),
    ],
)
def test_a_prompt_without_texts_says_what_became_of_them_and_no_mark_is_a_version(
    layers: Any, attributes: dict[str, Any], reason: str
) -> None:
    tool = (2, 1, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"})
    found = layers((1, None, attributes), tool)
    assert found["prompt"] == (None, None, "missing", reason)
    why = "content capture off, it seems: a tool ran, but no call has definitions of tools"
    assert found["tools"] == (None, None, "missing", why)


@pytest.mark.parametrize("revision", [{}, {"openai.response.system_fingerprint": "fp_1"}])
def test_a_model_that_answered_is_known_without_a_fingerprint_of_its_providers(
    layers: Any, revision: dict[str, str]
) -> None:
    answered = CALL | {"gen_ai.response.model": "gpt-4o-2024-08-06"} | revision
    version = "@".join(["gpt-4o-2024-08-06", *revision.values()])
    assert layers((1, None, answered))["model"] == ("gpt-4o", version, "declared", None)


def test_a_failed_call_without_content_does_not_say_that_its_capture_is_off(
    layers: Any, database: Any, otlp: Any
) -> None:
    """OpenLIT writes what was asked with the answer, and there was none."""
    Asked.trace += 1
    failed = otlp.span(Asked.trace, 1, None, CALL, name="chat gpt-4o")
    failed.status.code = 2
    database.insert(otlp.request(failed))
    database.store.settle(0)
    query = "SELECT provenance, reason FROM trace_layers WHERE layer = 'prompt' AND trace_id = ?"
    (row,) = database.rows(query, [f"{Asked.trace:032x}"])
    assert row == {"provenance": "missing", "reason": "no prompt id, template or message on the span"}
    assert layers((1, None, CALL))["prompt"][3] == OFF


@pytest.mark.parametrize(
    ("spans", "layer", "name", "reason"),
    [
        (
            [(1, None, {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "faq"})],
            "retriever",
            "faq",
            "only what was searched is on the retrieval span, not how",
        ),
        (
            [
                (1, None, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.tools": '["look"]'}),
                (2, 1, CALL | {"event_loop.cycle_id": "1", "gen_ai.input.messages": ASKED}),
            ],
            "tools",
            "look",
            "only the names of the tools were told, not their definitions",
        ),
        (
            [
                (1, None, CALL | {"gen_ai.input.messages": ASKED}),
                (2, 1, {"gen_ai.operation.name": "execute_tool"}),
            ],
            "tools",
            None,
            "a tool ran, but no call says which tools the model was offered",
        ),
        (
            [(1, None, {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 9})],
            "prompt",
            None,
            "an agent's run: nothing tells the calls in it, and their prompts",
        ),
        (
            [(1, None, {"gen_ai.operation.name": "chat"})],
            "model",
            None,
            "no model on the call",
        ),
    ],
)
def test_what_is_missing_says_what_exactly(
    layers: Any, spans: Any, layer: str, name: str | None, reason: str
) -> None:
    assert layers(*spans)[layer] == (name, None, "missing", reason)
