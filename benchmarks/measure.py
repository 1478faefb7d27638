"""What instrumentors add to the programs that they watch: arms beside each other, interleaved in one run.

A benchmark describes itself as a ``Benchmark`` and calls ``main``. Each arm is a process of its own, asked in
turn for a few calls of each kind, so that all of them meet the same weather, and replaced now and then: where
its memory happens to lie makes one process a tenth slower than another. Measured is CPU time of the calling
thread; spans are encoded to OTLP bytes in the exporter's thread and dropped. Given are the median of
the differences to the uninstrumented arm of the same round, and the difference of the two minima.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

FLOOR = "uninstrumented"
LIVED = 12
"""Rounds after which every arm is measured in a new process."""
OURS = "tupletrace"
ROOT = Path(__file__).parent.parent
Arm = Callable[["TracerProvider"], object]
Work = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Benchmark:
    """What is measured; ``work`` runs in each arm's process after ``arms[arm]`` has instrumented it."""

    script: str
    requirements: Sequence[str]
    """What is installed beside this project, in an environment that all arms share."""
    arms: Mapping[str, Arm]
    """By name, without the uninstrumented one; the first is ours."""
    work: Callable[[], Work]
    calls: Mapping[str, int]
    """How often each kind of work is done between two looks at the clock."""
    reference: str
    """The arm to which ratios are given."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


def instrumentor(*targets: str) -> Arm:
    """Return the arm of these ``module:Class``, each a ``BaseInstrumentor``."""

    def instrument(provider: "TracerProvider") -> None:
        for target in targets:
            module, _, name = target.partition(":")
            getattr(importlib.import_module(module), name)().instrument(tracer_provider=provider)

    return instrument


def main(benchmark: Benchmark, description: str | None) -> None:
    """Read the command line, install what is needed, measure, print."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--starts", type=int, default=7, help="how often each arm's start is measured")
    parser.add_argument("--content", choices=["off", "on", "both"], default="both")
    parser.add_argument("--only", nargs="*", default=[], help="kinds of work")
    parser.add_argument("--installed", action="store_true", help="take this Python's packages as they are")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        _work(benchmark, asked.worker)
        return
    if not asked.installed:
        packages = [
            argument for requirement in benchmark.requirements for argument in ("--with", requirement)
        ]
        here = ["--no-project", "--with-editable", str(ROOT), *packages, "python", benchmark.script]
        os.execvp("uv", ["uv", "run", "--quiet", *here, "--installed", *sys.argv[1:]])
    kinds = asked.only or list(benchmark.calls)
    for content in ("off", "on") if asked.content == "both" else (asked.content,):
        _measure_calls(benchmark, kinds, asked.rounds, content)
    if not asked.only:
        _measure_starts(benchmark, asked.starts)


def _work(benchmark: Benchmark, arm: str) -> None:
    """Answer every kind of work read from stdin with CPU microseconds a call."""
    started = time.process_time()
    if arm != FLOOR:
        benchmark.arms[arm](provider())
    instrumented = time.process_time()
    work = benchmark.work()
    next(iter(work.values()))()
    start = {"instrumented": instrumented - started, "first call": time.process_time() - started}
    print(json.dumps({kind: seconds * 1e6 for kind, seconds in start.items()}), flush=True)
    for line in sys.stdin:
        kind, calls = line.strip(), benchmark.calls[line.strip()]
        run = work[kind]
        start = time.thread_time()
        for _ in range(calls):
            run()
        print((time.thread_time() - start) / calls * 1e6, flush=True)


def provider() -> "TracerProvider":
    """Return a provider that encodes spans and drops them."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Drop(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            encode_spans(spans).SerializeToString()
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Drop(), max_queue_size=100_000))
    trace.set_tracer_provider(provider)
    return provider


class _Worker:
    """The process of one arm."""

    def __init__(self, benchmark: Benchmark, arm: str, content: str) -> None:
        on = content == "on"
        environment = {
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY" if on else "NO_CONTENT",
            "TRACELOOP_TRACE_CONTENT": str(on).lower(),
            "OPENINFERENCE_HIDE_INPUTS": str(not on).lower(),
            "OPENINFERENCE_HIDE_OUTPUTS": str(not on).lower(),
        }
        self._process = subprocess.Popen(
            [sys.executable, benchmark.script, "--worker", arm],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment, **benchmark.environment},
        )
        self.start: dict[str, float] = json.loads(self._read())

    def ask(self, kind: str) -> float:
        """Return CPU microseconds a call."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind}\n")
        self._process.stdin.flush()
        return float(self._read())

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended")
        return line


def _measure_calls(benchmark: Benchmark, kinds: Sequence[str], rounds: int, content: str) -> None:
    arms = [FLOOR, *benchmark.arms]
    measured: dict[str, dict[str, list[float]]] = {kind: {arm: [] for arm in arms} for kind in kinds}
    for first in range(0, rounds, LIVED):
        workers = {arm: _Worker(benchmark, arm, content) for arm in arms}
        for number in range(first - 3, min(first + LIVED, rounds)):
            for kind in kinds:
                for arm in arms[number % len(arms) :] + arms[: number % len(arms)]:
                    spent = workers[arm].ask(kind)
                    if number >= first:  # before that they warm up
                        measured[kind][arm].append(spent)
        for worker in workers.values():
            worker.stop()
    _print(benchmark, f"CPU of the calling thread, us a call, {rounds} rounds, content {content}", measured)


def _measure_starts(benchmark: Benchmark, starts: int) -> None:
    measured: dict[str, dict[str, list[float]]] = {}
    for _ in range(starts):
        for arm in (FLOOR, *benchmark.arms):
            worker = _Worker(benchmark, arm, "off")
            worker.stop()
            for kind, spent in worker.start.items():
                measured.setdefault(kind, {}).setdefault(arm, []).append(spent)
    _print(benchmark, f"CPU of the process since its start, us, {starts} starts", measured)


def _print(benchmark: Benchmark, title: str, measured: Mapping[str, Mapping[str, list[float]]]) -> None:
    print(f"\n{title}: the uninstrumented, and what each adds to it; median / least")
    print(f"{'':24}{FLOOR:>18}" + "".join(f"{arm:>20}" for arm in benchmark.arms) + f"{'ratio':>14}")
    for kind, spent in measured.items():
        floor = spent[FLOOR]
        added = {
            arm: (
                statistics.median(one - base for one, base in zip(spent[arm], floor, strict=True)),
                min(spent[arm]) - min(floor),
            )
            for arm in benchmark.arms
        }
        ratio = [ours / peer for ours, peer in zip(added[OURS], added[benchmark.reference], strict=True)]
        print(
            f"{kind:24}{statistics.median(floor):9,.0f} /{min(floor):7,.0f}"
            + "".join(f"{median:+11,.0f} /{least:+7,.0f}" for median, least in added.values())
            + f"{ratio[0]:7.2f} /{ratio[1]:5.2f}",
            flush=True,
        )
    print(f"ratio: {OURS} to {benchmark.reference}")
