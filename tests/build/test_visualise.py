"""Units by the real visualiser: the same bytes in any company, every setting, and what a network or a config refuses."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.build import programs
from generator.build.visualise import Request, Visualiser
from generator.config.views import FeatureVisView
from generator.errors import NetworkError
from generator.network.execute import Network, Tap
from generator.records import Preprocessing

STEPS = 6


class Tiny(nn.Module):
    """flat: its head reads every pixel, so that it takes images of one size only."""

    flat: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.relu6(nn.Conv(5, (3, 3), 2, name="stem")(x))
        x = nn.relu(nn.Conv(7, (3, 3), name="body")(x))
        x = x.reshape(len(x), -1) if self.flat else x.mean((1, 2))
        return nn.Dense(4, name="head")(x)


def network(channels=3, flat=False, size=24):
    module, shape = Tiny(flat), (size, size, channels)
    variables = module.init(jax.random.key(3), jnp.zeros((1, *shape)))
    return Network(module.apply, variables, shape)


RGB = Preprocessing(size_px=(24, 24), range=(-1, 1))


def visualiser(of, preprocessing=RGB, natural=lambda: np.zeros(0), **settings):
    view = FeatureVisView(**{"steps": STEPS, "preset": "draft", **settings})
    return Visualiser(of, view, preprocessing, natural)


@pytest.fixture(scope="module")
def plain():
    return visualiser(network())


@pytest.fixture(scope="module")
def all_units(plain):
    """Of `body`, all seven at once."""
    return plain.units([("body", unit) for unit in range(7)])


def same(one, other):
    assert one.unit == other.unit
    assert one.images.tobytes() == other.images.tobytes()
    assert (one.start, one.reached, one.lowest, one.excited) == (other.start, other.reached, other.lowest, other.excited)


def test_images_are_those_of_the_settings(all_units):
    assert all(one.images.shape == (2, 24, 24, 3) and one.images.dtype == np.uint8 for one in all_units)
    assert len({image.tobytes() for one in all_units for image in one.images}) == 14
    for one in all_units:
        assert one.excited
        assert one.lowest < one.reached
        assert one.start < one.reached


def test_a_unit_is_the_same_in_any_company(plain, all_units):
    for unit in (0, 3, 6):
        same(plain.units([("body", unit)])[0], all_units[unit])
    for one in plain.units([("body", unit) for unit in (5, 1, 4, 2)]):
        same(one, all_units[one.unit])
    fresh = visualiser(network())
    fresh.units([("head", 0)])  # another layer first
    same(fresh.units([("body", 3), ("body", 3)])[1], all_units[3])


def test_numbers_are_those_of_the_network(plain, all_units):
    """The scores of finished images, from the network itself: pre-activations above zero, as it sees them at rest."""
    of = network()
    margin = plain._programs._frame[0] - 24
    edge, size = margin // 2, 24 + margin
    (values,) = of.tapped([Tap("body", "pre_activation")], batch=7, size=(size, size, 3))(
        np.pad(
            np.stack([one.images[0] for one in all_units]) / np.float32(127.5) - 1,
            ((0, 0), (edge, margin - edge), (edge, margin - edge), (0, 0)),
        )
    )
    expected = [np.maximum(value[..., unit], 0).mean() for unit, value in enumerate(np.asarray(values))]
    np.testing.assert_allclose([one.reached for one in all_units], expected, rtol=0.02)  # images are rounded to 8 bits


def test_one_program_serves_all_units_and_layers(monkeypatch):
    """Traced once, whatever is asked for; with diverse images, once more for each layer."""
    from generator.views.feature_vis import optimisation

    traced = []
    real = optimisation.climb
    monkeypatch.setattr(optimisation, "climb", lambda *given: traced.append(1) or real(*given))
    mine = visualiser(network(), steps=1, diverse=2)
    for work in (("body", 0), ("body", 1), ("stem", 4), ("head", 2)):
        mine.run([Request(*work)])
    assert len(traced) == 1
    for layer, unit in (("stem", 0), ("stem", 1), ("head", 2)):
        mine._programs.diverse(layer, unit, [1, 2])
    assert len(traced) == 3


def test_the_seed_and_nothing_else_gives_other_images(all_units):
    other = visualiser(network(), seed=1).units([("body", 2)])[0]
    assert other.images.tobytes() != all_units[2].images.tobytes()


def test_without_negative_images(all_units):
    alone = visualiser(network(), negative=False).units([("body", 2)])[0]
    assert alone.lowest is None
    assert alone.images.tobytes() == all_units[2].images[:1].tobytes()


def test_diverse_images(all_units):
    mine = visualiser(network(), diverse=3, steps=2)
    found = mine.units([("body", 1), ("body", 2)])
    assert [one.images.shape for one in found] == [(5, 24, 24, 3)] * 2
    assert len({image.tobytes() for one in found for image in one.images}) == 10
    same(mine.units([("body", 2)])[0], found[1])


def test_the_centre_of_a_map(plain, all_units):
    mine = visualiser(network(), objective="neuron", negative=False, steps=24)
    one = mine.units([("stem", 1)])[0]
    far = np.ones((24, 24), bool)
    far[8:17, 8:17] = False
    middle = np.abs(one.images[0].astype(int) - 128).max(axis=2)
    assert middle[~far].max() > 3 * np.median(middle[far])
    assert mine.setup("stem").objective == "neuron"
    assert mine.setup("head").objective == "unit"
    assert mine.units([("head", 1)])[0].excited


def test_setup_says_how_it_was_made(plain):
    setup = plain.setup("body")
    assert (setup.objective, setup.parameterisation, setup.preset) == ("channel", "fourier", "draft")
    assert (setup.size_px, setup.steps, setup.seed, setup.input_range) == (24, STEPS, 0, (-1, 1))


# -- other networks ------------------------------------------------------------------------------------------------------


def test_a_network_of_one_size():
    of = network(flat=True)
    found = visualiser(of).units([("head", 0)])[0]
    assert found.images.shape == (2, 24, 24, 3)
    assert visualiser(of, size_px=16).units([("head", 0)])[0].images.shape == (2, 16, 16, 3)
    rule = r"images of 32 px do not fit a network that takes 24 x 24 pixels only; choose `views\.feature_vis\.size_px` up to 24"
    with pytest.raises(NetworkError, match=rule):
        visualiser(of, size_px=32).units([("head", 0)])


def test_other_sizes_on_networks_that_take_any():
    assert visualiser(network(), size_px=33, steps=1).units([("stem", 0)])[0].images.shape == (2, 33, 33, 3)


def test_grey():
    found = visualiser(network(1), Preprocessing(size_px=(24, 24), channels="grey")).units([("body", 0)])[0]
    assert found.images.shape == (2, 24, 24, 1)


def test_bgr_networks_give_the_images_of_their_rgb_twins(all_units):
    """The same network with the stem's input channels swapped, fed blue first."""
    module = Tiny()
    variables = module.init(jax.random.key(3), jnp.zeros((1, 24, 24, 3)))
    stem = {**variables["params"]["stem"], "kernel": variables["params"]["stem"]["kernel"][:, :, ::-1]}
    swapped = {"params": {**variables["params"], "stem": stem}}
    of = Network(module.apply, swapped, (24, 24, 3))
    found = visualiser(of, Preprocessing(size_px=(24, 24), range=(-1, 1), channels="bgr")).units([("body", 2)])[0]
    apart = np.abs(found.images.astype(int) - all_units[2].images.astype(int))
    assert np.quantile(apart, 0.99) <= 2  # sums in another order


