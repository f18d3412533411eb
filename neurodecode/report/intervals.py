"""Small interval plots for table cells: a dot, its interval and the chance line, as inline SVG."""

from dataclasses import dataclass
from html import escape
from math import isfinite

from neurodecode.report.words import condition_label, condition_marker, interval, number

WIDTH, MARGIN, STEP = 260, 8, 7  # CSS pixels: whole width, free at both ends, of one interval
SHAPES = {  # markers as matplotlib calls them, in a square from -1 to 1
    "s": "M-.85-.85H.85V.85H-.85Z",
    "v": "M-1-.8H1L0 1Z",
    "D": "M0-1.2L1.2 0L0 1.2L-1.2 0Z",
    "P": "M-.4-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
}


@dataclass(frozen=True)
class Axis:
    """A horizontal scale from `low` to `high` in the metric's unit."""

    low: float
    high: float

    def x(self, value):
        """The pixel of a value; values beyond the axis stay on its edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)


def axis_for(values):
    """The unit scale when all values fit on it, otherwise one just around the values.

    Parameters
    ----------
    values : iterable of float
        Values, interval ends and chance levels; what is not finite is ignored.
    """
    finite = [float(v) for v in values if v is not None and isfinite(v)]
    if not finite:
        return Axis(0.0, 1.0)
    low, high = min(finite), max(finite)
    if low >= -0.2 and high <= 1.0:
        return Axis(0.0 if low >= 0 else -0.2, 1.0)
    pad = 0.06 * (high - low or abs(high) or 1.0)
    return Axis(max(low - pad, 0.0) if low >= 0 else low - pad, high + pad)


def symmetric_axis(values):
    """A scale for differences, with zero in its middle."""
    finite = [abs(float(v)) for v in values if v is not None and isfinite(v)]
    reach = max(finite, default=0.0) or 1.0
    reach = min(1.1 * reach, 1.0) if reach <= 1 else 1.1 * reach
    return Axis(-reach, reach)


def interval_plot(rows, axis, chance=None, zero=False, what=""):
    """Draw one dot and interval per row, one above the other, on a common axis.

    Parameters
    ----------
    rows : list of (condition, value, lo, hi, colour)
        Missing interval ends draw the dot alone; a missing value draws nothing.
    axis : Axis
    chance : float, optional
        Where the dashed line stands.
    zero : bool
        Draw a solid line at zero (for differences).
    what : str
        What is drawn, for those who hear the page.

    Returns
    -------
    svg : str
    """
    height = STEP * len(rows) + 6
    ends = f'x1="{MARGIN}" x2="{WIDTH - MARGIN}"'
    marks = [f'<line class="axis" {ends} y1="{height - 1}" y2="{height - 1}"/>']
    if chance is not None and isfinite(chance):
        marks.append(_vertical(axis.x(chance), height, "chance"))
    if zero:
        marks.append(_vertical(axis.x(0.0), height, "zero"))
    marks += [_mark(row, axis, 3 + STEP * (i + 0.5)) for i, row in enumerate(rows)]
    spoken = "; ".join(
        f"{condition_label(name)} {number(value)} {interval(lo, hi)}".strip()
        for name, value, lo, hi, _ in rows
    )
    return _svg(marks, height, f"{what}: {spoken}" if what else spoken)


def axis_ticks(axis):
    """The scale of a column of interval plots: tick labels for its head."""
    middle = (axis.low + axis.high) / 2
    ticks = {axis.low: "start", middle: "middle", axis.high: "end"}
    if 0 < middle < 1 and axis.high == 1.0:
        ticks = {0.0: "start", 0.5: "middle", 1.0: "end"}
    marks = []
    for value, anchor in ticks.items():
        x = axis.x(value)
        at = {"start": x - MARGIN + 2, "middle": x, "end": x + MARGIN - 2}[anchor]
        label = number(0 if abs(value) < 1e-12 else value, _digits(axis, value))
        marks.append(f'<text x="{at}" y="9" text-anchor="{anchor}">{label}</text>')
        marks.append(f'<line class="axis" x1="{x}" x2="{x}" y1="12" y2="16"/>')
    return _svg(marks, 16, "", hidden=True)


def _digits(axis, value):
    return 0 if value in (0.0, 1.0) else (2 if axis.high - axis.low < 1 else 1)


def _vertical(x, height, name):
    return f'<line class="{name}" x1="{x}" x2="{x}" y1="0" y2="{height}"/>'


def _mark(row, axis, y):
    name, value, lo, hi, colour = row
    if value is None or not isfinite(value):
        return ""
    x = axis.x(value)
    dot = _dot(name, x, y, colour)
    if not (isfinite(lo) and isfinite(hi)):
        return dot
    bar = (
        f'<line x1="{axis.x(lo)}" x2="{axis.x(hi)}" y1="{y}" y2="{y}" '
        f'stroke="{colour}" stroke-width="1.6"/>'
    )
    spoken = escape(f"{condition_label(name)} {number(value)} {interval(lo, hi)}")
    return f"<g><title>{spoken}</title>{bar}{dot}</g>"


def marker_icon(name, colour):
    """The marker of a condition by itself, for legends and heads of columns."""
    dot = _dot(name, 0, 0, colour)
    return f'<svg class="dot" viewBox="-5 -5 10 10" aria-hidden="true">{dot}</svg>'


def _dot(name, x, y, colour):
    """A condition's marker; the decoder's is larger."""
    shape, size = condition_marker(name), 3.6 if name == "model" else 2.7
    if shape not in SHAPES:
        return f'<circle cx="{x}" cy="{y}" r="{size}" fill="{colour}"/>'
    place = f'transform="translate({x} {y}) scale({size})"'
    return f'<path d="{SHAPES[shape]}" {place} fill="{colour}"/>'


def _svg(marks, height, spoken, hidden=False):
    role = 'aria-hidden="true"' if hidden else f'role="img" aria-label="{escape(spoken)}"'
    return (
        f'<svg class="interval" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" {role}>{"".join(marks)}</svg>'
    )
