"""The streamed pass against NumPy with all values at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.errors import ProbeError, Problem
from generator.network import census as censuses
from generator.network.census import NUM_EXAMPLES, PAIRS_FROM, LayerCensus, census, sampled_positions
from generator.network.execute import Network, Tapped

NUM, SHAPE, CLASSES = 75, (7, 5, 8), 4


def apply(params, x):
    """The layer `copy` hands the image on, so that its units' values may be chosen; `head` names it."""
    numbers = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(x, params["copy"], (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=SHAPE[2])
    return x.max((1, 2)) @ params["head"]


@pytest.fixture(scope="module")
def images():
    """By unit: 0 any numbers, 1 nearly the same, 2 nearly their negative, 3 never above zero, 4 constant, 5 far from zero,
    6 NaN in one image, 7 small whole numbers, with ties."""
    random = np.random.default_rng(0)
    found = random.normal(size=(NUM, *SHAPE))
    found[..., 1] = found[..., 0] * 3 + found[..., 1] * 0.3
    found[..., 2] = 5 - found[..., 0] + found[..., 2] * 0.3
    found[..., 3] = -np.maximum(found[..., 3], 0)
    found[..., 4] = 2.5
    found[..., 5] = 4096 + found[..., 5] / 4
    found[40, 2, 3, 6] = np.nan
    found[..., 7] = random.integers(-3, 3, found.shape[:3])
    found[:, ::2, :, 7] = -1
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def network():
    head = np.random.default_rng(1).integers(-3, 4, (SHAPE[2], CLASSES)).astype(np.float32)
    head[[5, 6]] = 0
    return Network(apply, {"copy": np.ones((1, 1, 1, SHAPE[2]), np.float32), "head": head}, SHAPE)


@pytest.fixture(scope="module")
def labels():
    found = np.random.default_rng(2).integers(0, CLASSES, NUM)
    found[found == 2] = 3  # a class without images
    return found


def taken(network, images, labels=None, number=NUM, layers=("copy",), **keywords):
    own = None if labels is None else labels[:number].tolist()
    return census(network, layers, lambda i: images[i], number, labels=own, num_classes=CLASSES, **keywords)


@pytest.fixture(params=[(32, 75), (7, 75), (1, 9), (32, 33), (200, 75), (4, 1)], ids=str)
def sized(request, monkeypatch):
    """A size of batches, and a number of images."""
    batch, number = request.param
    monkeypatch.setattr(censuses, "BATCH", batch)
    return number


def samples(images):
    """A pixel in the middle of each of three by three equal parts, `(n * 9, u)` in float64."""
    rows, columns = [1, 3, 5], [0, 2, 4]
    return images[:, rows][:, :, columns].reshape(-1, images.shape[-1]).astype(np.float64)


def test_extremes_and_counts_equal_those_of_all_images(network, images, sized):
    own, flat = taken(network, images, number=sized)[0]["copy"], images[:sized].reshape(sized, -1, SHAPE[2])
    np.testing.assert_array_equal(own.largest, flat.max(axis=(0, 1)))
    np.testing.assert_array_equal(own.smallest, flat.min(axis=(0, 1)))
    fired = [
        sum(bool((image[:, unit] > 0).any()) and not np.isnan(image[:, unit]).any() for image in flat) for unit in range(8)
    ]
    assert own.fired.tolist() == fired
    assert (own.fired[3], own.largest[3], own.largest[4], own.smallest[4]) == (0, 0, 2.5, 2.5)


def test_deviations_pairs_and_eigenvalues_equal_those_of_all_samples(network, images, sized):
    known = [0, 1, 2, 3, 4, 5, 7]
    clean = images.copy()
    clean[40, 3, 2, 6] = np.nan  # a sampled position
    own, values = taken(network, clean, number=sized)[0]["copy"], samples(clean[:sized])
    if sized <= 40:
        known = list(range(8))
    else:
        assert np.isnan(own.std[6])
    np.testing.assert_allclose(own.std[known], values[:, known].std(axis=0), rtol=1e-6, atol=1e-12)
    covariance = np.zeros((8, 8))
    covariance[np.ix_(known, known)] = np.cov(values[:, known].T, bias=True)
    np.testing.assert_allclose(own.eigenvalues, np.linalg.eigvalsh(covariance)[::-1], rtol=1e-5, atol=1e-5)
    varying = [unit for unit in known if unit != 4]
    correlation = np.zeros((8, 8))
    correlation[np.ix_(varying, varying)] = np.corrcoef(values[:, varying].T)
    wanted = [(i, j) for i in range(8) for j in range(i + 1, 8) if abs(correlation[i, j]) >= PAIRS_FROM]
    assert list(map(tuple, own.pairs.tolist())) == wanted
    np.testing.assert_allclose(own.correlations, [correlation[pair] for pair in wanted], rtol=1e-6)
    assert {(0, 1), (0, 2)} <= set(wanted)
    assert own.correlations[wanted.index((0, 2))] < 0


def test_classes_equal_those_of_all_images(network, images, labels, sized):
    own, answers = taken(network, images, labels, sized)[0]["copy"], images[:sized].max(axis=(1, 2)).astype(np.float64)
    assert own.class_sizes.tolist() == np.bincount(labels[:sized], minlength=CLASSES).tolist()
    for label in range(CLASSES):
        group = answers[labels[:sized] == label]
        mean = group.mean(axis=0) if len(group) else np.zeros(8)
        np.testing.assert_allclose(own.class_means[label], mean, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(own.class_squares[label], ((group - mean) ** 2).sum(axis=0), rtol=1e-9, atol=1e-12)


def test_names_equal_a_count_and_examples_a_sort(network, images, labels, sized):
    _, named = taken(network, np.nan_to_num(images), labels, sized)
    head = np.asarray(network._params["head"], np.float64)
    outputs = np.nan_to_num(images[:sized]).max(axis=(1, 2)) @ head
    confusion = np.zeros((CLASSES, CLASSES), int)
    cells = {}
    for number, (label, output) in enumerate(zip(labels, outputs, strict=False)):
        name = int(np.argmax(output))
        confusion[label, name] += 1
        first, second = sorted(output)[::-1][:2]
        cells.setdefault((label, name), []).append((round(-(first - second), 4), number))
    assert named.confusion.tolist() == confusion.tolist()
    for cell in np.ndindex(CLASSES, CLASSES):
        wanted = [number for _, number in sorted(cells.get(cell, []))][:NUM_EXAMPLES]
        assert named.examples[cell].tolist() == wanted + [-1] * (NUM_EXAMPLES - len(wanted))


def test_equally_confident_images_come_in_order():
    network = Network(lambda params, x: x.mean((1, 2)) @ params["head"], {"head": jnp.eye(2)}, (1, 1, 2))
    images = np.zeros((40, 1, 1, 2), np.float32)
    images[:, 0, 0, 0] = [1 + (i in (7, 36)) for i in range(40)]
    _, named = census(network, ["head"], lambda i: images[i], 40, labels=[1] * 40, num_classes=2)
    assert named.examples[1, 0].tolist() == [7, 36, 0, 1]
    assert named.confusion.tolist() == [[0, 0], [40, 0]]


def test_vectors_have_one_sample_an_image(network, images):
    own, answers = taken(network, np.nan_to_num(images), layers=["head"])[0]["head"], np.nan_to_num(images).max(axis=(1, 2))
    outputs = answers.astype(np.float64) @ np.asarray(network._params["head"], np.float64)
    np.testing.assert_allclose(own.std, outputs.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(own.largest, outputs.max(axis=0), rtol=1e-5)
    np.testing.assert_allclose(own.smallest, outputs.min(axis=0), rtol=1e-5)
    np.testing.assert_allclose(own.eigenvalues, np.linalg.eigvalsh(np.cov(outputs.T, bias=True))[::-1], rtol=1e-4, atol=1e-4)


def test_several_layers_keep_apart_and_without_labels_nothing_is_named(network, images):
    both, named = taken(network, images, layers=["head", "copy"])
    alone = taken(network, images)[0]["copy"]
    assert named is None
    assert list(both) == ["head", "copy"]
    for name, array in both["copy"].arrays().items():
        np.testing.assert_array_equal(array, alone.arrays()[name], err_msg=name)
    assert not alone.class_sizes.any()
    again = LayerCensus(**alone.arrays())
    assert all(np.array_equal(array, alone.arrays()[name], equal_nan=True) for name, array in again.arrays().items())


def test_a_compiled_census_serves_for_other_weights(network, images):
    run = censuses.compiled(network, ["copy"], NUM)
    twice = [constant * 2 if constant.shape[-1] == SHAPE[2] else constant for constant in run.constants]
    own = taken(network, images, run=Tapped(run.function, twice))[0]["copy"]
    np.testing.assert_array_equal(own.largest, 2 * taken(network, images, run=run)[0]["copy"].largest)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 3), (4, 7), (28, 28), (1, 9), (112, 57)])
def test_samples_are_in_the_middle_of_equal_parts(shape):
    found = [divmod(position, shape[1]) for position in sampled_positions(shape).tolist()]
    middles = [sorted({int((part + 0.5) / 3 * length) for part in range(3)}) for length in shape]
    assert found == [(row, column) for row in middles[0] for column in middles[1]]
    assert sampled_positions(()).tolist() == [0]


def test_all_images_that_cannot_be_read_are_named(network, images):
    def read(number):
        if number in (3, 70):
            raise ProbeError(Problem(f"{number}.png", "damaged"))
        return images[number]

    with pytest.raises(ProbeError) as caught:
        census(network, ["copy"], read, NUM)
    assert [str(problem) for problem in caught.value.problems] == ["3.png: damaged", "70.png: damaged"]
