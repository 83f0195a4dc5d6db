"""Small line charts as SVG text, without a plotting library: the same values give the same bytes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 28, 40
COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#dc2626", "#0891b2", "#be185d", "#65a30d", "#6b7280", "#111827")
_LEGEND_WIDTH = 215
_FONT = 'font-family="sans-serif" font-size="11"'
Points = Iterable[tuple[float, float]]


@dataclass(slots=True, kw_only=True)
class Chart:
    """A chart; marks are drawn in the order in which they were added. `x` and `y` are the ranges of the axes."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, float]
    y: tuple[float, float]
    is_log: bool = False  # of x
    is_log_y: bool = False
    legend: Literal["upper left", "lower right", "beside"] = "upper left"  # beside: right of narrower axes
    _marks: list[str] = field(default_factory=list)
    _legend: list[tuple[str, str]] = field(default_factory=list)

    def line(self, points: Points, colour: int, label: str = "", dashed: bool = False) -> None:
        """Add a line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self._place, points))
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._marks.append(
            f'<polyline points="{path}" fill="none" stroke="{_colour(colour)}" stroke-width="1.6"{dash}/>'
        )
        self._name(colour, label)

    def band(self, low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]], colour: int) -> None:
        """Add an area between two lines."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self._place, [*low, *reversed(high)]))
        self._marks.append(f'<polygon points="{path}" fill="{_colour(colour)}" fill-opacity="0.15"/>')

    def dots(self, points: Points, colour: int, label: str = "") -> None:
        """Add points."""
        for x, y in map(self._place, points):
            self._marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{_colour(colour)}"/>')
        self._name(colour, label)

    def upright(self, x: float, colour: int, label: str = "", dashed: bool = False) -> None:
        """Add a line from bottom to top."""
        self.line([(x, self.y[0]), (x, self.y[1])], colour, label, dashed)

    def text(self) -> str:
        """Return the SVG."""
        right, bottom = self._right, HEIGHT - BOTTOM
        middle = (LEFT + right) / 2
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" {_FONT}>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<text x="{middle:.0f}" y="16" text-anchor="middle" font-weight="bold">{escape(self.title)}</text>',
            f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(self.x_label)}</text>',
            f'<text transform="translate(12 {(TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y_label)}</text>",
            *self._ticks(),
            f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#374151"/>',
            *self._marks,
            *self._names(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    @property
    def _right(self) -> int:
        """The ends of the axes."""
        return WIDTH - RIGHT - (_LEGEND_WIDTH if self.legend == "beside" else 0)

    def _name(self, colour: int, label: str) -> None:
        if label:
            self._legend.append((_colour(colour), label))

    def _names(self) -> Iterable[str]:
        for i, (colour, label) in enumerate(self._legend):
            y = HEIGHT - BOTTOM - 6 - 14 * (len(self._legend) - i) if self.legend == "lower right" else TOP + 6 + 14 * i
            x = LEFT + 10 if self.legend == "upper left" else WIDTH - RIGHT - _LEGEND_WIDTH + 10
            yield f'<rect x="{x}" y="{y - 4}" width="14" height="4" fill="{colour}"/>'
            yield f'<text x="{x + 19}" y="{y + 2}" font-size="10">{escape(label)}</text>'

    def _place(self, point: tuple[float, float]) -> tuple[float, float]:
        across, up = _share(point[0], *self.x, self.is_log), _share(point[1], *self.y, self.is_log_y)
        return LEFT + across * (self._right - LEFT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def _ticks(self) -> Iterable[str]:
        bottom = HEIGHT - BOTTOM
        for value in _powers(*self.x) if self.is_log else _steps(*self.x):
            x, _ = self._place((value, self.y[0]))
            yield f'<path d="M{x:.1f} {TOP}V{bottom + 4}" stroke="#e5e7eb"/>'
            yield f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle" font-size="10">{value:,.10g}</text>'
        for value in _powers(*self.y) if self.is_log_y else _steps(*self.y):
            _, y = self._place((self.x[0], value))
            yield f'<path d="M{LEFT - 4} {y:.1f}H{self._right}" stroke="#e5e7eb"/>'
            yield f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end" font-size="10">{value:,.10g}</text>'


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _share(value: float, low: float, high: float, is_log: bool) -> float:
    """Return the share of the way from `low` to `high` at which a value lies, in [0, 1]."""
    if is_log:
        value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _powers(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [float(10**power) for power in range(first, last + 1)]


def _steps(low: float, high: float) -> list[float]:
    """Return four to eight round values of a range."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round((first + i) * step, 10) for i in range(int((high - first * step) / step + 1e-9) + 1)]
