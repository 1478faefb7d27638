"""Query and chat engines: one workflow, its retrieval and its model calls below it."""

import asyncio
import gc
import json
from typing import Any

import openai
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.query_engine import CustomQueryEngine

from tupletrace.instrumentors import using_route, using_session, using_tags, using_user

pytestmark = pytest.mark.usefixtures("instrumented")

QUERY = [
    (
        "invoke_workflow RetrieverQueryEngine",
        [
            ("retrieval SimpleVectorStore", ["embeddings text-embedding-3-small"]),
            "chat gpt-4o-mini",
        ],
    )
]


def test_a_query_is_a_workflow_with_a_retrieval_and_an_inference_below(
    index: VectorStoreIndex, llm: Any, tree: Any
) -> None:
    answer = index.as_query_engine(llm=llm()).query("What is Paris?")

    assert str(answer) == "Hello world"
    assert tree() == QUERY


def test_an_async_query_has_the_same_spans(index: VectorStoreIndex, llm: Any, tree: Any) -> None:
    answer = asyncio.run(index.as_query_engine(llm=llm()).aquery("What is Paris?"))

    assert str(answer) == "Hello world"
    assert tree() == QUERY


def test_a_streamed_query_asks_the_model_as_it_is_read_and_stays_one_trace(
    index: VectorStoreIndex, llm: Any, endpoint: Any, tree: Any, named: Any
) -> None:
    response = index.as_query_engine(llm=llm(), streaming=True).query("What is Paris?")

    assert [body for body in endpoint.requests if "messages" in body] == []
    assert "".join(response.response_gen) == "Hello world "
    assert tree() == QUERY
    (inference,) = named("chat")
    assert inference.attributes["gen_ai.request.stream"] is True
    assert inference.attributes["gen_ai.response.time_to_first_chunk"] > 0


def test_an_async_streamed_query_stays_one_trace(index: VectorStoreIndex, llm: Any, tree: Any) -> None:
    async def ask() -> str:
        response = await index.as_query_engine(llm=llm(), streaming=True).aquery("What is Paris?")
        return "".join([token async for token in response.response_gen])

    assert asyncio.run(ask()) == "Hello world "
    assert tree() == QUERY


def test_a_streamed_query_that_nobody_reads_ends_when_it_is_dropped(
    index: VectorStoreIndex, llm: Any, tree: Any, failures: Any
) -> None:
    response = index.as_query_engine(llm=llm(), streaming=True).query("What is Paris?")
    del response
    gc.collect()

    assert [("invoke_workflow RetrieverQueryEngine", [QUERY[0][1][0]])] == tree()
    assert failures() == {"invoke_workflow RetrieverQueryEngine": "_OTHER"}


def test_the_inference_says_what_was_asked_and_reported(
    index: VectorStoreIndex, llm: Any, named: Any
) -> None:
    index.as_query_engine(llm=llm(temperature=0.3, max_tokens=50)).query("What is Paris?")

    (inference,) = named("chat")
    said = dict(inference.attributes)
    assert said.pop("gen_ai.prompt.version").startswith("template-")
    retriever = said.pop("tupletrace.retriever.version")
    assert said.pop("tupletrace.retriever.versions") == (retriever,)
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.3,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "openai.response.system_fingerprint": "fp_1",
        "openai.response.service_tier": "default",
        "gen_ai.prompt.name": "text_qa",
        "tupletrace.prompt.provenance": "derived",
        "tupletrace.retriever.name": "VectorIndexRetriever",
    }


def test_a_provider_error_reaches_the_user_and_fails_every_span_above_without_its_text(
    index: VectorStoreIndex, llm: Any, endpoint: Any, spans: Any, failures: Any
) -> None:
    endpoint.refused = "/chat/completions"
    with pytest.raises(openai.AuthenticationError):
        index.as_query_engine(llm=llm()).query("What is Paris?")

    expected = "openai.AuthenticationError"
    assert failures() == {"chat gpt-4o-mini": expected, "invoke_workflow RetrieverQueryEngine": expected}
    refused = {
        span.name: span.attributes.get("http.response.status_code") for span in spans.get_finished_spans()
    }
    assert (refused["chat gpt-4o-mini"], refused["invoke_workflow RetrieverQueryEngine"]) == (401, None)
    assert "canary" not in "".join(span.to_json() for span in spans.get_finished_spans())


def test_thirty_interleaved_async_queries_keep_their_own_parents(
    index: VectorStoreIndex, llm: Any, tree: Any
) -> None:
    engine = index.as_query_engine(llm=llm())

    async def ask() -> None:
        await asyncio.gather(*(engine.aquery(f"Question {n}?") for n in range(30)))

    asyncio.run(ask())
    assert tree() == QUERY * 30


