"""What users set: thresholds that every question uses, budgets and who is over, forecasts that say how."""

import json
import math
import statistics
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor import settings
from tupletrace.processor.cli import main
from tupletrace.processor.settings import Budget, Settings, SettingsError, settings_file
from tupletrace.processor.store import Store

DAY = 86_400_000_000_000


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command; its rows, or what it wrote to stderr."""

    def run(*arguments: object) -> Any:
        code = main([*map(str, arguments), "--json"])
        said = capsys.readouterr()
        return said.err if code else json.loads(said.out)

    return run


def test_a_threshold_is_changed_beside_a_running_processor_and_without_one(
    processor: Any, ask: Callable[..., Any]
) -> None:
    database = ("--db", processor.database)
    (row,) = ask("settings", "error_rate", *database)
    assert (row["value"], row["default_value"], row["unit"]) == (0.05, 0.05, "share")
    assert ask("settings", "error_rate", "0.2", *database)[0]["value"] == 0.2
    assert processor.sql("SELECT setting('error_rate') AS value") == [{"value": 0.2}]
    assert "no setting nonsense" in ask("settings", "nonsense", "1", *database)
    assert "write a number" in ask("settings", "error_rate", "much", *database)
    assert "name it with --db" in ask("settings", "error_rate", "1", "--url", f"http://{processor.http}")
    assert processor.post_traces(b"").status == 200
    assert ask("budgets", "route", "*", "month", "12.50", *database)[0]["budget_usd"] == 12.5
    processor.stop()

    assert ask("settings", "cost_factor", "3", *database)[0]["value"] == 3
    assert ask("settings", "judge_score:stars", "4", *database)[0]["value"] == 4
    assert ask("settings", "error_rate", "default", *database)[0]["value"] == 0.05
    rows = {row["key"]: row["value"] for row in ask("settings", *database)}
    assert (rows["cost_factor"], rows["judge_score:stars"]) == (3, 4)
    assert [row["per"] for row in ask("budgets", *database)] == ["month"]
    assert ask("budgets", "route", "*", "month", "none", *database) == []
    assert "no budget of route * month" in ask("budgets", "route", "*", "month", "none", *database)
    assert "per 'year'" in ask("budgets", "route", "*", "year", "1", *database)
    assert "of 'shoe'" in ask("budgets", "shoe", "*", "day", "1", *database)
    assert "SCOPE WHO PER USD" in ask("budgets", "route", *database)


def test_what_is_set_stays_through_a_rebuild(open_database: Any, otlp: Any, tmp_path: Path) -> None:
    """It is in no request, so it stands beside the database."""
    path = tmp_path / "x.duckdb"
    settings.write(settings_file(path), Settings({"min_traces": 3.0}))
    Store(path).close()
    path.unlink()
    made = open_database(path)
    assert made.row("SELECT setting('min_traces') AS least") == {"least": 3.0}


def test_a_damaged_file_is_named_and_what_was_set_before_stays(open_database: Any, tmp_path: Path) -> None:
    made = open_database(tmp_path / "x.duckdb")
    file = settings_file(made.path)
    settings.write(file, Settings({"min_traces": 3.0}, (Budget("total", "*", "day", Decimal("1.25")),)))
    made.store.take_settings()
    assert settings.read(file).budgets[0].usd == Decimal("1.25")
    for damaged in ("{", "[]", '{"settings": {"min_traces": "many"}}', '{"budgets": [{"scope": "total"}]}'):
        file.write_text(damaged)
        with pytest.raises(SettingsError, match=str(file)):
            made.store.take_settings()
    assert made.row("SELECT setting('min_traces') AS least, (SELECT max(usd) FROM budgets) AS usd") == {
        "least": 3.0,
        "usd": Decimal("1.25"),
    }


@pytest.fixture(scope="module")
def spent(open_database: Callable[..., Any], otlp: Any) -> Any:
    """Forty days of `/steady` from 2026-01-01 on, weekends cheaper, and the last three of them of `/new`."""
    made = open_database()
    calls: list[Any] = []
    for day in range(40):
        tokens = 100 if (3 + day) % 7 in (5, 6) else 1000
        said = {"tupletrace.route": "/steady", "user.id": f"u{day % 2}"}
        calls.append(otlp.call(day + 1, 1, None, (tokens, 0), said, start=otlp.noon + day * DAY))
    for day in range(37, 40):
        said = {"tupletrace.route": "/new", "gen_ai.request.model": "unheard-of"}
        calls.append(otlp.call(day + 100, 1, None, attributes=said, start=otlp.noon + day * DAY))
    made.insert(*(otlp.request(call) for call in calls))
    made.store.settle(0)
    return made


def test_a_forecast_says_its_method_and_none_is_made_of_few_days(spent: Any) -> None:
    """1,000 tokens of gpt-4o a weekday are 0.0025 USD, a weekend's day a tenth of it."""
    rows = {row["route"]: row for row in spent.rows("FROM cost_forecast(moment := '2026-02-10')")}
    steady = rows["/steady"]
    # 2026-02-01 is a Sunday: 6 weekdays and 3 days of weekends are over, 14 and 5 to come.
    assert steady["spent_usd"] == Decimal("0.0157500")
    assert steady["forecast_usd"] == Decimal("0.0157500") + 14 * Decimal("0.0025") + 5 * Decimal("0.00025")
    assert "weekday in 28 days" in steady["method"]
    assert (rows["/new"]["forecast_usd"], rows["/new"]["unpriced_calls"]) == (None, 3)
    assert rows["/new"]["method"] == "not enough data: 7 full days are needed"
    assert rows[None]["forecast_usd"] == steady["forecast_usd"]
    early = spent.row(
        "FROM cost_forecast(moment := '2026-01-10', of_route := '/steady') WHERE route IS NOT NULL"
    )
    assert early["method"].startswith("spent, and the mean day of 8 ")


