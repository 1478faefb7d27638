"""Beside three other instrumentors of the same client nothing breaks, whichever is loaded first."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).parent / "programs" / "beside.py"
OTHERS = (
    "openinference-instrumentation-openai==0.1.66",
    "opentelemetry-instrumentation-genai-openai==1.3b0",
    "opentelemetry-instrumentation-openai==0.62.4",
)
CALLS = ("plain", "streamed", "is a stream", "raw", "response", "refused", "async")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment in which all four are."""
    folder = tmp_path_factory.mktemp("environment")
    python = folder / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, "--clear", folder], check=True)
    subprocess.run(
        [*uv, "pip", "install", "-q", "--python", python, ROOT, "openai>=2,<3", *OTHERS], check=True
    )
    return python


@pytest.mark.parametrize("loaded", ["first", "last"])
def test_a10_beside_other_instrumentors_the_program_sees_the_same_and_no_call_is_told_of_twice(
    python: Path, loaded: str
) -> None:
    done = subprocess.run([python, PROGRAM, loaded], check=True, capture_output=True, text=True, timeout=120)
    printed = json.loads(done.stdout)
    found: dict[str, Any] = printed["found"]

    assert {call for call, saw in found.items() if saw["changed"]} == set()
    for call in CALLS:
        beside, after = found[f"{call}, beside"], found[f"{call}, after"]
        assert len(beside["told"]) == len(beside["identified"]) == (2 if call == "async" else 1)
        # Of a stream that nobody reads the outer span ends first.
        assert all(beside["identified"]) or (call, loaded) == ("is a stream", "first")
        assert beside["others"] >= 1
        assert not any(after["identified"])
        if call not in ("is a stream", "refused"):
            assert set(beside["told"]) == {20}
    assert not [line for line in printed["said"] if "detach" in line or "failed" in line]
