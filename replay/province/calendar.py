"""The days of a simulation with workdays and festivals, and the seasonal sales of an industry."""

import numpy as np

from config.catalogue import spring_festivals
from domain.calendar import date_of, day_start_ms, month_of_day
from replay.province.chance import Floats
from replay.province.layout import DAY, Days, zeros
from replay.province.population import Population
from replay.workdays import workdays

# Days relative to the lunar New Year: business stops between the first two, and is as usual from the third on.
STILL_FROM, STILL_UNTIL, USUAL_FROM = -4, 9, 22
RUSH_FROM, RUSH = -26, 1.12  # customers settle before it
DRIFT_OF_SALES, DRIFT_DAYS = 0.2, 182  # what a drift takes off, and in how many days


def days(population: Population) -> Days:
    """Return all simulated days, one row each."""
    count = population.last_day - population.first_day
    found = zeros(DAY, count)
    festivals = np.array(spring_festivals())
    for row, today in zip(found, workdays(population.first_day, population.last_day), strict=True):
        booked = today.due_month_days
        row["day"], row["start_ms"], row["business"] = today.day, day_start_ms(today.day), today.business
        row["month"], row["month_of_year"] = month_of_day(today.day), today.when.month
        row["month_begins"] = today.when.day == 1
        row["dom_first"], row["dom_last"] = (booked[0], booked[-1]) if booked else (1, 0)
        row["wraps"] = bool(booked) and booked[0] > booked[-1]
        nearest = festivals[np.argmin(np.abs(festivals - today.day))]
        row["to_festival"] = nearest - today.day
    _count_to_month_ends(found)
    return found


def _count_to_month_ends(found: Days) -> None:
    """Set the business days left in the month (this one excluded) and since the last month's end (included)."""
    business = found["business"].astype(np.int64)
    month = found["month"]
    so_far = np.cumsum(business)
    last = np.searchsorted(month, month, side="right") - 1
    first = np.searchsorted(month, month, side="left")
    found["left_in_month"] = so_far[last] - so_far
    found["since_month_end"] = so_far - so_far[first] + business[first]


def seasons(population: Population, calendar: Days) -> Floats:
    """Return sales of each industry against a usual day, float64 (industries, days); a year's mean is near 1."""
    found = np.ones((len(population.industries), len(calendar)))
    away = -calendar["to_festival"].astype(np.float64)  # days since the festival
    for row, industry in zip(found, population.industries, strict=True):
        months = np.array(industry.season) / np.mean(industry.season)
        row[:] = months[calendar["month_of_year"] - 1]
        still = industry.festival
        level = np.ones(len(calendar))
        level = np.where((away >= RUSH_FROM) & (away < STILL_FROM), RUSH, level)
        level = np.where((away >= STILL_FROM) & (away <= STILL_UNTIL), still, level)
        rising = (away > STILL_UNTIL) & (away < USUAL_FROM)
        level = np.where(rising, still + (1.0 - still) * (away - STILL_UNTIL) / (USUAL_FROM - STILL_UNTIL), level)
        row *= level
    if population.drift:
        since = (calendar["day"] - population.drift_day) / DRIFT_DAYS
        found *= 1.0 - DRIFT_OF_SALES * population.drift * np.clip(since, 0.0, 1.0)
    return found


def text(day: int) -> str:
    """Return a day number as YYYY-MM-DD."""
    return date_of(day).isoformat()
