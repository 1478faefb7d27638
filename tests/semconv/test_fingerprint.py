"""A version changes when, and only when, what it identifies changes."""

import datetime as dt
import re
import string
import time
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tupletrace.semconv import masking
from tupletrace.semconv.fingerprint import (
    fingerprint,
    mask_volatile,
    static_text_version,
    template_version,
    tools_identity,
)

words = st.text(string.ascii_lowercase, min_size=2, max_size=9).filter(
    lambda word: not re.fullmatch(masking._DAY + "|" + masking._MONTH, word, re.IGNORECASE)
)
sentences = st.lists(words, min_size=1, max_size=30)
dates = st.dates(dt.date(1990, 1, 1), dt.date(2099, 12, 31))
moments = st.datetimes(dt.datetime.fromisoformat("1990-01-01"), dt.datetime.fromisoformat("2099-12-31"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

WRITTEN_DATES = [
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%m/%d/%y",
    "%B %d, %Y",
    "%A, %B %d, %Y",
    "%a %d %b %Y",
    "%d of %B",
    "%d-%b-%Y",
    "%B %Y",
    "%Y-%m-%d, %A",
    "%Y-%m-%d (%A)",
    "%A %Y-%m-%d",
    "%Y%m%d",
]
WRITTEN_TIMES = [
    "%H:%M",
    "%H:%M:%S",
    "%I:%M %p",
    "%I:%M%p",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y%m%dT%H%M%SZ",
]


def version(text: str) -> str:
    return static_text_version([("system", text)])


@pytest.mark.parametrize("form", WRITTEN_DATES)
@given(before=sentences, after=sentences, one=dates, other=dates)
def test_another_date_in_the_same_prompt_is_the_same_version(
    form: str, before: list[str], after: list[str], one: dt.date, other: dt.date
) -> None:
    def prompt(date: dt.date) -> str:
        return f"{' '.join(before)} {date.strftime(form)}. {' '.join(after)}"

    assert version(prompt(one)) == version(prompt(other))


@pytest.mark.parametrize("form", WRITTEN_TIMES)
@given(before=sentences, one=moments, other=moments)
def test_another_time_in_the_same_prompt_is_the_same_version(
    form: str, before: list[str], one: dt.datetime, other: dt.datetime
) -> None:
    texts = [f"{' '.join(before)} {moment.strftime(form)}\nBe brief." for moment in (one, other)]

    assert version(texts[0]) == version(texts[1])


@given(one=dates, other=dates)
def test_another_weekday_of_today_is_the_same_version(one: dt.date, other: dt.date) -> None:
    assert version(f"Today is {one:%A}.") == version(f"Today is {other:%A}.")


@given(before=sentences, one=st.integers() | st.decimals(-(10**9), 10**9, places=2), other=st.integers())
def test_another_number_in_the_same_prompt_is_the_same_version(
    before: list[str], one: Any, other: int
) -> None:
    assert version(f"{' '.join(before)} {one} points") == version(f"{' '.join(before)} {other} points")
    assert version(f"{' '.join(before)} {abs(one):,} points") == version(f"{' '.join(before)} 7 points")


@given(one=st.integers(1, 10**6), other=st.integers(1, 10**6))
def test_an_ordinal_is_a_number_like_any_other(one: int, other: int) -> None:
    def ordinal(number: int) -> str:
        teens = number % 100 in (11, 12, 13)
        return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"

    assert version(f"You are caller {ordinal(one)}.") == version(f"You are caller {ordinal(other)}.")


def identifiers(alphabet: str) -> st.SearchStrategy[str]:
    """Random ids of 8 and more characters that hold a letter and, not only before two letters, a digit."""
    letter, digit = st.sampled_from(alphabet), st.sampled_from(string.digits)
    parts = st.tuples(letter, st.text(alphabet + string.digits, min_size=6, max_size=30), digit)
    return parts.map("".join)


@given(
    before=sentences,
    one=identifiers("abcdef") | identifiers(string.ascii_letters),
    other=identifiers("abcdef") | identifiers(string.ascii_uppercase),
)
def test_another_id_in_the_same_prompt_is_the_same_version(before: list[str], one: str, other: str) -> None:
    for form in ("{}", "user_{}", "<{}>", "https://x.example/{}?q=1", "req-{}:"):
        texts = [f"{' '.join(before)} {form.format(identity)} end" for identity in (one, other)]

        assert version(texts[0]) == version(texts[1])


@given(one=st.uuids(), other=st.uuids())
def test_another_uuid_in_the_same_prompt_is_the_same_version(one: uuid.UUID, other: uuid.UUID) -> None:
    assert version(f"session {one}, go") == version(f"session {other}, go")
    assert version(f"session {str(one).upper()}, go") == version(f"session {other}, go")


@given(one=st.emails(domains=st.just("a.example")), other=st.just("jane.doe+x@mail.example.org"))
def test_another_plain_address_in_the_same_prompt_is_the_same_version(one: str, other: str) -> None:
    if re.fullmatch(r"[a-zA-Z0-9][\w.+-]*@a\.example", one):
        assert version(f"The user is <{one}> today") == version(f"The user is <{other}> today")


@given(text=sentences, at=st.integers(0, 29), word=words)
def test_one_word_edited_is_another_version(text: list[str], at: int, word: str) -> None:
    edited = list(text)
    edited[at % len(text)] = word

    assert (version(" ".join(text)) == version(" ".join(edited))) is (text == edited)


@given(text=sentences, date=dates, at=st.integers(0, 29), word=words)
def test_one_word_edited_beside_a_date_is_another_version(
    text: list[str], date: dt.date, at: int, word: str
) -> None:
    edited = list(text)
    edited[at % len(text)] = word

    same = version(f"{date:%B %d} {' '.join(text)}") == version(f"{date:%d %B %Y} {' '.join(edited)}")

    assert same is (text == edited)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Closed on Sunday.", "Closed on Saturday."),
        ("Answer like a pirate in May.", "Answer like a pirate in June."),
        ("Call get_user_info_v2.", "Call get_user_data_v2."),
        ("Encode as base64.", "Encode as sha256."),
        ("Wait 500ms.", "Wait 500s."),
    ],
)
def test_what_looks_volatile_but_is_not_is_kept(one: str, other: str) -> None:
    assert version(one) != version(other)