def test_a_cancelled_query_ends_its_spans(
    index: VectorStoreIndex, llm: Any, endpoint: Any, failures: Any, tree: Any
) -> None:
    async def ask() -> None:
        endpoint.reached = asyncio.Event()
        task = asyncio.create_task(index.as_query_engine(llm=llm()).aquery("What is Paris?"))
        await endpoint.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    cancelled = "asyncio.exceptions.CancelledError"
    assert failures() == {"chat gpt-4o-mini": cancelled, "invoke_workflow RetrieverQueryEngine": cancelled}
    assert tree() == QUERY


class Shouting(CustomQueryEngine):
    """A query engine of the user's own, defined while the instrumentor is at work."""

    def custom_query(self, query_str: str) -> str:
        return query_str.upper()


def test_a_query_engine_of_the_users_own_is_a_workflow(tree: Any) -> None:
    class Later(Shouting):
        def query(self, str_or_query_bundle: Any) -> Any:
            return super().query(str_or_query_bundle)

    assert str(Shouting().query("hi")) == "HI"
    assert str(Later().query("hi")) == "HI"
    assert tree() == ["invoke_workflow Shouting", "invoke_workflow Later"]


def test_a_chat_engines_turns_share_conversation_and_prompt_version(
    index: VectorStoreIndex, llm: Any, named: Any
) -> None:
    engine = index.as_chat_engine(chat_mode="context", llm=llm(), system_prompt="Be brief.")
    engine.chat("Hello")
    engine.chat("And again")
    "".join(engine.stream_chat("And streamed").response_gen)

    inferences = named("chat gpt")
    assert len(inferences) == 3
    for key in ("gen_ai.conversation.id", "gen_ai.prompt.version", "gen_ai.prompt.name"):
        assert len({span.attributes[key] for span in inferences}) == 1, key
    assert len({span.parent.span_id for span in inferences}) == 3
    retrievals = {span.attributes["gen_ai.conversation.id"] for span in named("retrieval")}
    assert retrievals == {inferences[0].attributes["gen_ai.conversation.id"]}


def test_what_is_declared_is_on_every_span(index: VectorStoreIndex, llm: Any, spans: Any) -> None:
    with using_route("/ask"), using_user("u1"), using_tags("beta"), using_session("s1"):
        index.as_query_engine(llm=llm()).query("What is Paris?")

    found = spans.get_finished_spans()
    assert {"/ask"} == {span.attributes["tupletrace.route"] for span in found}
    assert {"u1"} == {span.attributes["user.id"] for span in found}
    assert {("beta",)} == {span.attributes["tupletrace.tags"] for span in found}
    assert {"s1"} == {span.attributes["gen_ai.conversation.id"] for span in found}


def said(spans: Any) -> dict[str, Any]:
    return {key: value for span in spans.get_finished_spans() for key, value in span.attributes.items()}


@pytest.mark.parametrize("content", ["NO_CONTENT", "EVENT_ONLY"], indirect=True)
def test_no_span_holds_content_where_the_environment_does_not_ask(
    index: VectorStoreIndex, llm: Any, spans: Any
) -> None:
    index.as_query_engine(llm=llm()).query("What is Paris?")
    text = json.dumps(said(spans))
    assert [part for part in ("What is", "a city", "Hello") if part in text] == []


@pytest.mark.parametrize("content", ["SPAN_ONLY"], indirect=True)
def test_spans_hold_content_where_the_environment_asks(index: VectorStoreIndex, llm: Any, spans: Any) -> None:
    index.as_query_engine(llm=llm()).query("What is Paris?")
    captured = said(spans)
    assert captured["gen_ai.retrieval.query.text"] == "What is Paris?"
    assert "Paris is a city." in captured["gen_ai.retrieval.documents"]
    assert "Hello world" in captured["gen_ai.output.messages"]


@pytest.mark.parametrize("content", ["SPAN_ONLY"], indirect=True)
@pytest.mark.parametrize("mode", ["context", "simple", "condense_question"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream_chat", "astream_chat"])
def test_a_streamed_chat_ends_with_its_answer(
    index: VectorStoreIndex, llm: Any, named: Any, asynchronous: bool, mode: Any
) -> None:
    engine = index.as_chat_engine(chat_mode=mode, llm=llm(), streaming=True)

    async def read() -> str:
        answer = await engine.astream_chat("What is Paris?")
        return "".join([token async for token in answer.async_response_gen()])

    text = asyncio.run(read()) if asynchronous else "".join(engine.stream_chat("What is Paris?").response_gen)

    assert text.strip() == "Hello world"
    chat = named("invoke_workflow")[0]
    assert all(chat.end_time >= span.end_time for span in named("chat"))
    assert "Hello world" in chat.attributes["gen_ai.output.messages"]


def test_a_streamed_chat_that_fails_half_way_fails_its_workflow(
    index: VectorStoreIndex, llm: Any, endpoint: Any, failures: Any
) -> None:
    endpoint.refused = "/chat/completions"
    mode: Any = "simple"
    answer = index.as_chat_engine(chat_mode=mode, llm=llm()).stream_chat("What is Paris?")
    with pytest.raises(openai.AuthenticationError):
        list(answer.response_gen)

    assert failures()["invoke_workflow SimpleChatEngine"] == "openai.AuthenticationError"
