"""Small plots put values where they belong."""

import re

import pytest

from neurodecode.report.intervals import (
    MARGIN,
    WIDTH,
    Axis,
    axis_for,
    interval_plot,
    symmetric_axis,
)

NAN = float("nan")


def test_a_value_stands_in_proportion_on_its_axis():
    axis = Axis(0.0, 2.0)
    assert (axis.x(0), axis.x(1), axis.x(2)) == (MARGIN, WIDTH / 2, WIDTH - MARGIN)
    assert axis.x(5) == axis.x(2), "beyond the axis is on its edge"


def test_shares_get_the_unit_scale_and_other_units_their_own():
    assert axis_for([0.1, 0.9]) == Axis(0.0, 1.0)
    assert axis_for([-0.05, 0.9]).low < 0
    wide = axis_for([3.0, 49.5])
    assert wide.low < 3 and wide.high > 49.5
    assert axis_for([NAN]) == Axis(0.0, 1.0)


def test_zero_is_in_the_middle_of_differences():
    assert symmetric_axis([-0.1, 0.4]).x(0) == WIDTH / 2


def test_a_plot_draws_dot_interval_and_chance():
    axis = Axis(0.0, 1.0)
    svg = interval_plot([("model", 0.5, 0.4, 0.6, "#000")], axis, chance=0.1)
    assert f'cx="{axis.x(0.5)}"' in svg and f'x1="{axis.x(0.4)}"' in svg
    assert re.search(rf'class="chance" x1="{axis.x(0.1)}"', svg)


@pytest.mark.parametrize(("value", "lo", "dots", "bars"), [(NAN, NAN, 0, 0), (0.5, NAN, 1, 0)])
def test_what_is_missing_is_not_drawn(value, lo, dots, bars):
    svg = interval_plot([("model", value, lo, lo, "#000")], Axis(0.0, 1.0))
    assert (svg.count("<circle"), svg.count("stroke=")) == (dots, bars)
