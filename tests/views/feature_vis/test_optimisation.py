"""The climb where its end is known: linear networks, planted units, starts that are shut, units that cannot be excited."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from generator.build.visualise import Visualiser
from generator.config.views import FeatureVisView
from generator.network import ascent
from generator.network.execute import Network, Tap
from generator.records import FeatureVisSetup, Preprocessing
from generator.views.feature_vis import settings
from generator.views.feature_vis.draw import Visualised, draw
from generator.views.feature_vis.optimisation import OPEN_STEPS, Climb, climb, drawn, opacity
from generator.views.feature_vis.optimiser import half_shared_adam
from generator.views.feature_vis.parameterisations import Fourier, Pixels
from generator.views.feature_vis.transforms import Crops, Robustness, Scaling

AS_IS = Scaling(np.ones(3, np.float32), np.zeros(3, np.float32), reverse=False)


def still(size):
    """No transforms at all."""
    return Robustness((size, size), (0, 0), (1.0, 1.0), 0.0)


# -- a linear network ----------------------------------------------------------------------------------------------------

SIZE = 24


def kernels():
    """One kernel as large as the image for each unit, `(h, w, c, unit)`: noise, smooth in colour, smooth in brightness, and
    smoother in brightness."""
    random = np.random.default_rng(0).normal(size=(SIZE, SIZE, 3, 4)).astype(np.float32)
    for unit, width in ((1, 2.0), (2, 3.0), (3, 4.0)):
        random[..., unit] = gaussian_filter(random[..., unit], (width, width, 0))
        if unit > 1:
            random[..., unit] = random[..., :1, unit]
    return random


@pytest.fixture(scope="module")
def linear():
    """The slope of each of its four units, one an image: through the real network and its ascent."""

    def apply(params, images):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(images, params["whole"]["kernel"], (1, 1), "VALID", dimension_numbers=numbers)

    found = Network(apply, {"whole": {"kernel": kernels()}}, (SIZE, SIZE, 3)).ascent(["whole"], ascent.everywhere, batch=4)
    return lambda fed, is_open: found.function(found.constants, fed, jnp.int32(0), jnp.arange(4), jnp.ones(4), is_open)


def cosine(a, b):
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def to_the_optimum(images):
    """Of what lies around mid-grey, with the best there is between 0 and 1: where a weight is positive 1, else 0."""
    best = np.sign(np.moveaxis(kernels(), -1, 0)) / 2
    return [cosine(np.asarray(one, float) - 0.5, expected) for one, expected in zip(images, best, strict=True)]


@pytest.mark.parametrize(
    ("shape", "preset", "least"),
    [
        (Pixels(SIZE, 3), "publication", (0.99, 0.99, 0.99, 0.99)),
        # A spectrum is slow where natural images have little energy, in fine detail and in colour: that is what it is for.
        (Fourier(SIZE, 3), "standard", (0.55, 0.65, 0.95, 0.95)),
        (Fourier(SIZE, 3), "publication", (0.7, 0.85, 0.99, 0.99)),
    ],
    ids=["pixels", "fourier-standard", "fourier-publication"],
)
def test_a_linear_network_is_climbed_to_its_optimum(linear, shape, preset, least):
    plan = Climb(shape, still(SIZE), AS_IS, settings.optimiser("fourier"), settings.PRESETS[preset].steps)
    begin = drawn(plan, range(4))
    found = jax.jit(lambda begin: climb(plan, linear, begin))(begin)
    cosines = to_the_optimum(found.images)
    assert np.all(np.array(cosines) > least), cosines
    scores = np.einsum("nhwc,hwcn->n", np.asarray(found.images, float), kernels().astype(float))
    np.testing.assert_allclose(found.reached, scores, rtol=1e-4)
    np.testing.assert_allclose(found.peak, scores, rtol=1e-4)
    first = np.asarray(shape.images(begin.parameters), float)
    np.testing.assert_allclose(found.start, np.einsum("nhwc,hwcn->n", first, kernels().astype(float)), rtol=1e-3, atol=1e-3)


def test_opacity_is_where_gradients_were():
    """Weights on one half of the image only: the other half stays transparent."""
    weights = np.zeros((8, 8, 3), np.float32)
    weights[:, :4] = 1

    def slope(fed, is_open):
        scores = (fed * weights).sum((1, 2, 3))
        return scores, scores, jnp.broadcast_to(weights, fed.shape)

    plan = Climb(Pixels(8, 3), still(8), AS_IS, settings.optimiser("pixels"), 5)
    found = opacity(np.asarray(climb(plan, slope, drawn(plan, [0])).gathered[0]))
    np.testing.assert_allclose(found[:, :4], 1, atol=1e-5)
    np.testing.assert_array_equal(found[:, 4:], 0)
    np.testing.assert_array_equal(opacity(np.zeros((4, 4))), 0)


def test_what_is_drawn_depends_on_the_seed_alone():
    """And images rest at the first and the last step, when they are judged."""
    moving = Robustness((20, 20), (8, 4), (0.9, 1.1), 10.0)
    for seen in (moving, Crops((20, 20), 2)):
        plan = Climb(Pixels(16, 3), seen, AS_IS, settings.optimiser("pixels"), 6)
        together, alone = drawn(plan, [7, 8, 7]), drawn(plan, [7])
        for many, one in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_array_equal(many[0], one[0])
            np.testing.assert_array_equal(many[2], one[0])
            assert np.any(many[1] != one[0])
    moves = drawn(Climb(Pixels(16, 3), moving, AS_IS, settings.optimiser("pixels"), 6), [7, 8]).moves
    assert moves.matrix.shape == (2, 7, 2, 2)
    for step in (0, 6):
        np.testing.assert_array_equal(moves.matrix[:, step], np.stack([np.eye(2)] * 2))
        np.testing.assert_array_equal(moves.shift[:, step], 0)
    assert len({row.tobytes() for row in moves.shift.reshape(-1, 2)}) > 5


# -- the optimiser -------------------------------------------------------------------------------------------------------


def test_half_shared_adam_equals_a_loop():
    random = np.random.default_rng(0)
    gradients = random.normal(size=(6, 2, 3, 4)) * [[1.0, 10, 0, 0.1]]
    optimiser = half_shared_adam(0.05)
    memory = optimiser.init(jnp.zeros((2, 3, 4)))
    mean, square = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
    for number, gradient in enumerate(gradients, 1):
        found, memory = optimiser.update(jnp.asarray(gradient, jnp.float32), memory)
        expected = np.zeros((2, 3, 4))
        for image in range(2):
            for place in np.ndindex(3, 4):
                at = (image, *place)
                mean[at] = 0.9 * mean[at] + 0.1 * gradient[at]
                square[at] = 0.999 * square[at] + 0.001 * gradient[at] ** 2
            own = np.sqrt(square[image] / (1 - 0.999**number))
            shared = np.sqrt(np.mean(own**2))
            for place in np.ndindex(3, 4):
                if own[place] > 0:
                    expected[(image, *place)] = -0.05 * mean[(image, *place)] / (1 - 0.9**number)
                    expected[(image, *place)] /= np.sqrt(own[place] * shared)
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-7)


# -- planted units -------------------------------------------------------------------------------------------------------


def edge(degrees, size=11):
    """A Gabor of stripes at `degrees`, counter-clockwise from horizontal; sums to zero."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    across = x * np.sin(np.deg2rad(degrees)) + y * np.cos(np.deg2rad(degrees))
    kernel = np.sin(2 * np.pi * across / 6) * np.exp(-(x**2 + y**2) / 24)
    return kernel - kernel.mean()


