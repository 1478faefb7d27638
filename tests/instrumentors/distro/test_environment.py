"""What the standard configurator reads from the environment still works, and other distros are respected."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

WORK = "span('work')\nend()\n"
FOREIGN = """
import sys
from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.sdk.trace.id_generator import IdGenerator

class Configurator(_OTelSDKConfigurator):
    def _configure(self, **kwargs):
        print("foreign configurator")
        super()._configure(**kwargs)

class Distro(BaseDistro):
    def _configure(self, **kwargs):
        print("foreign distro")

class Ids(IdGenerator):
    def generate_span_id(self):
        return 1

    def generate_trace_id(self):
        return 2
"""
ENTRY_POINTS = """
[opentelemetry_distro]
distro = foreign:Distro

[opentelemetry_configurator]
configurator = foreign:Configurator

[opentelemetry_id_generator]
foreign = foreign:Ids
"""


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    """Another vendor's distro, installed so that it comes before ours; the folder for PYTHONPATH."""
    folder = tmp_path / "site"
    information = folder / "foreign-1.dist-info"
    information.mkdir(parents=True)
    (folder / "foreign.py").write_text(FOREIGN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    return str(folder)


def test_the_exporter_resource_and_limits_are_those_of_the_environment(program: Any, receiver: Any) -> None:
    """`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, attribute limits, an endpoint for traces alone."""
    program("span('work', text='x' * 100)\nend()").run(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=receiver.endpoint,
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_SERVICE_NAME="shop",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="10",
    )

    (span,) = receiver.spans
    (resource,) = receiver.resources
    assert [attribute.value.string_value for attribute in span.attributes] == ["x" * 10]
    assert resource["service.name"] == "shop"
    assert resource["deployment.environment.name"] == "test"
    assert "telemetry.auto.version" in resource


def test_the_console_exporter_prints(program: Any) -> None:
    """`OTEL_TRACES_EXPORTER=console` is also a list with others."""
    result = program(WORK).run(OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="none")

    assert json.loads(result.out)["name"] == "work"
    assert result.errors == ""


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_SDK_DISABLED": "true"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_traces_can_be_switched_off(program: Any, receiver: Any, variables: dict[str, str]) -> None:
    """By each of the standard variables."""
    result = program(WORK).run(receiver.endpoint, **variables)

    assert Counter() == receiver.names
    assert (result.code, result.errors) == (0, "")


def test_propagators_are_those_of_the_environment(program: Any, receiver: Any) -> None:
    """`OTEL_PROPAGATORS`; and `traceparent` says that our ids are random."""
    source = """
from opentelemetry import propagate
carrier = {}
with tracer.start_as_current_span("work"):
    propagate.inject(carrier)
print(sorted(carrier), carrier["traceparent"][-2:])
"""

    result = program(source).run(receiver.endpoint, OTEL_PROPAGATORS="tracecontext")

    assert result.out == "['traceparent'] 03\n"


def test_an_id_generator_of_the_users_stays(program: Any, receiver: Any, foreign: str) -> None:
    """`OTEL_PYTHON_ID_GENERATOR` names it."""
    program(WORK).run(
        receiver.endpoint,
        PYTHONPATH=foreign,
        OTEL_PYTHON_DISTRO="tupletrace",
        OTEL_PYTHON_ID_GENERATOR="foreign",
    )

    assert [(span.trace_id[-1], span.span_id[-1]) for span in receiver.spans] == [(2, 1)]


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_CONFIG_FILE": "missing.yaml"},
        {"OTEL_TRACES_EXPORTER": "nonsense"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "nonsense"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_a13_a_configuration_that_cannot_be_used_leaves_the_program_alone(
    program: Any, variables: dict[str, str]
) -> None:
    """A13. One line says why; the program runs as without us."""
    result = program("print('answer')\n" + WORK).run(**variables)

    assert (result.out, result.code) == ("answer\n", 0)
    (line,) = result.errors.splitlines()
    assert line.startswith("tupletrace: no telemetry, the SDK cannot be configured (")


def test_another_distro_that_comes_first_is_left_in_peace(program: Any, receiver: Any, foreign: str) -> None:
    """Installed beside ours and chosen, it configures alone."""
    result = program(WORK).run(
        receiver.endpoint,
        PYTHONPATH=foreign,
        OTEL_PYTHON_DISTRO="distro",
        OTEL_PYTHON_CONFIGURATOR="configurator",
        OTEL_TRACES_EXPORTER="otlp",
    )

    assert result.out == "foreign distro\nforeign configurator\n"
    assert Counter({"work": 1}) == receiver.names


def test_our_distro_brings_its_own_configurator(program: Any, nobody: dict[str, str], foreign: str) -> None:
    """Chosen by name, it is not configured by the one that comes first."""
    result = program(WORK).run(
        nobody["refused"], PYTHONPATH=foreign, OTEL_PYTHON_DISTRO="tupletrace", TUPLETRACE_EXIT_SECONDS=""
    )

    assert result.out == ""
    assert "`tupletrace serve`" in result.errors
