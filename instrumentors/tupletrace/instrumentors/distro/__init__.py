"""How telemetry leaves the user's process under ``opentelemetry-instrument``."""

from tupletrace.instrumentors.distro.configurator import TupletraceConfigurator
from tupletrace.instrumentors.distro.defaults import TupletraceDistro
from tupletrace.instrumentors.distro.ids import SystemIdGenerator

__all__ = ["SystemIdGenerator", "TupletraceConfigurator", "TupletraceDistro"]
