"""What a reader does: open tiles, choose images and scales, with a script and without."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page
from safetensors.numpy import load_file

from tests.browser.watching import Site

IMAGE = "getComputedStyle(document.getElementById('%s'), '::before').backgroundImage"


def is_open(page: Page) -> bool:
    return page.evaluate("document.getElementById('viewer').open")


@pytest.mark.parametrize("way", ["file", "http"])
def test_tiles_open_by_click_key_and_address(page: Page, served: Site, way: str):
    page.goto(getattr(served, way) + "m/net/corners.html?probe=x-0")  # which asks for maps
    page.click("#u5")
    assert is_open(page)
    page.keyboard.press("ArrowRight")
    assert page.evaluate("location.hash") == "#u6"
    assert page.inner_text("#viewer-title") == "Unit 6"
    page.keyboard.press("Escape")
    page.wait_for_function("location.hash === ''")
    assert not is_open(page)
    page.click("#u2")
    page.go_back()
    page.wait_for_function("!document.getElementById('viewer').open")
    page.goto(getattr(served, way) + "m/net/corners.html#u3")
    page.reload()
    assert is_open(page)
    assert page.inner_text("#viewer-title") == "Unit 3"
    page.click("#viewer-close")
    assert not is_open(page)


def test_an_image_is_chosen_without_a_script(scriptless: Page, served: Site):
    scriptless.goto(served.file + "m/net/edges.html")
    assert not scriptless.locator("#shared").is_visible()
    scriptless.locator("label:has(#show-1)").click()
    before = scriptless.evaluate(IMAGE % "u1")
    scriptless.locator("label:has(#probe-1)").click()
    after = scriptless.evaluate(IMAGE % "u1")
    assert before != after
    assert "img/" in before
    assert "img/" in after


def test_strongest_inputs_are_reached_without_a_script(scriptless: Page, served: Site):
    scriptless.goto(served.file + "m/net/corners.html")
    scriptless.click("text=Strongest inputs of every filter")
    slices = scriptless.locator("li:has(> a.of:text-is('7')) > .slice")
    assert slices.count() == 8
    assert "img/" in slices.first.evaluate("a => getComputedStyle(a, '::before').backgroundImage")
    kernel = load_file(served.gallery.folder / "net.safetensors")["corners/kernel"]
    norms = np.sqrt(np.square(kernel[..., 7]).sum((0, 1)))
    listed = [int(text.split()[0]) for text in slices.all_inner_texts()]
    np.testing.assert_allclose(norms[listed], -np.sort(-norms), rtol=1e-6)
    slices.first.click()
    assert scriptless.url.endswith(f"m/net/max_pool_1/u{listed[0]:04d}.html")


def convolved(served: Site) -> np.ndarray:
    """Layer `edges` before its activation on the image `x-0`, `(16, 16, 8)`, by a plain sum."""
    tensors = load_file(served.gallery.folder / "net.safetensors")
    image = np.load(served.gallery.folder / "own.npz")["images"][1].astype(np.float64)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.einsum("hwcij,ijcu->hwu", windows, tensors["edges/kernel"].astype(np.float64)) + tensors["edges/bias"]


@pytest.mark.parametrize("signed", [False, True])
def test_the_shared_scale_is_the_layers(page: Page, served: Site, signed: bool):
    values = convolved(served) if signed else np.maximum(convolved(served), 0)
    limits = np.abs(values).max((0, 1))
    faintest = int(np.argmin(np.where(limits > 0, limits, np.inf)))
    share = limits[faintest] / limits.max()
    assert share < 0.9, "weights that leave something to be seen"
    page.goto(served.file + f"m/net/edges.html?probe=x-0#u{faintest}")
    page.keyboard.press("Escape")
    if signed:
        page.locator("label:has([value=pre_activation])").click()
    page.locator(f"label:has([value={'grey-signed' if signed else 'grey'}])").click()
    page.locator("label:has(#shared)").click()
    page.wait_for_selector("#maps[data-shared]")

    expected = values[..., faintest] / limits.max()
    expected = 127.5 + 127.5 * expected if signed else 255 * expected
    # Files hold greys rounded to steps of 8, which the share makes smaller too.
    most = 3 + 4 * share
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    assert np.abs(drawn(page, f"#u{faintest}") - expected).max() <= most
    page.locator(f"#u{faintest}").click()
    assert np.abs(drawn(page, "#viewer-picture") - expected).max() <= most
    assert page.evaluate(f"getComputedStyle(document.querySelector('#u{faintest}')).getPropertyValue('--k')") != "1"


def drawn(page: Page, selector: str) -> np.ndarray:
    """The greys in the middle of the 16 x 16 squares of a tile on the screen."""
    place = page.locator(selector)
    place.scroll_into_view_if_needed()
    pixels = np.asarray(Image.open(io.BytesIO(place.screenshot())).convert("RGB")).astype(float)
    side = pixels.shape[1] / 16
    assert side == int(side) >= 3
    middles = (np.arange(16) * side + side // 2).astype(int)
    squares = pixels[np.ix_(middles, middles)]
    assert np.ptp(squares, axis=-1).max() <= 1
    return squares.mean(-1)


def test_filters_of_a_model_that_reads_blue_first_are_in_true_colours(page: Page, served: Site):
    """Both models have the same weights: their channels trade places on the second one's page."""
    shots = []
    for model in ("net", "swapped"):
        page.goto(served.file + f"m/{model}/edges.html")
        tile = page.locator("#f3")
        tile.scroll_into_view_if_needed()
        width = int(tile.evaluate("a => a.getBoundingClientRect().width"))
        pixels = np.asarray(Image.open(io.BytesIO(tile.screenshot())).convert("RGB")).astype(int)
        shots.append(pixels[:width])
    assert np.abs(shots[0] - shots[0][..., ::-1]).max() > 20
    assert np.abs(shots[0][..., ::-1] - shots[1]).max() <= 2