def test_a_forecast_says_how_far_off_it_may_be(spent: Any) -> None:
    """Days that cost what their weekday always did leave nothing open; 2 cheap days of 8 do."""
    asked = "FROM cost_forecast(moment := $1, of_route := '/steady') WHERE route IS NOT NULL"
    (steady,), (early,) = (spent.rows(asked, [moment]) for moment in ("2026-02-10", "2026-01-10"))
    assert (steady["forecast_sd_usd"], steady["degrees_of_freedom"]) == (pytest.approx(0, abs=1e-9), 28 - 7)
    # The 22 days to come vary as the 8 did, and so does their mean.
    days = [0.0025, 0.00025, 0.00025, *[0.0025] * 5]
    error = statistics.stdev(days) * math.sqrt(22 + 22 * 22 / 8)
    assert (early["forecast_sd_usd"], early["degrees_of_freedom"]) == (pytest.approx(error), 7)


def test_a_trend_is_the_slope_of_the_daily_mean(spent: Any) -> None:
    rows = {row["route"]: row for row in spent.rows("FROM cost_trend()")}
    assert abs(rows["/steady"]["trend_usd_per_day"]) < 1e-5
    assert (rows["/steady"]["max_usd"], rows["/steady"]["days"]) == (0.0025, 40)
    assert (rows["/new"]["trend_usd_per_day"], rows["/new"]["unpriced_calls"]) == (None, 3)


def test_who_is_over_a_budget_comes_first(spent: Any) -> None:
    budgets = [
        Budget("route", "*", "month", Decimal("0.01")),
        Budget("user", "u0", "week", Decimal("0.0001")),
        Budget("model", "gpt-4o", "day", Decimal(5)),
        Budget("total", "*", "month", Decimal(100)),
        Budget("tuple", "none", "day", Decimal(0)),
    ]
    settings.write(settings_file(spent.path), Settings(budgets=tuple(budgets)))
    spent.store.take_settings()
    rows = spent.rows("FROM budget_status(moment := '2026-02-09 18:00')")
    said = {
        (row["scope"], row["who"]): (row["spent_usd"], row["over"], row["unpriced_calls"]) for row in rows
    }
    assert said == {
        ("route", "/steady"): (Decimal("0.01575"), True, 0),
        ("route", "/new"): (0, False, 3),
        ("user", "u0"): (0, False, 0),
        ("model", "gpt-4o"): (Decimal("0.0025"), False, 0),
        ("total", "*"): (Decimal("0.01575"), False, 3),
        ("tuple", "none"): (0, False, 0),
    }
    assert [row["over"] for row in rows] == sorted((row["over"] for row in rows), reverse=True)
