from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def _load():
    """The fixture module beside this file; test folders are no packages."""
    spec = importlib.util.spec_from_file_location("small_gallery", Path(__file__).with_name("small_gallery.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["small_gallery"] = module
    spec.loader.exec_module(module)
    return module


_load()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written site of two small models, both values of the maps included."""
    from small_gallery import small_gallery, write_site

    return write_site(*small_gallery(values=("activation", "pre_activation")), tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def site_of_units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with visualisations, exemplars and pages of units."""
    from small_gallery import small_gallery, write_site

    return write_site(*small_gallery(units=True), tmp_path_factory.mktemp("units"))
