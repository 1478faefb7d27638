"""SIGKILL at any moment loses nothing that was acknowledged, and stores nothing twice."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.timeout(600)
def test_fifty_kills_under_load_lose_nothing_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1, F3: at every stage boundary, at any moment, and while it stops; 25 on each of two databases.

    A thousand: ``benchmarks/kills.py``.
    """
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import kills  # pyright: ignore[reportMissingImports]

    with ThreadPoolExecutor(2) as lanes:
        results = list(lanes.map(lambda lane: kills.run(25, tmp_path / f"{lane}.duckdb", lane), range(2)))
    for result in results:
        assert (result.kills, result.good) == (25, True), str(result)
        assert len(result.acknowledged) > 10
