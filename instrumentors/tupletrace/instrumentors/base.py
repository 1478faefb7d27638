"""What the three instrumentors share: version check, telemetry handler, patches that come off again."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Collection
from importlib.metadata import version
from typing import Any, ClassVar, Final

import wrapt
from opentelemetry.instrumentation.dependencies import get_dependency_conflicts
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.util.genai.completion_hook import load_completion_hook

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.inference import Telemetry

_logger: Final = logging.getLogger("tupletrace")
Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


class Patches:
    """The functions wrapped by one instrumentor; ``undo`` puts back the very objects that were there."""

    def __init__(self) -> None:
        self._patched: list[tuple[Any, str, Any, Any, bool]] = []
        # A list, empty once undone: wrapt asks for its truth without a call into Python.
        self._active = [True]

    def wrap(self, module: str | type, path: str, wrapper: Wrapper) -> bool:
        """Wrap the ``Class.method`` or ``function`` of a module or class; False if this version has none."""

        try:
            parent, attribute, original = wrapt.resolve_path(module, path)
        except (ImportError, AttributeError):
            return False
        inherited = attribute not in vars(parent)
        # After undo a wrapper may live on: bound by a client, or below another vendor's patch.
        patch = wrapt.FunctionWrapper(original, wrapper, enabled=self._active)  # pyright: ignore[reportArgumentType]
        setattr(parent, attribute, patch)
        self._patched.append((parent, attribute, original, patch, inherited))
        return True

    def when_imported(self, module: str, apply: Callable[[], object]) -> None:
        """Call ``apply`` once the program itself imports ``module``: now if it has, never after ``undo``."""

        def hook(imported: object) -> None:
            if self._active:
                with guard(f"patching {module}"):
                    apply()

        wrapt.register_post_import_hook(hook, module)

    def undo(self) -> None:
        """Restore every original that nobody has wrapped since; the others pass through."""
        self._active.clear()
        while self._patched:
            parent, attribute, original, patch, inherited = self._patched.pop()
            if vars(parent).get(attribute) is not patch:
                continue
            if inherited:
                delattr(parent, attribute)
            else:
                setattr(parent, attribute, original)


class Instrumentor(BaseInstrumentor):
    """A ``BaseInstrumentor`` that says once why it does not load, and breaks no program."""

    dependencies: ClassVar[Collection[str]]
    """Requirement specifiers of the libraries it patches, all of which must be met."""
    beside: ClassVar[Collection[str]] = ()
    """Requirement specifiers of libraries that it follows too, where they are installed."""
    patches: Patches | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the requirement specifiers of the patched libraries."""
        return self.dependencies

    @abstractmethod
    def patch(self, patches: Patches, telemetry: Telemetry) -> None:
        """Wrap the library's functions."""

    def _instrument(self, **kwargs: Any) -> None:
        # `opentelemetry-instrument` asks instrumentors to skip the check that BaseInstrumentor makes.
        conflict = get_dependency_conflicts(self.dependencies)
        if conflict is not None:
            if conflict.found:
                _logger.warning("tupletrace: %s is not loaded: %s", type(self).__name__, conflict)
            return
        for requirement in self.beside:
            conflict = get_dependency_conflicts([requirement])
            if conflict is not None and conflict.found:
                _logger.warning("tupletrace: %s may miss spans: %s", type(self).__name__, conflict)
        self.patches = Patches()
        with guard(f"{type(self).__name__}.instrument"):
            self.patch(
                self.patches,
                Telemetry(
                    tracer_provider=kwargs.get("tracer_provider"),
                    meter_provider=kwargs.get("meter_provider"),
                    logger_provider=kwargs.get("logger_provider"),
                    completion_hook=kwargs.get("completion_hook") or load_completion_hook(),
                    instrumentation_scope_name=type(self).__module__,
                    instrumentation_scope_version=version("tupletrace"),
                ),
            )

    def _uninstrument(self, **kwargs: Any) -> None:
        if self.patches is not None:
            self.patches.undo()
            self.patches = None
