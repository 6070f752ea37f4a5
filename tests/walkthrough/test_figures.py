"""Figures of the walkthrough: tiles in reading order, in the colours that their notes promise."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import Normalize
from PIL import Image

from generator.walkthrough import show_filters, show_maps, show_pictures, show_table


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def pixels(shown) -> np.ndarray:
    return np.asarray(Image.open(shown.path).convert("RGB")).astype(int)


def place(figure: np.ndarray, colour) -> tuple[float, float] | None:
    """Mean row and column of the pixels of (nearly) a colour; None where there are none."""
    rows, columns = np.nonzero((np.abs(figure - np.array(colour)) <= 2).all(axis=2))
    return (rows.mean(), columns.mean()) if len(rows) else None


def test_tiles_come_in_reading_order():
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]
    tiles = [np.full((4, 4, 3), colour, np.uint8) for colour in colours]
    figure = pixels(show_pictures("Order", tiles, ["a", "b", "c", "d", "e"], columns=3))
    rows, columns = zip(*(place(figure, colour) for colour in colours), strict=True)
    assert rows[0] == rows[1] == rows[2] < rows[3] == rows[4]
    assert columns[0] < columns[1] < columns[2]
    assert columns[3:] == columns[:2]


def test_tiles_stay_inside_the_figure_and_apart():
    figure = pixels(show_pictures("Edges", [np.zeros((28, 28), np.uint8)] * 64))
    dark = (figure == 0).all(axis=2)
    assert not any(edge.any() for edge in (dark[:, 0], dark[:, -1], dark[-1]))
    runs = np.diff(np.flatnonzero(np.diff(dark[-60].astype(int))))[::2]
    assert len(runs) == 8
    assert runs.max() - runs.min() <= 1


def test_grey_images_stay_grey_whatever_their_range():
    figure = pixels(show_pictures("Grey", [np.full((2, 2, 1), 7, np.uint8), np.full((2, 2), 9, np.uint8)]))
    assert place(figure, (7, 7, 7))[1] < place(figure, (9, 9, 9))[1] + 1


def test_each_map_has_its_own_scale_from_zero():
    maps = np.zeros((2, 2, 2), np.float32)
    maps[0, :, 0], maps[0, :, 1] = 1, 1000
    maps[1, :, 1] = 500
    figure = pixels(show_maps("Maps", maps))
    viridis = matplotlib.colormaps["viridis"]
    for value in (0.0, 0.5, 1.0):
        expected = np.rint(np.array(viridis(Normalize(0, 1)(value)))[:3] * 255)
        assert place(figure, expected) is not None
    bright = (np.abs(figure - np.rint(np.array(viridis(1.0))[:3] * 255)) <= 2).all(axis=2)
    assert bright[:, : figure.shape[1] // 4].any()  # both are as bright as it gets
    assert bright[:, figure.shape[1] // 4 :].any()


def test_maps_with_negative_values_have_zero_in_the_middle():
    maps = np.array([[[-1.0, 4.0], [0.0, 0.0]]], np.float32)
    figure = pixels(show_maps("Signed", maps))
    table = matplotlib.colormaps["RdBu_r"]
    for index in (0, 128, 255):
        assert place(figure, np.rint(np.array(table(index))[:3] * 255)) is not None


def test_filters_share_one_scale():
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 0] = 1.0, -0.5, 0.0
    figure = pixels(show_filters("Colours", kernel))
    found = [place(figure, (red, 128, 128)) for red in (255, 64, 128)]
    assert [column for _, column in found] == sorted(column for _, column in found)


def test_filters_of_many_inputs_are_refused():
    with pytest.raises(ValueError, match="not 5"):
        show_filters("No", np.zeros((3, 3, 5, 2), np.float32))


def test_a_table_is_darkest_where_it_is_largest():
    numbers = np.array([[9, 1], [0, 3]])
    figure = pixels(show_table("Table", numbers, ["first", "second"], ["a", "b"], "a note"))
    darkest, lightest = (np.rint(np.array(matplotlib.colormaps["Blues"](end))[:3] * 255) for end in (1.0, 0.0))
    (row, column), (low_row, low_column) = place(figure, darkest), place(figure, lightest)
    assert row < low_row
    assert abs(column - low_column) < 10


def test_a_notebook_displays_the_file_and_equal_figures_are_equal_bytes():
    tiles = [np.zeros((2, 2), np.uint8)]
    shown = show_pictures("3a. Blocks/0: Ünïts", tiles)
    first = shown._repr_png_()
    assert first == shown.path.read_bytes()
    assert shown.path.as_posix() == "build/walkthrough/3a.blocks.0-units.png"
    assert show_pictures("3a. Blocks/0: Ünïts", tiles)._repr_png_() == first
