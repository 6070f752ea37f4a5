"""The window that tiles open in, in a real browser, from `file://`: address, keys, history, numbers, and without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert faults == []


def wait_until_open(page: Page, is_open: bool = True) -> None:
    """Closing and going back take the browser a moment; fails after five seconds."""
    page.wait_for_function("wanted => document.getElementById('viewer').open === wanted", arg=is_open, timeout=5000)


def wait_for_address(page: Page, wanted: str) -> None:
    page.wait_for_function("wanted => location.search + location.hash === wanted", arg=wanted, timeout=5000)


def test_a_tile_opens_with_its_address_and_closes_without(page: Page, site: Path):
    page.goto((site / "m/other/stem.html").as_uri())
    page.click("#u5")
    wait_until_open(page)
    wait_for_address(page, "#u5")
    assert page.inner_text("#viewer-title") == "Unit 5"
    page.keyboard.press("ArrowRight")
    wait_for_address(page, "#u6")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    wait_for_address(page, "#u4")
    page.keyboard.press("Escape")
    wait_for_address(page, "")
    wait_until_open(page, False)
    assert page.evaluate("document.activeElement.id") == "u4"


def test_an_address_opens_its_tile_and_back_closes_it(page: Page, site: Path):
    place = (site / "m/other/stem.html").as_uri()
    page.goto(f"{place}?probe=waves#u3")
    wait_until_open(page)
    assert page.is_checked("#probe-1")
    assert "Waves" in page.inner_text("#viewer-where")
    page.click("#viewer-close")
    wait_for_address(page, "?probe=waves")
    page.click("#u2")
    page.go_back()
    wait_until_open(page, False)
    page.go_forward()
    wait_until_open(page)
    wait_for_address(page, "?probe=waves#u2")


def test_the_picture_is_the_tile_at_a_whole_scale(page: Page, site: Path):
    page.goto((site / "m/other/stem.html").as_uri() + "#u7")
    facts = page.evaluate(
        """() => {
            const big = getComputedStyle(document.getElementById('viewer-picture'));
            const small = getComputedStyle(document.getElementById('u7'), '::before');
            const ratio = big.width.slice(0, -2) / small.width.slice(0, -2);
            const moved = (s) => s.backgroundPosition.split(' ').map((x) => parseFloat(x));
            return {image: big.backgroundImage === small.backgroundImage, scale: big.getPropertyValue('--z'),
                    filter: big.filter, ratio, big: moved(big), small: moved(small)};
        }"""
    )
    assert facts["image"]
    assert float(facts["scale"]) == int(facts["scale"]) > 1
    assert "table-0" in facts["filter"]
    assert facts["big"] == pytest.approx([facts["ratio"] * x for x in facts["small"]])
    assert facts["big"][0] < 0


def test_numbers_follow_the_image_chosen(page: Page, site: Path):
    page.goto((site / "m/other/stem.html").as_uri() + "#u0")
    page.wait_for_selector("#viewer-facts dl")
    before = page.inner_text("#viewer-facts")
    page.keyboard.press("ArrowDown")
    wait_for_address(page, "?probe=waves#u0")
    page.wait_for_function("before => document.getElementById('viewer-facts').innerText !== before", arg=before, timeout=5000)
    page.goto((site / "m/other/blocks.1.conv.html").as_uri() + "#u3")
    page.wait_for_selector("#viewer-facts dl")
    assert "not a number" in page.inner_text("#viewer-facts")


def test_filters_open_too_and_lead_to_their_inputs(page: Page, site: Path):
    page.goto((site / "m/other/blocks.1.conv.html").as_uri())
    page.click("#f2")
    page.wait_for_selector("#viewer-facts .inputs")
    assert page.inner_text("#viewer-title") == "Filter 2"
    assert page.locator("#viewer-facts .inputs .t").count() == 4
    page.click("#viewer-facts .inputs a")
    page.wait_for_url("**/blocks.0.project.html#u2")
    wait_until_open(page)


def test_journeys_open_tiles_and_lead_to_the_layer(page: Page, site: Path):
    page.goto((site / "m/other/probes/waves.html").as_uri())
    page.click("#step-1 .t >> nth=1")
    page.wait_for_selector("#viewer-facts dl")
    wait_until_open(page)
    page.click("#viewer-more")
    page.wait_for_url("**/stem.html?probe=waves#u*")
    wait_until_open(page)
    assert page.is_checked("#probe-1")


def test_choices_are_remembered_and_colours_change(page: Page, site: Path):
    page.goto((site / "m/other/stem.html").as_uri())
    drawn = "getComputedStyle(document.getElementById('u0'), '::before').filter"
    assert "table-0" in page.evaluate(drawn)
    page.check("#color-1", force=True)
    assert "table-1" in page.evaluate(drawn)
    page.click("#theme")
    theme = page.evaluate("document.documentElement.dataset.theme")
    page.goto((site / "m/other/blocks.1.conv.html").as_uri())
    assert "table-1" in page.evaluate(drawn)
    assert page.evaluate("document.documentElement.dataset.theme") == theme == "dark"


def test_images_and_scales_are_chosen_without_a_script(chromium: Browser, site: Path):
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.goto((site / "m/other/stem.html").as_uri())
    before = page.screenshot(animations="disabled")
    count = len(loaded)
    page.check("#probe-1", force=True)
    page.wait_for_timeout(200)
    after = page.screenshot(animations="disabled")
    assert before != after
    # The other image's sheet and photograph come only now.
    assert len(loaded) > count
    context.close()


def background(page: Page, selector: str, pseudo: str = "::before") -> str:
    return page.evaluate(f"getComputedStyle(document.querySelector('{selector}'), '{pseudo}').backgroundImage")


def test_a_tile_opens_as_its_visualisation_and_as_its_map(page: Page, site_of_units: Path):
    page.goto((site_of_units / "m/tiny/blocks.1.conv.html").as_uri() + "#u7")
    page.wait_for_selector("#viewer-facts dl")
    wanted = background(page, "#u7")
    assert background(page, "#viewer-picture", "") == wanted
    assert "Reached\n8.38" in page.inner_text("#viewer-facts")
    assert "Its map on Cat" in page.inner_text("#viewer-facts")
    page.click("#viewer-close")
    page.check("#show-1", force=True)
    page.click("#u7")
    page.wait_for_selector("#viewer-facts dl")
    assert background(page, "#u7") != wanted
    assert background(page, "#viewer-picture", "") == background(page, "#u7")
    assert "Maximum" in page.inner_text("#viewer-facts")
    assert background(page, "#viewer-facts .vis") == wanted
    page.click("#viewer-more")
    page.wait_for_url("**/blocks.1.conv/u0007.html")
    assert page.inner_text("h1") == "Unit 7"


def test_what_a_unit_looks_for_leads_to_its_page(page: Page, site_of_units: Path):
    page.goto((site_of_units / "m/tiny/blocks.1.conv.html").as_uri())
    page.click("#u3")
    page.wait_for_url("**/blocks.1.conv/u0003.html")


def test_units_without_a_visualisation_still_open(page: Page, site_of_units: Path):
    layer = (site_of_units / "m/tiny/blocks.0.depthwise.html").as_uri()
    page.goto(layer)
    assert [page.is_visible(f"#u{unit}") for unit in range(12)] == [unit in (0, 2, 5, 7, 11) for unit in range(12)]
    page.goto(layer + "#u4")
    page.reload()
    wait_until_open(page)
    page.wait_for_selector("#viewer-facts dl")
    assert "Maximum" in page.inner_text("#viewer-facts")
    page.keyboard.press("ArrowRight")
    wait_for_address(page, "#u5")
    assert "no image excites it" in page.inner_text("#viewer-facts")
    page.keyboard.press("ArrowRight")
    wait_for_address(page, "#u7")


def test_an_image_in_the_address_asks_for_maps(page: Page, site_of_units: Path):
    page.goto((site_of_units / "m/tiny/blocks.1.conv.html").as_uri() + "?probe=waves")
    assert page.is_checked("#show-1")
    assert page.is_visible(".probes")


def test_maps_are_one_click_away_without_a_script(chromium: Browser, site_of_units: Path):
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((site_of_units / "m/tiny/blocks.0.depthwise.html").as_uri())
    assert not page.is_visible("#u4")
    page.locator("label:has(#show-1)").click()
    assert page.is_visible("#u4")
    assert page.is_visible(".probes")
    page.goto((site_of_units / "m/tiny/blocks.0.depthwise.html").as_uri() + "#u4")
    page.reload()
    assert page.is_visible("#u4"), "an address shows its tile whatever is chosen"
    context.close()