@pytest.fixture(scope="module")
def planted():
    """Units: red against green, edges at 45 degrees, at 0 degrees, and one that nothing excites; a second layer adds."""
    kernel = np.zeros((11, 11, 3, 4), np.float32)
    kernel[5, 5, :, 0] = 1, -1, 0
    kernel[:, :, :, 1] = edge(45)[:, :, None]
    kernel[:, :, :, 2] = edge(0)[:, :, None]
    kernel[:, :, :, 3] = 0.01
    bias = np.array([0, 0, 0, -100], np.float32)
    params = {"first": {"kernel": kernel, "bias": bias}, "second": {"kernel": np.eye(4, dtype=np.float32)}}

    def apply(params, images):
        numbers = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(images, params["first"]["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
        return jax.nn.relu(x + params["first"]["bias"]) @ params["second"]["kernel"]

    network = Network(apply, params, (40, 40, 3))
    preprocessing = Preprocessing(size_px=(40, 40), range=(-1, 1))
    visualiser = Visualiser(network, FeatureVisView(preset="standard", size_px=32), preprocessing, lambda: np.zeros(0))
    return {layer: visualiser.units([(layer, unit) for unit in range(4)]) for layer in ("first", "second")}


def colour_axis(image):
    """The direction in which its colours lie furthest from grey."""
    away = (image.reshape(-1, 3) / 255.0) - 0.5
    return np.linalg.eigh(away.T @ away)[1][:, -1]


def stripes_deg(image):
    """How its stripes lie: the structure tensor's smaller eigenvector, 0-180 counter-clockwise from horizontal; and how
    clearly, 0-1."""
    down, across = np.gradient(image.mean(axis=2) / 255.0)
    xx, yy, xy = (across**2).sum(), (down**2).sum(), (across * -down).sum()
    gradient_deg = np.rad2deg(np.arctan2(2 * xy, xx - yy)) / 2
    return (gradient_deg + 90) % 180, np.hypot(xx - yy, 2 * xy) / (xx + yy)


@pytest.mark.parametrize("layer", ["first", "second"])
def test_a_red_green_detector_comes_out_red_green(planted, layer):
    found = planted[layer][0]
    assert found.excited
    positive, negative = found.images[:2]
    # Blue is left to the parameterisation: red-green is the nearest of the three opponent axes.
    axes = np.array([[1, -1, 0], [1, 1, -2], [1, 1, 1]]) / np.sqrt([[2], [6], [3]])
    along = np.abs(axes @ colour_axis(positive))
    assert along[0] > max(0.75, along[1], along[2]), along
    red, green, _ = positive.reshape(-1, 3).mean(axis=0) / 255.0
    assert red - green > 0.4
    if layer == "first":
        red, green, _ = negative.reshape(-1, 3).mean(axis=0) / 255.0
        assert green - red > 0.4
        assert found.lowest < -1 < 1 < found.reached


@pytest.mark.parametrize("layer", ["first", "second"])
@pytest.mark.parametrize(("unit", "degrees"), [(1, 45), (2, 0)])
def test_an_edge_detector_comes_out_at_its_angle(planted, layer, unit, degrees):
    found = planted[layer][unit]
    angle, clearly = stripes_deg(found.images[0])
    assert abs((angle - degrees + 90) % 180 - 90) < 8, angle
    assert clearly > 0.6
    grey = np.abs(colour_axis(found.images[0])).sum() / np.sqrt(3)
    assert grey > 0.95  # the detector is blind to hue


@pytest.mark.parametrize("layer", ["first", "second"])
def test_a_unit_that_nothing_excites_is_said_to_be_so(planted, layer):
    assert [one.excited for one in planted[layer]] == [True, True, True, False]


def test_what_is_not_excited_is_drawn_grey():
    setup = FeatureVisSetup(
        objective="channel", value="pre_activation", parameterisation="fourier", preset="draft", size_px=20, steps=1, seed=0,
        input_range=(0, 1),
    )  # fmt: skip
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 20, 20, 4), np.uint8)
    found = [Visualised(5, noise[0], False, 0.0, -1.0, -2.0), Visualised(2, noise[1], True, 0.0, 1.0, -2.0)]
    drawn = draw("stem", setup, found, has_negative=True)
    assert [(one.unit, one.state) for one in drawn.record.units] == [(2, "ok"), (5, "unexcited")]
    assert [(one.negative, one.diverse) for one in drawn.record.units] == [(0, (1,)), (None, ())]
    (sheet,), (more,) = drawn.record.sheets, drawn.record.more_sheets
    tiles, others = pixels(drawn, sheet), pixels(drawn, more)
    np.testing.assert_array_equal(tiles[1], np.broadcast_to(np.uint8([128, 128, 128, 255]), (20, 20, 4)))
    for tile, expected in ((tiles[0], noise[1, 0]), (others[0], noise[1, 1]), (others[1], noise[1, 2])):
        seen = expected[..., 3] > 0
        np.testing.assert_array_equal(tile[seen], expected[seen])
    assert len(others) == 2