@pytest.mark.parametrize("channels", [3, 1])
def test_maco_has_opacity(channels):
    preprocessing = Preprocessing(size_px=(24, 24), range=(-1, 1), channels="rgb" if channels == 3 else "grey")
    natural = np.random.default_rng(0).uniform(-1, 1, (2, 24, 30, channels)).astype(np.float32)
    mine = visualiser(network(channels), preprocessing, lambda: natural, parameterisation="maco", negative=False, diverse=2)
    found = mine.units([("body", 0)])[0]
    assert found.images.shape == (3, 24, 24, 4)
    opacity = found.images[..., 3]
    assert np.all(opacity.max(axis=(1, 2)) == 255)
    assert np.all((opacity == 255).mean(axis=(1, 2)) < 0.1)  # the strongest twentieth
    if channels == 1:
        np.testing.assert_array_equal(found.images[..., 0], found.images[..., 2])
    same(mine.units([("body", 0)])[0], found)
    assert mine.setup("body").steps == STEPS


def test_maco_learns_its_spectrum_from_the_middle_of_natural_images():
    """Of two inputs, as the network was fed them; a wave across one of them stands out."""
    x = np.mgrid[:24, :36][1] - 6
    wave = 0.3 * np.sin(2 * np.pi * 4 * x / 24)[:, :, None] * np.ones(3)
    natural = np.stack([wave, 0 * wave]).astype(np.float32)
    mine = programs.Programs(network(), FeatureVisView(parameterisation="maco"), RGB, lambda: natural)
    magnitudes = np.asarray(mine.plan.parameterisation.magnitudes)
    assert magnitudes.shape == (24, 13, 3)
    assert np.unravel_index(magnitudes[..., 0].argmax(), (24, 13)) == (0, 4)
    assert magnitudes[..., 0].max() > 10 * np.sort(magnitudes[..., 0].ravel())[-2]


def test_a_unit_of_numbers_that_are_no_numbers_is_not_excited():
    module = Tiny()
    variables = module.init(jax.random.key(3), jnp.zeros((1, 24, 24, 3)))
    kernel = variables["params"]["body"]["kernel"].at[..., 1].set(jnp.nan)
    broken = {"params": {**variables["params"], "body": {**variables["params"]["body"], "kernel": kernel}}}
    found = visualiser(Network(module.apply, broken, (24, 24, 3))).units([("body", 1)])[0]
    assert (found.excited, found.start, found.reached) == (False, None, None)