@given(text=st.text(alphabet="a1 .-@:,\nMon May20thpmZ\u0663\u00e9", max_size=200))
def test_the_windows_around_digits_mask_what_the_whole_text_would(text: str) -> None:
    plain = masking._OTHER_DIGIT.sub("0", text)

    assert masking._mask(text) == masking._VOLATILE.sub("#", plain)


def test_a_long_text_is_masked_like_a_short_one() -> None:
    line = "It is 10:30 on Friday, November 20, 2026; ask user_8f3a91c2.\n"

    assert mask_volatile(line * 1000) == mask_volatile(line) * 1000


@pytest.mark.parametrize("token", ["a.", "a-_", "1a", "1.", "a@", "Mon ", "May 1", "1,", "+1", "a1-"])
def test_no_text_takes_more_than_linear_time(token: str) -> None:
    text = token * 50_000
    begin = time.process_time()

    mask_volatile(f"{text}1 {text}")

    assert time.process_time() - begin < 5


@given(role=st.sampled_from(["system", "developer"]), text=st.text(max_size=20), other=st.text(max_size=20))
def test_a_role_and_the_order_of_texts_are_part_of_the_version(role: str, text: str, other: str) -> None:
    texts = [(role, text), ("user", other)]

    assert static_text_version(texts) != static_text_version(texts[::-1])


def test_the_response_schema_is_part_of_the_version() -> None:
    texts = [("system", "Answer.")]
    schemas = [None, {"type": "object"}, {"type": "array"}]

    assert len({static_text_version(texts, schema) for schema in schemas}) == 3


@given(value=json_values)
def test_a_fingerprint_is_its_kind_and_twelve_hex_digits_whatever_the_key_order(value: Any) -> None:
    def reversed_keys(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: reversed_keys(inner[key]) for key in reversed(inner)}
        return [reversed_keys(item) for item in inner] if isinstance(inner, list) else inner

    assert re.fullmatch("kind-[0-9a-f]{12}", fingerprint("kind", value))
    assert fingerprint("kind", value) == fingerprint("kind", reversed_keys(value))


def test_a_template_is_told_by_roles_texts_and_format_with_nothing_masked() -> None:
    versions = {
        template_version([("system", "Be 1")], "f-string"),
        template_version([("system", "Be 2")], "f-string"),
        template_version([("human", "Be 1")], "f-string"),
        template_version([("system", "Be 1")], "mustache"),
    }

    assert len(versions) == 4


schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(words, st.just({"type": "string"}), max_size=3)}
)
tools = st.lists(
    st.fixed_dictionaries({"name": words, "description": words, "parameters": schemas}),
    min_size=1,
    max_size=4,
    unique_by=lambda tool: tool["name"],
)


@given(offered=tools, data=st.data())
def test_the_order_of_tools_and_of_keys_does_not_change_their_version(
    offered: list[dict[str, Any]], data: st.DataObject
) -> None:
    shuffled = [dict(reversed(tool.items())) for tool in data.draw(st.permutations(offered))]

    assert tools_identity(offered) == tools_identity(shuffled)


@given(offered=tools, at=st.integers(0, 3), word=words, key=st.sampled_from(["name", "description"]))
def test_one_word_of_a_tool_edited_is_another_version(
    offered: list[dict[str, Any]], at: int, word: str, key: str
) -> None:
    edited = [dict(tool) for tool in offered]
    edited[at % len(edited)][key] = word

    assert (tools_identity(offered)[1] == tools_identity(edited)[1]) is (offered == edited)


@given(offered=tools)
def test_the_same_tools_in_each_vendor_s_shape_are_one_version(offered: list[dict[str, Any]]) -> None:
    shapes: list[list[dict[str, Any]]] = [
        [{"type": "function", "function": tool} for tool in offered],
        [{"type": "function", "strict": True} | tool for tool in offered],
        [
            {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
            for tool in offered
        ],
    ]

    assert {tools_identity(shape)[1] for shape in shapes} == {tools_identity(offered)[1]}


def test_a_built_in_tool_is_told_by_its_whole_definition_but_not_by_its_credentials() -> None:
    server = {"type": "mcp", "server_label": "crm", "server_url": "https://crm.example"}
    opened = [
        server | {"headers": {"Authorization": f"Bearer {key}"}, "authorization": key} for key in ("a", "b")
    ]

    assert tools_identity([opened[0]]) == tools_identity([opened[1]])
    assert tools_identity([server])[0] == ["crm"]
    assert tools_identity([server])[1] != tools_identity([server | {"allowed_tools": ["read"]}])[1]


def test_the_tools_inside_a_namespace_are_part_of_the_version() -> None:
    def namespace(description: str) -> dict[str, Any]:
        inner = {"type": "function", "name": "find", "description": description}
        return {"type": "namespace", "name": "crm", "description": "Customers", "tools": [inner]}

    assert tools_identity([namespace("one")])[1] != tools_identity([namespace("another")])[1]
