import matplotlib
import numpy as np
import pytest

from generator.render import colormaps


@pytest.mark.parametrize("choice", colormaps.CHOICES, ids=lambda choice: choice.name)
def test_svg_tables_follow_matplotlib(choice):
    """The transfer function of SVG 1.1 section 15.11, evaluated by hand at every grey."""
    table = colormaps.svg_table(choice)
    greys = np.arange(256) / 255
    expected = matplotlib.colormaps[choice.colormap](np.arange(256))[:, :3] * 255
    for channel, values in enumerate((table.red, table.green, table.blue)):
        steps = len(values) - 1
        for grey, colour in zip(greys, expected[:, channel], strict=True):
            k = min(int(grey * steps), steps - 1)
            drawn = values[k] + (grey - k / steps) * steps * (values[k + 1] - values[k])
            assert abs(drawn * 255 - colour) <= 2.5


def test_choices_have_distinct_names_and_both_kinds():
    names = [choice.name for choice in colormaps.CHOICES]
    assert len(set(names)) == len(names)
    assert {choice.signed for choice in colormaps.CHOICES} == {True, False}
    assert [table.name for table in colormaps.svg_tables()] == names


def test_weight_colours_are_those_of_the_colormap_with_a_neutral_middle():
    colours = colormaps.lookup(colormaps.WEIGHTS, 255)
    exact = matplotlib.colormaps[colormaps.WEIGHTS](np.linspace(0, 1, 255))[:, :3] * 255
    assert np.abs(colours - exact).max() <= 4
    middle = colours[127].astype(int)
    assert middle.max() - middle.min() <= 2
    assert colours[0, 2] > colours[0, 0], "negative weights are blue"
    assert colours[254, 0] > colours[254, 2], "positive weights are red"
