"""The Chinese calendar by its rule (GB/T 33661-2017), from the places of sun and moon: dates that holidays rest on.

New moons after J. Meeus, Astronomical Algorithms, 2nd edition, chapter 49 (seconds); the sun's apparent longitude after
chapter 25 (0.01 degrees: a quarter of an hour). An instant too close to midnight to tell its day is a ValueError.
"""

import math
from datetime import date, timedelta

_J2000, _UNIX = 2_451_545.0, 2_440_587.5  # as Julian days
_SYNODIC_MONTH = 29.530588861
_UTC8_DAYS = 8 / 24
_DELTA_T_DAYS = 72 / 86_400  # dynamical less universal time: 69 s in 2020, some 80 s in 2050
_MOON_SURE_DAYS, _SUN_SURE_DAYS = 2 / 1_440, 20 / 1_440
_WINTER_SOLSTICE, _QINGMING = 270.0, 15.0

# Periodic terms of the new moon: days; power of E; multiples of M, M', F, Omega.
_MOON_TERMS = (
    (-0.40720, 0, 0, 1, 0, 0), (0.17241, 1, 1, 0, 0, 0), (0.01608, 0, 0, 2, 0, 0), (0.01039, 0, 0, 0, 2, 0),
    (0.00739, 1, -1, 1, 0, 0), (-0.00514, 1, 1, 1, 0, 0), (0.00208, 2, 2, 0, 0, 0), (-0.00111, 0, 0, 1, -2, 0),
    (-0.00057, 0, 0, 1, 2, 0), (0.00056, 1, 1, 2, 0, 0), (-0.00042, 0, 0, 3, 0, 0), (0.00042, 1, 1, 0, 2, 0),
    (0.00038, 1, 1, 0, -2, 0), (-0.00024, 1, -1, 2, 0, 0), (-0.00017, 0, 0, 0, 0, 1), (-0.00007, 0, 2, 1, 0, 0),
    (0.00004, 0, 0, 2, -2, 0), (0.00004, 0, 3, 0, 0, 0), (0.00003, 0, 1, 1, -2, 0), (0.00003, 0, 0, 2, 2, 0),
    (-0.00003, 0, 1, 1, 2, 0), (0.00003, 0, -1, 1, 2, 0), (-0.00002, 0, -1, 1, -2, 0), (-0.00002, 0, 1, 3, 0, 0),
    (0.00002, 0, 0, 4, 0, 0),
)  # fmt: skip
# Additional terms by the planets: days; degrees at k = 0, and by k.
_PLANET_TERMS = (
    (0.000325, 299.77, 0.107408), (0.000165, 251.88, 0.016321), (0.000164, 251.83, 26.651886),
    (0.000126, 349.42, 36.412478), (0.000110, 84.66, 18.206239), (0.000062, 141.74, 53.303771),
    (0.000060, 207.14, 2.453732), (0.000056, 154.84, 7.306860), (0.000047, 34.52, 27.261239),
    (0.000042, 207.19, 0.121824), (0.000040, 291.34, 1.844379), (0.000037, 161.72, 24.198154),
    (0.000035, 239.56, 25.513099), (0.000023, 331.55, 3.592518),
)  # fmt: skip


def first_of_month(year: int, month: int) -> date:
    """Return the first day of lunar month `month` (no leap month) of the lunar year that begins in `year`."""
    solstice = _term_day(year - 1, _WINTER_SOLSTICE) if month < 11 else _term_day(year, _WINTER_SOLSTICE)
    wanted = month + 1 if month < 11 else month - 11  # months after the one with the solstice, which is the eleventh
    moons = _months_between(solstice, _term_day(solstice.year + 1, _WINTER_SOLSTICE))
    leap = _leap(moons)
    ordinary = [first for i, first in enumerate(moons[:-1]) if i != leap]
    return ordinary[wanted]


def qingming(year: int) -> date:
    """Return the day of Qingming, the sun at 15 degrees."""
    return _term_day(year, _QINGMING)


def _months_between(solstice: date, next_solstice: date) -> list[date]:
    """Return the first days of the months from the one with `solstice` up to the one with the next."""
    k = math.floor((_julian(solstice) - _J2000) / _SYNODIC_MONTH) - 2
    firsts = [_moon_day(k + i) for i in range(18)]
    begin = max(i for i, first in enumerate(firsts) if first <= solstice)
    end = max(i for i, first in enumerate(firsts) if first <= next_solstice)
    return firsts[begin : end + 1]