def pixels(drawn, sheet):
    """The sheet's tiles, decoded; lossless at this size."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(drawn.files[sheet.file])) as picture:
        whole = np.asarray(picture.convert("RGBA"))
    height, width = sheet.tile_px
    places = [divmod(place, sheet.columns) for place in range(sheet.count)]
    return [whole[row * height : (row + 1) * height, column * width : (column + 1) * width] for row, column in places]


# -- starts that are shut ------------------------------------------------------------------------------------------------


def two_layers(offset):
    """Random features behind a ReLU that is shut for any image near mid-grey."""
    random = np.random.default_rng(2)
    first = random.normal(size=(5, 5, 3, 8)).astype(np.float32)
    params = {"first": {"kernel": first}, "second": {"kernel": np.abs(random.normal(size=(8, 3))).astype(np.float32)}}

    def apply(params, images):
        numbers = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(images, params["first"]["kernel"], (1, 1), "VALID", dimension_numbers=numbers)
        return jax.nn.relu(x - offset) @ params["second"]["kernel"]

    return Network(apply, params, (16, 16, 3))


def test_a_start_that_is_shut_gets_away():
    """Only by passing rectifiers: with those left shut, the image stays where it began."""
    network, preprocessing = two_layers(3.0), Preprocessing(size_px=(16, 16), range=(-1, 1))
    view = FeatureVisView(preset="draft", size_px=16, negative=False)

    def climbed():
        visualiser = Visualiser(network, view, preprocessing, lambda: np.zeros(0))
        return visualiser.units([("second", 0)])[0]

    found = climbed()
    assert (found.start, found.excited) == (0.0, True)
    assert found.reached > 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("generator.views.feature_vis.optimisation.OPEN_STEPS", 0)
        stuck = climbed()
    assert stuck.reached == 0
    assert np.ptp(stuck.images[0].astype(int)) < 60  # the start's own noise


def test_rectifiers_are_passed_only_while_stuck_and_at_the_beginning():
    """What the slope is asked for: the first image has one only where rectifiers are open, the second one nowhere."""
    asked = []

    def slope(fed, is_open):
        jax.debug.callback(lambda value: asked.append(np.array(value)), is_open, ordered=True)
        steepness = is_open * jnp.array([1.0, 0.0])
        return jnp.zeros(2), jnp.zeros(2), steepness[:, None, None, None] * jnp.ones_like(fed)

    plan = Climb(Pixels(4, 3), still(4), AS_IS, settings.optimiser("pixels"), 20)
    jax.block_until_ready(jax.jit(lambda begin: climb(plan, slope, begin).images)(drawn(plan, [0, 1])))
    jax.effects_barrier()
    expected = np.zeros((21, 2), bool)
    expected[1:OPEN_STEPS:2, 0] = True  # stuck again one step later
    expected[1:OPEN_STEPS, 1] = True
    np.testing.assert_array_equal(np.stack(asked), expected)


# -- several images of one unit ------------------------------------------------------------------------------------------


def gram_likeness(values):
    """The mean cosine between different images' Gram matrices, in NumPy."""
    flat = np.asarray(values, float).reshape(len(values), -1, values.shape[-1])
    grams = [(one.T @ one).ravel() for one in flat]
    return np.mean([cosine(a, b) for place, a in enumerate(grams) for b in grams[:place]])


