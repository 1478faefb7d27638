"""Zero-code instrumentors: they emit spans that say which tuple answered, and change nothing else."""

from tupletrace.instrumentors.context import (
    using_prompt,
    using_route,
    using_session,
    using_tags,
    using_user,
)

__all__ = ["using_prompt", "using_route", "using_session", "using_tags", "using_user"]