def _leap(moons: list[date]) -> int | None:
    """Return the place of the leap month: of thirteen, the first without a principal term."""
    if len(moons) - 1 < 13:
        return None
    return next(i for i in range(13) if _sector(moons[i]) == _sector(moons[i + 1]))


def _sector(day: date) -> int:
    """Return in which twelfth of its path the sun is at the beginning of a day, counted from the winter solstice."""
    midnight = _julian(day) - _UTC8_DAYS
    low, high = (
        math.floor((_sun_longitude(midnight + sign * _SUN_SURE_DAYS) - _WINTER_SOLSTICE) % 360 / 30) for sign in (-1, 1)
    )
    if low != high:
        raise ValueError(f"a principal term lies too close to the midnight of {day}")
    return low


def _term_day(year: int, longitude: float) -> date:
    """Return the day, at UTC+8, on which the sun reaches `longitude` in `year`."""
    julian = _julian(date(year, 3, 20)) + longitude / 360 * 365.2422
    for _ in range(5):
        off = (longitude - _sun_longitude(julian) + 180) % 360 - 180
        julian += off / 360 * 365.2422
    return _day_at(julian, _SUN_SURE_DAYS)


def _moon_day(k: int) -> date:
    """Return the day, at UTC+8, of new moon k (k = 0 is that of 2000-01-06)."""
    return _day_at(_new_moon(k), _MOON_SURE_DAYS)


def _new_moon(k: int) -> float:
    """Return the Julian day (universal time) of new moon k."""
    t = k / 1_236.85
    julian = 2_451_550.09766 + _SYNODIC_MONTH * k + 0.00015437 * t**2 - 0.000000150 * t**3 + 0.00000000073 * t**4
    eccentricity = 1 - 0.002516 * t - 0.0000074 * t**2
    sun = 2.5534 + 29.10535670 * k - 0.0000014 * t**2 - 0.00000011 * t**3
    moon = 201.5643 + 385.81693528 * k + 0.0107582 * t**2 + 0.00001238 * t**3 - 0.000000058 * t**4
    latitude = 160.7108 + 390.67050284 * k - 0.0016118 * t**2 - 0.00000227 * t**3 + 0.000000011 * t**4
    node = 124.7746 - 1.56375588 * k + 0.0020672 * t**2 + 0.00000215 * t**3
    for days, power, by_sun, by_moon, by_latitude, by_node in _MOON_TERMS:
        angle = by_sun * sun + by_moon * moon + by_latitude * latitude + by_node * node
        julian += days * eccentricity**power * math.sin(math.radians(angle))
    for days, degrees, by_k in _PLANET_TERMS:
        angle = degrees + by_k * k - (0.009173 * t**2 if by_k == _PLANET_TERMS[0][2] else 0.0)
        julian += days * math.sin(math.radians(angle))
    return julian - _DELTA_T_DAYS


def _sun_longitude(julian: float) -> float:
    """Return the sun's apparent longitude in degrees at a Julian day (universal time)."""
    t = (julian + _DELTA_T_DAYS - _J2000) / 36_525
    mean = 280.46646 + 36_000.76983 * t + 0.0003032 * t**2
    anomaly = math.radians(357.52911 + 35_999.05029 * t - 0.0001537 * t**2)
    center = (
        (1.914602 - 0.004817 * t - 0.000014 * t**2) * math.sin(anomaly)
        + (0.019993 - 0.000101 * t) * math.sin(2 * anomaly)
        + 0.000289 * math.sin(3 * anomaly)
    )
    node = math.radians(125.04 - 1_934.136 * t)
    return (mean + center - 0.00569 - 0.00478 * math.sin(node)) % 360


def _day_at(julian: float, sure_days: float) -> date:
    """Return the day at UTC+8 that holds an instant. Raise ValueError where midnight is nearer than `sure_days`."""
    local = julian - _UNIX + _UTC8_DAYS
    day = math.floor(local)
    if not sure_days < local - day < 1 - sure_days:
        raise ValueError(f"too close to the midnight of {date(1970, 1, 1) + timedelta(days=round(local))}")
    return date(1970, 1, 1) + timedelta(days=day)


def _julian(day: date) -> float:
    """Return the Julian day of 00:00 UTC of a date."""
    return _UNIX + (day - date(1970, 1, 1)).days
