"""Stages of the user's: installed by an entry point, run before spans are stored, isolated when they fail."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "extending.md"
BROKEN = """
import sys
import pyarrow as pa

def raises(spans):
    raise RuntimeError("not today")

def returns_nothing(spans):
    return None

def renames(spans):
    return replaced(spans, "span_id", pa.array(["0" * 16] * len(spans)))

def exits(spans):
    sys.exit("not today")

def says_a_key_twice(spans):
    twice = [[("a", "1"), ("a", "2")]] * len(spans)
    return replaced(spans, "attributes", pa.array(twice, pa.map_(pa.string(), pa.string())))

def never_ends(spans):
    return replaced(spans, "duration_ns", pa.array([2**63 - 1] * len(spans)))

def is_no_utf8(spans):
    return replaced(spans, "name", pa.array([b"\\xff"] * len(spans)).view(pa.string()))

def replaced(spans, name, column):
    return spans.set_column(spans.column_names.index(name), name, column)
"""
EXITING = "raise SystemExit(1)"
ENTRY_POINTS = """
[tupletrace_processor]
a_missing = no_such_module:stage
b_raises = broken_stages:raises
c_returns_nothing = broken_stages:returns_nothing
d_renames = broken_stages:renames
e_exits = broken_stages:exits
f_says_a_key_twice = broken_stages:says_a_key_twice
g_never_ends = broken_stages:never_ends
h_is_no_utf8 = broken_stages:is_no_utf8
i_exits_at_import = exiting_stages:stage
"""
FAILING = re.findall(r"^\w+(?= = )", ENTRY_POINTS, re.MULTILINE)


@pytest.fixture(scope="module")
def running(start_processor: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A processor with the stages of the documentation installed, and some that fail."""
    site = tmp_path_factory.mktemp("site")
    text = DOCS.read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (declared,) = re.findall(
        r"```toml\n\[project.entry-points.tupletrace_processor\]\n(.*?)```", text, re.DOTALL
    )
    (site / "our_stages.py").write_text(code)
    (site / "broken_stages.py").write_text(BROKEN)
    (site / "exiting_stages.py").write_text(EXITING)
    (site / "stages-1.dist-info").mkdir()
    (site / "stages-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: stages\nVersion: 1\n")
    (site / "stages-1.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS + declared.replace('"', ""))
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    started = start_processor(PYTHONPATH=path)
    yield started
    started.stop()


def test_the_stages_of_the_documentation_change_what_is_stored(running: Any, otlp: Any, until: Any) -> None:
    messages = '[{"role": "user", "parts": [{"type": "text", "content": "write to ann@example.org"}]}]'
    spans = [
        otlp.call(1, 1, attributes={"gen_ai.input.messages": messages}),
        otlp.span(2, 1, attributes={"http.route": "/healthz"}),
        otlp.span(3, 1, attributes={"http.route": "/chat"}),
    ]
    assert running.post_traces(otlp.request(*spans)).status == 200
    asked = "SELECT trace_id[-1:] AS trace, input_messages FROM spans ORDER BY trace"
    called, chat = until(lambda: running.sql(asked))
    assert (called["trace"], chat["trace"]) == ("1", "3")
    assert "<mail>" in called["input_messages"]
    assert "ann@" not in called["input_messages"]


def test_a_stage_that_fails_holds_nothing_up_and_is_counted(running: Any, otlp: Any, until: Any) -> None:
    running.post_traces(otlp.request(otlp.span(4, 1), otlp.span(4, 2)))
    until(lambda: len(running.sql(f"FROM spans WHERE trace_id = '{4:032x}'")) == 2)
    counted = running.request("/metrics").body.decode()
    for stage in FAILING:
        (value,) = re.findall(rf'tupletrace_stage_failures_total{{stage="{stage}"}} (\S+)', counted)
        assert float(value) >= 1
    assert "without_probes" not in counted
