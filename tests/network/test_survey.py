"""The streamed pass against a search through everything at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from generator.errors import ProbeError, Problem
from generator.network import tally as tallies
from generator.network.execute import Network
from generator.network.survey import peaks, recall, survey
from generator.network.tally import LayerSurvey, Picks, Tally

PICKS = Picks(highest=4, lowest=3, spread=3)
LAYERS = ("first", "second", "head")


def apply(params, x):
    """Whole numbers throughout, so that sums are exact and many values equal."""
    for name in ("first", "second"):
        numbers = ("NHWC", "HWIO", "NHWC")
        x = jax.nn.relu(jax.lax.conv_general_dilated(x, params[name], (1, 2), "SAME", dimension_numbers=numbers))
    return x.max((1, 2)) @ params["head"]


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(0)
    shapes = {"first": (3, 3, 1, 6), "second": (1, 1, 6, 5), "head": (5, 3)}
    params = {name: random.integers(-2, 3, shape).astype(np.float32) for name, shape in shapes.items()}
    params["second"][..., 2] = -1  # a unit that never answers
    images = random.integers(0, 3, (75, 7, 9, 1)).astype(np.float32)
    labels = random.integers(0, 4, 75)
    labels[labels == 2] = 3  # a class without images
    return Network(apply, params, (7, 9, 1)), images, labels


def maps_of(network, images, layer):
    """Values of a layer for all images, `(n, h, w, c)`, from the layers' own definition."""
    params = {name: np.asarray(leaf) for name, leaf in network._params.items()}
    x = images
    for name in ("first", "second"):
        kernel = params[name]
        height, width = kernel.shape[:2]
        pad = (0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0)
        padded = np.pad(x, pad)
        out = np.zeros((*x.shape[:2], -(-x.shape[2] // 2), kernel.shape[3]), np.float32)
        for row, column in np.ndindex(height, width):
            part = padded[:, row : row + x.shape[1], column : column + x.shape[2] : 2]
            out += part @ kernel[row, column]
        x = np.maximum(out, 0)
        if name == layer:
            return x
    return (x.max((1, 2)) @ params["head"])[:, None, None, :]


def run(case, number=75, picks=PICKS):
    network, images, labels = case
    return survey(network, LAYERS, lambda i: images[i], number, picks=picks, labels=labels[:number], num_classes=4)


@pytest.mark.parametrize("number", [75, 64, 33, 5, 1])
@pytest.mark.parametrize("grouped", [False, True])
def test_exemplars_equal_a_search_ties_included(case, number, grouped, monkeypatch):
    network, images, _ = case
    if grouped:
        monkeypatch.setattr("generator.network.execute.GROUP_BYTES", 1)
    found = run(case, number)
    for layer in LAYERS:
        maps = maps_of(network, images[:number], layer)
        own = found[layer]
        for unit in range(maps.shape[3]):
            answers = [float(m[:, :, unit].max()) for m in maps]
            falling = sorted(range(number), key=lambda i: (-answers[i], i))
            rising = sorted(range(number), key=lambda i: (answers[i], i))
            ranks = [round(q * (number - 1)) for q in PICKS.quantiles]
            wanted = [*(falling + [-1] * 4)[:4], *(rising + [-1] * 3)[:3], *(rising[rank] for rank in ranks)]
            assert own.images[:, unit].tolist() == wanted
            assert own.values[:, unit].tolist() == [0 if image < 0 else answers[image] for image in wanted]


def test_peaks_and_counts_of_maps_of_any_size():
    random = np.random.default_rng(4)
    shapes = [(2, 1, 1, 3), (2, 15, 17, 3), (2, 16, 16, 3), (2, 1, 257, 3), (2, 30, 51, 3), (2, 64, 8, 3), (2, 3)]
    values = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    for value in values:
        value[0, ..., 0] = np.abs(value[0, ..., 0]) + 1  # all of them, more than a byte can count
        value[..., 1] = -0.0
        value[1, ..., 2] = np.nan
        value[0].reshape(-1, 3)[-1, 2] = np.nan  # the last of them, and in the next a single one in the middle
        value[1].reshape(-1, 3)[len(value[1].reshape(-1, 3)) // 2, 0] = np.nan
    largest, positive = map(np.asarray, jax.jit(peaks)(list(map(jnp.asarray, values))))
    flat = [value.reshape(2, -1, 3) for value in values]
    np.testing.assert_array_equal(
        largest,
        np.concatenate([[[max(c) if not any(np.isnan(c)) else np.nan for c in n.T] for n in value] for value in flat], 1),
    )
    assert positive.tolist() == [[sum(x > 0 for x in c) for value in flat for c in value[n].T] for n in range(2)]
    assert positive.max() == 1530


def test_the_case_has_ties_of_all_kinds(case):
    network, images, _ = case
    largest = maps_of(network, images, "first").max((1, 2))
    assert len(np.unique(largest[:, 0])) < 20
    assert not maps_of(network, images, "second")[..., 2].any()


def test_statistics_equal_those_of_all_answers_at_once(case):
    network, images, labels = case
    found = run(case)
    for layer in LAYERS:
        maps = maps_of(network, images, layer).astype(np.float64)
        answers, own = maps.max((1, 2)), found[layer]
        np.testing.assert_allclose(own.mean, answers.mean(0), rtol=1e-12)
        np.testing.assert_allclose(own.std, answers.std(0), rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(own.minimum, answers.min(0))
        np.testing.assert_array_equal(own.maximum, answers.max(0))
        np.testing.assert_allclose(own.active, (maps > 0).mean((0, 1, 2)), rtol=1e-12)
        for label in (0, 1, 3):
            np.testing.assert_allclose(own.class_means[:, label], answers[labels == label].mean(0), rtol=1e-6)
        assert np.isnan(own.class_means[:, 2]).all()
        for unit in range(answers.shape[1]):
            expected, _ = np.histogram(answers[:, unit], bins=[*own.edges[:-1], np.nextafter(own.edges[-1], -np.inf)])
            np.testing.assert_array_equal(own.counts[unit], expected)
            assert own.counts[unit].sum() == 75


def test_a_survey_is_made_again_from_its_arrays(case):
    own = run(case)["first"]
    again = LayerSurvey(**own.arrays())
    assert again.picks == PICKS
    assert all((again.arrays()[name] == array).all() for name, array in own.arrays().items() if name != "class_means")


def test_recalled_maps_are_the_layers_values(case):
    network, images, _ = case
    wanted = [3, 4, 17, 60, 61, 74]
    seen = []
    for number, maps in recall(network, LAYERS, lambda i: images[i], wanted):
        seen.append(number)
        for layer in LAYERS:
            np.testing.assert_array_equal(maps[layer], np.squeeze(maps_of(network, images[[number]], layer)[0]))
    assert seen == wanted
    assert list(recall(network, LAYERS, lambda i: images[i], [])) == []


def test_all_images_that_cannot_be_read_are_named(case):
    network, images, _ = case

    def read(number):
        if number in (40, 66):
            raise ProbeError(Problem(f"{number}.png", "damaged"))
        return images[number]

    with pytest.raises(ProbeError) as caught:
        survey(network, LAYERS, read, 75, picks=PICKS)
    assert [str(problem) for problem in caught.value.problems] == ["40.png: damaged", "66.png: damaged"]


def test_values_that_are_no_numbers_are_no_exemplars():
    def apply(params, x):
        return jax.nn.relu(x @ params["kernel"])  # a relu keeps NaN

    images = np.arange(6, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2, 1), np.float32)
    images[2, 1, 0] = np.nan
    images[4, 0, 1] = np.inf
    network = Network(apply, {"kernel": jnp.ones((1, 2))}, (2, 2, 1))
    own = survey(network, ["kernel"], lambda i: images[i], 6, picks=PICKS)["kernel"]
    assert own.images[:4, 0].tolist() == [5, 3, 1, 0]
    assert own.images[4:7, 0].tolist() == [0, 1, 3]
    assert own.images[7:, 0].tolist() == [1, 3, 3]  # ranks 0.75, 1.5, 2.25 of 0, 1, 3, 5
    assert own.counts.sum(1).tolist() == [4, 4]
    assert not np.isfinite(own.mean).any()


# the totals alone


def tallied(values, batches, picks=PICKS, widths=None):
    widths = widths or [values.shape[1]]
    total = Tally(widths, [1] * len(widths), len(values), picks)
    first = 0
    for size in batches:
        part = values[first : first + size]
        total.add(first, part, (part > 0).astype(np.int32))
        first += size
    assert first == len(values)
    return total.layers()


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, (24, 3), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)), st.integers(1, 24))
def test_totals_do_not_depend_on_the_batches(values, size):
    batches = [size] * (24 // size) + ([24 % size] if 24 % size else [])
    (own,), (whole,) = tallied(values, batches), tallied(values, [24])
    for name in ("images", "values", "edges", "counts", "minimum", "maximum", "active"):
        np.testing.assert_array_equal(getattr(own, name), getattr(whole, name), err_msg=name)
    np.testing.assert_allclose(own.mean, values.astype(np.float64).mean(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(own.std, values.astype(np.float64).std(0), rtol=1e-6, atol=1e-6)
    for unit in range(3):
        places = np.searchsorted(own.edges, values[:, unit].astype(np.float64), side="right") - 1
        np.testing.assert_array_equal(own.counts[unit], np.bincount(places, minlength=own.counts.shape[1]))
    assert len(own.edges) <= tallies.NUM_BINS + 1


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, (13, 2), elements=st.floats(width=32) | st.sampled_from([0.0, -0.0, 1.5, -1.5])), st.integers(1, 13))
def test_extremes_of_any_numbers_equal_a_sort(values, size):
    (own,) = tallied(values, [size] * (13 // size) + ([13 % size] if 13 % size else []))
    for unit, answers in enumerate(values.T.tolist()):
        known = [i for i in range(13) if np.isfinite(answers[i])]
        wanted = [*(sorted(known, key=lambda i: (-answers[i], i)) + [-1] * 4)[:4]]
        wanted += [*(sorted(known, key=lambda i: (answers[i], i)) + [-1] * 3)[:3]]
        assert own.images[:7, unit].tolist() == wanted
        assert own.values[:7, unit].tolist() == [0 if i < 0 else answers[i] for i in wanted]


def test_histograms_are_each_layers_own_and_no_wider_than_need_be():
    random = np.random.default_rng(1)
    values = np.concatenate([random.normal(size=(500, 4)), random.exponential(1e-3, size=(500, 2))], 1).astype(np.float32)
    for own in tallied(values, [20] * 25, widths=[4, 2]):
        assert own.counts.shape[1] > tallies.NUM_BINS / 2
        assert own.counts.sum(0)[[0, -1]].all()
        np.testing.assert_array_equal(np.diff(own.edges, 2), 0)


def test_a_large_mean_does_not_drown_the_deviation():
    values = (4096 + np.random.default_rng(2).normal(size=(3000, 2)) / 4).astype(np.float32)
    (own,) = tallied(values, [30] * 100)
    np.testing.assert_allclose(own.std, values.astype(np.float64).std(0), rtol=1e-9)


def test_quantiles_of_many_images_come_from_a_sample_that_no_order_can_bias():
    values = np.linspace(0, 1, 5000, dtype=np.float32)[:, None]  # sorted: the worst case for whoever keeps the first
    (own,) = tallied(values, [50] * 100)
    np.testing.assert_allclose(own.values[7:, 0], [0.25, 0.5, 0.75], atol=0.08)
    assert (own.values[7:, 0] == values[own.images[7:, 0], 0]).all()
    hashes = tallies._mixed(np.arange(1 << 16, dtype=np.uint64))
    assert len(np.unique(hashes)) == 1 << 16
    assert abs((hashes >> np.uint64(63)).mean() - 0.5) < 0.01
    assert int(tallies._mixed(np.zeros(1, np.uint64))[0]) == 0xE220A8397B1DCDAF  # the generator's first number, from seed 0


def test_totals_take_no_memory_for_images():
    def bytes_of(number):
        total = Tally([50], [1], number, PICKS)
        parts = (total._highest, total._lowest, total._sample, total._moments, total._histogram)
        return sum(a.nbytes for part in parts for a in vars(part).values() if isinstance(a, np.ndarray))

    assert bytes_of(1_000) == bytes_of(10_000)
