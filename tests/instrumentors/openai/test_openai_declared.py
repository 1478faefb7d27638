"""Route, user, session and tags: declared by the program or carried by W3C baggage, on every span below."""

from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.context import attach, detach

from tupletrace.instrumentors import using_route, using_session, using_tags, using_user

NAMES = ("tupletrace.route", "user.id", "gen_ai.conversation.id", "tupletrace.tags")
BAGGAGE = "tupletrace.route=/carried,user.id=carried-user,session.id=carried-session,tupletrace.tags=a%2C%20b"
VECTOR = {"object": "embedding", "index": 0, "embedding": [0.5]}
EMBEDDED = {
    "object": "list",
    "model": "e",
    "data": [VECTOR],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


def declared(attributes: Any) -> tuple[Any, ...]:
    return tuple(attributes.get(name) for name in NAMES)


@pytest.fixture
def chat(provider: Any, program: Any, completion: dict[str, Any]) -> Any:
    """Make a chat completion."""
    provider.answers_json(completion)
    return lambda: program.call("chat.completions.create", model="m", messages=[])


@pytest.fixture
def baggage() -> Any:
    """The context of a request that came with baggage."""
    token = attach(propagate.extract({"baggage": BAGGAGE}))
    yield
    detach(token)


def test_what_is_declared_is_on_the_span(chat: Any, facts: Any) -> None:
    with using_route("/answer"), using_user("u1"), using_session("s1"), using_tags("beta", "eu"):
        chat()

    assert declared(facts()) == ("/answer", "u1", "s1", ("beta", "eu"))


def test_nothing_declared_is_absent(chat: Any, facts: Any) -> None:
    chat()

    assert declared(facts()) == (None, None, None, None)


def test_it_ends_with_its_block_and_the_inner_one_wins(chat: Any, spans: Any) -> None:
    with using_user("outer"), using_tags("a"):
        with using_user("inner"), using_tags("b", "a"):
            chat()
        chat()
    chat()

    seen = [declared(span.attributes) for span in spans.get_finished_spans()]
    assert seen == [
        (None, "inner", None, ("a", "b")),
        (None, "outer", None, ("a",)),
        (None, None, None, None),
    ]


def test_baggage_says_it_where_the_program_does_not(baggage: None, chat: Any, facts: Any) -> None:
    with using_user("here"):
        chat()

    assert declared(facts()) == ("/carried", "here", "carried-session", ("a", "b"))


def test_embeddings_say_it_too(provider: Any, program: Any, facts: Any) -> None:
    provider.answers_json(EMBEDDED)

    with using_user("u1"), using_session("s1"):
        program.call("embeddings.create", model="e", input="x")

    assert declared(facts()) == (None, "u1", "s1", None)


def test_the_conversation_that_a_call_names_wins(
    provider: Any, program: Any, response: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(response)

    with using_session("s1"):
        program.call("responses.create", model="m", input="x", conversation="conv_1")

    assert facts()["gen_ai.conversation.id"] == "conv_1"


def test_a_decorator_declares_for_each_call_of_its_function(chat: Any, facts: Any) -> None:
    @using_tags("nightly")
    @using_user("u2")
    def job() -> None:
        chat()

    job()

    assert declared(facts()) == (None, "u2", None, ("nightly",))
