"""``tupletrace costs``: the views ``costs_by_*``, over any window, and what the month will cost."""

import argparse
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from tupletrace.processor.cli.options import (
    Commands,
    add_source,
    add_window,
    answering,
    explain,
    show,
    show_table,
)

if TYPE_CHECKING:
    import pyarrow as pa

_PREFIX: Final = "costs_by_"
_ASKED: Final = "within(start_time, $since, $until)"
_WINDOW: Final = f"""
    traces AS (SELECT * FROM main.traces WHERE {_ASKED} AND ($route IS NULL OR route = $route)),
    llm_calls AS (
        SELECT * FROM main.llm_calls
        WHERE {_ASKED} AND ($route IS NULL OR trace_id IN (SELECT trace_id FROM traces))
    )
"""
"""In the place of the views of these names: what is made of them is of the window alone."""
_BETWEEN: Final = ("trace_costs", "route_costs")
"""Views that stand between those and the groupings."""
_FORECAST: Final = "FROM cost_forecast(moment := $until, of_route := $route)"
_SURE: Final = 0.95
_MACRO: Final = "since := $since, until := $until, of_route := $route"


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("costs", help="USD spent, its trend, and what the month will cost")
    what = parser.add_mutually_exclusive_group()
    said = "what to group by (default: route)"
    what.add_argument("--by", choices=_groupings(), default="route", help=said)
    what.add_argument("--trend", action="store_true", help="USD per trace of each route, and its slope")
    said = "of the month in which --until is, by route and in all"
    what.add_argument("--forecast", action="store_true", help=said)
    add_window(parser)
    add_source(parser)
    parser.set_defaults(run=_run)


def _groupings() -> list[str]:
    views = files("tupletrace.processor") / "sql" / "views"
    names = (entry.name.removesuffix(".sql") for entry in views.iterdir())
    return sorted(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))


def _run(asked: argparse.Namespace) -> int:
    window = {"since": asked.since, "until": asked.until, "route": asked.route}
    if asked.forecast:
        del window["since"]
        with answering(asked) as ask:
            forecast = ask(_FORECAST, window)
            explain(asked, ask, forecast)
            return show_table(asked, _between(forecast))
    if asked.trend:
        return show(asked, f"FROM cost_trend({_MACRO})", window)
    view = f"{_PREFIX}{asked.by}"
    if not any(window.values()):
        return show(asked, f"FROM {view}")
    between = ", ".join(f"{name} AS ({_query(name)})" for name in _BETWEEN)
    return show(asked, f"WITH {_WINDOW}, {between} FROM ({_query(view)})", window)


def _between(forecasts: "pa.Table") -> "pa.Table":
    """Add between what, in 19 of 20 months, the cost comes out: never below what is spent already."""
    import scipy.stats

    lows, highs = list[float | None](), list[float | None]()
    for one in forecasts.to_pylist():
        middle, error = one["forecast_usd"], one["forecast_sd_usd"]
        far = (
            None
            if error is None
            else error * float(scipy.stats.t.ppf((1 + _SURE) / 2, one["degrees_of_freedom"]))
        )
        lows.append(None if far is None else max(float(middle) - far, float(one["spent_usd"])))
        highs.append(None if far is None else float(middle) + far)
    place = forecasts.column_names.index("forecast_usd") + 1
    return forecasts.add_column(place, "low_usd", [lows]).add_column(place + 1, "high_usd", [highs])


def _query(view: str) -> str:
    """Return what a view selects."""
    from tupletrace.processor.schema import statement

    return statement(f"views/{view}").partition(" AS\n")[2].rstrip().removesuffix(";")
