"""A small model, saved in both formats."""

from __future__ import annotations

import pytest

from tests.sources.keras.keras_saved import saved


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    from keras import layers

    folder = tmp_path_factory.mktemp("good")
    for suffix in (".keras", ".h5"):
        parts = layers.Conv2D(2, 3, name="conv"), layers.GlobalAveragePooling2D(), layers.Dense(3, name="classes")
        saved(folder / f"model{suffix}", *parts)
    return folder