def test_diverse_images_are_less_alike(monkeypatch):
    """A unit that edges at any of four angles excite: in the eyes of a layer that tells them apart."""
    first = np.stack([edge(angle)[:, :, None].repeat(3, axis=2) for angle in (0, 45, 90, 135)], axis=-1).astype(np.float32)
    second = np.concatenate([np.ones((4, 1)), np.eye(4)], axis=1).astype(np.float32)

    def apply(params, images):
        numbers = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(images, params["first"]["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
        return jax.nn.relu(x) @ params["second"]["kernel"]

    network = Network(apply, {"first": {"kernel": first}, "second": {"kernel": second}}, (24, 24, 3))
    tapped = network.tapped([Tap("second")], batch=3)
    alike, scores = {}, {}
    for weight in (0.0, 1.0):
        monkeypatch.setattr("generator.build.programs.DIVERSITY", weight)
        view = FeatureVisView(preset="draft", size_px=24, negative=False, diverse=3)
        visualiser = Visualiser(network, view, Preprocessing(size_px=(24, 24), range=(-1, 1)), lambda: np.zeros(0))
        images = visualiser.units([("second", 0)])[0].images[1:]
        (values,) = tapped(images / np.float32(127.5) - 1)
        alike[weight], scores[weight] = gram_likeness(values), np.asarray(values)[..., 0].mean(axis=(1, 2))
    assert alike[1.0] < 0.95, alike
    assert 1 - alike[1.0] > 5 * (1 - alike[0.0]), alike
    assert scores[1.0].min() > 0.5 * scores[0.0].mean()  # and they still are images of the unit
