"""Pictures of fixed inputs, pixel by pixel; `python -m tests.regenerate` after a wanted change."""

import importlib.util
from pathlib import Path

import numpy as np

_SPEC = importlib.util.spec_from_file_location("regenerate", Path(__file__).parents[1] / "regenerate.py")
regenerate = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(regenerate)


def test_tiles_are_the_golden_ones():
    with np.load(regenerate.TILES, allow_pickle=False) as archive:
        golden = dict(archive)
    arrays = {name.removeprefix("input/"): golden.pop(name) for name in list(golden) if name.startswith("input/")}
    drawn = regenerate.draw(arrays)
    assert sorted(drawn) == sorted(golden)
    for name, picture in drawn.items():
        np.testing.assert_array_equal(picture, golden[name], err_msg=name)


def test_the_golden_inputs_hold_what_the_pictures_are_about():
    arrays = regenerate.inputs()
    assert (arrays["signed"] < 0).any()
    assert arrays["rectified"][..., :6].min() == 0
    assert not np.isfinite(arrays["signed"]).all()
    assert arrays["colour"].shape == (5, 5, 3, 6)
