import re
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest

from generator.render import charts

SVG = "{http://www.w3.org/2000/svg}"


def _bars(svg: bytes, colour: str) -> list[tuple[float, float, float]]:
    """(x, from, to) of each bar in a colour, read back from the SVG."""
    paths = [p.get("d") for p in ElementTree.fromstring(svg).iter(f"{SVG}path") if f"stroke: {colour}" in p.get("style", "")]  # noqa: S314 - our own output
    number = r"(-?[\d.]+)"
    return [tuple(map(float, m)) for m in re.findall(rf"M{number} {number}V{number}", " ".join(paths))]


def test_bars_have_the_heights_of_the_numbers():
    norms, biases = np.array([1.0, 2.0, 4.0]), np.array([-1.0, 0.5, 1.0])
    svg = charts.norms_and_biases(norms, biases)
    bars = np.array(_bars(svg, charts.NORM_COLOUR))
    heights = bars[:, 1] - bars[:, 2]
    np.testing.assert_allclose(heights / heights[2], norms / 4, atol=0.005)
    assert (np.diff(bars[:, 0]) > 0).all()
    bars = np.array(_bars(svg, charts.BIAS_COLOUR))
    heights = bars[:, 1] - bars[:, 2]
    np.testing.assert_allclose(heights / heights[2], biases, atol=0.01)


def test_missing_numbers_are_left_out_and_counted():
    svg = charts.norms_and_biases([1.0, None, float("inf"), 3.0], [0.0, 0.0, 0.0, 0.0])
    assert len(_bars(svg, charts.NORM_COLOUR)) == 2
    assert b"2 of 4 not finite" in svg


@pytest.mark.parametrize("numbers", [[], [0.0], [None], [5.0], [-5.0] * 3, [1e-30, 1e30], [np.nan] * 7])
def test_odd_layers_still_give_a_chart(numbers):
    root = ElementTree.fromstring(charts.norms_and_biases(numbers, numbers))  # noqa: S314 - our own output
    assert (root.get("width"), root.get("height")) == ("720", "176")
    assert "nan" not in ElementTree.tostring(root, encoding="unicode")


def test_charts_can_stand_inline():
    svg = charts.norms_and_biases(np.linspace(0, 1, 40), np.linspace(-1, 1, 40)).decode()
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own output
    assert not [e.tag for e in root.iter() if "id" in e.attrib or "href" in "".join(e.attrib)]
    assert charts.INK not in svg
    fills = {m for e in root.iter(f"{SVG}text") for m in re.findall(r"fill: (\S+)", e.get("style"))}
    assert fills == {"currentColor"}
    assert root.find(f"{SVG}title").text == "Kernel norms and biases of 40 filters"


def test_charts_are_reproducible_from_several_threads_and_leave_no_settings_behind():
    before = dict(matplotlib.rcParams)
    layers = [np.random.default_rng(seed).normal(size=64) for seed in range(8)]
    alone = [charts.norms_and_biases(np.abs(layer), layer) for layer in layers]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda layer: charts.norms_and_biases(np.abs(layer), layer), layers))
    assert together == alone
    assert dict(matplotlib.rcParams) == before


def test_a_wide_layer_stays_small():
    rng = np.random.default_rng(0)
    assert len(charts.norms_and_biases(rng.random(1280), rng.normal(size=1280))) < 60_000
