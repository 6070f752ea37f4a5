"""Each number and each verdict of a layer's health against its definition, on layers made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.network import census as censuses
from generator.network.graph import Layer, ReceptiveField
from generator.records import LayerHealth
from generator.views import health
from generator.views.health import Thresholds, effective_rank, measure

FIELD = ReceptiveField(size=(1, 1), stride=(1, 1), first=(0, 0))


def layer_of(units, activation="ReLU", kind="conv", groups=1, kernel=None, shape=None):
    return Layer(
        name="layer",
        kind=kind,
        inputs=("input",),
        shape=shape or (6, 6, units),
        activation=activation,
        receptive_field=FIELD,
        groups=groups,
        kernel_shape=kernel,
    )


def arrays_of(largest, smallest=None, fired=None, std=None, pairs=(), correlations=()):
    largest = np.array(largest, np.float64)
    return {
        "largest": largest,
        "smallest": np.zeros_like(largest) if smallest is None else np.array(smallest, np.float64),
        "fired": np.full(len(largest), 50) if fired is None else np.array(fired),
        "std": np.ones(len(largest)) if std is None else np.array(std, np.float64),
        "pairs": np.array(pairs, np.int32).reshape(-1, 2),
        "correlations": np.array(correlations, np.float64),
        "eigenvalues": np.ones(len(largest)),
    }


def judged(layer, arrays, weights=None, number=100, **keywords):
    settings = {"sees_image": False, "importance": None, "thresholds": Thresholds(), **keywords}
    found = measure(layer, arrays, number, weights, **settings)
    assert LayerHealth.model_validate_json(found.model_dump_json()) == found
    return found


def faults_of(layer, arrays, weights=None):
    return [(fault.kind, fault.unit, fault.value) for fault in judged(layer, arrays, weights).faults]


def random_weights(shape, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=size).astype(np.float32) for size in (shape, shape[-1:], shape[-1:])]


def test_every_fault_of_an_activation():
    arrays = arrays_of([0, 2, 6, 3, np.nan, 1], [0, 0, 6, 3, np.nan, 0], [0, 1, 100, 100, 9, 2])
    thresholds = Thresholds(rare=0.02)
    found = judged(layer_of(6, "ReLU6"), arrays, thresholds=thresholds)
    assert [(fault.kind, fault.unit, fault.value) for fault in found.faults] == [
        ("silent", 0, 0.0),
        ("rare", 1, 0.01),
        ("saturated", 2, 6.0),
        ("constant", 3, 3.0),
        ("nan", 4, None),
    ]
    assert found.removable == (0, 2, 3)


def test_infinite_values_are_broken_too():
    assert faults_of(layer_of(2), arrays_of([np.inf, 1], [0, 0])) == [("nan", 0, None)]


@pytest.mark.parametrize(("activation", "bound"), [("sigmoid", 1), ("tanh", 1), ("hard sigmoid", 1), ("ReLU6", 6)])
def test_units_at_their_bound(activation, bound):
    assert faults_of(layer_of(1, activation), arrays_of([bound], [bound])) == [("saturated", 0, bound)]
    assert faults_of(layer_of(1), arrays_of([bound], [bound])) == [("constant", 0, bound)]


@pytest.mark.parametrize("activation", ["SiLU", "GELU", "leaky ReLU", "ELU", "softplus", "tanh", "clip", None])
def test_a_unit_below_zero_is_silent_only_where_the_activation_cuts_off(activation):
    arrays = arrays_of([-0.01, 1], [-0.15, 0], [0, 50])
    kinds = [kind for kind, _, _ in faults_of(layer_of(2, activation), arrays)]
    assert kinds == (["rare"] if activation in ("SiLU", "GELU") else [])
    assert faults_of(layer_of(1, activation), arrays_of([0], [0], [0])) == [("constant", 0, 0.0)]


def test_zero_means_nothing_where_a_normalisation_follows_the_activation():
    arrays = arrays_of([-0.2, 0, -1], [-1, 0, -1], [0, 0, 0])
    assert faults_of(layer_of(3), arrays) == [("constant", 1, 0.0), ("constant", 2, -1.0)]


def test_weightless_units_are_told_apart_from_silent_ones():
    kernel, scale, offset = random_weights((3, 3, 4, 6))
    kernel /= np.sqrt((kernel**2).sum(axis=(0, 1, 2)))
    kernel[..., 1] = 0
    scale[:] = 1, 1, 1, 1e-4, 0.01, 1  # so that the median of those with weights is one
    arrays = arrays_of([1, 0, 0, 1, 1, 1], fired=[50, 0, 0, 50, 50, 50])
    found = judged(layer_of(6), arrays, (kernel, scale, offset))
    assert [(f.kind, f.unit) for f in found.faults] == [("silent", 1), ("silent", 2), ("weightless", 1), ("weightless", 3)]
    assert [f.value for f in found.faults[2:]] == [0, pytest.approx(1e-4, rel=1e-4)]
    assert found.removable == (1, 2, 3)


def test_a_layer_of_zeros_is_weightless_throughout():
    zeros = np.zeros((4, 3), np.float32), np.ones(3), np.zeros(3)
    found = faults_of(layer_of(3, None, "dense", shape=(3,)), arrays_of([0, 0, 0]), zeros)
    assert [(kind, value) for kind, _, value in found] == [("constant", 0)] * 3 + [("weightless", 0)] * 3


# redundancy


def clusters_of(found):
    return [(cluster.kept, [twin.unit for twin in cluster.others]) for cluster in found.clusters]


def test_a_chain_does_not_make_its_ends_alike():
    pairs, correlations = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)], [0.99, 0.985, 0.99, 0.995, 0.97]
    found = judged(layer_of(5), arrays_of([9] * 5, std=[1, 2, 3, 4, 5], pairs=pairs, correlations=correlations))
    assert clusters_of(found) == [(4, [3]), (2, [1])]
    assert [twin.correlation for cluster in found.clusters for twin in cluster.others] == [0.995, 0.985]
    assert found.removable == (1, 3)


def components(units, linked):
    left, found = set(units), []
    while left:
        group, new = set(), {min(left)}
        while new:
            group |= new
            new = {other for unit in new for other in left if linked[unit][other]} - group
        found.append(group)
        left -= group
    return found


def by_components(units, linked, std):
    """Connected components; of each the strongest with those like itself; the rest again."""
    found = []
    for group in components(units, linked):
        kept = min(group, key=lambda unit: (-std[unit], unit))
        others = {unit for unit in group if unit != kept and linked[kept][unit]}
        found += [(kept, sorted(others))] if others else []
        if rest := group - {kept} - others:
            found += by_components(rest, linked, std)
    return found


@given(st.integers(0, 10_000), st.floats(0.02, 0.4))
def test_clusters_equal_components_taken_apart_again_and_again(seed, density):
    random = np.random.default_rng(seed)
    linked = np.triu(random.random((12, 12)) < density, 1)
    std = random.integers(1, 5, 12)
    arrays = arrays_of([9] * 12, std=std, pairs=np.argwhere(linked), correlations=np.full(linked.sum(), 0.99))
    found = judged(layer_of(12), arrays)
    assert sorted(clusters_of(found)) == sorted(by_components(range(12), linked | linked.T, std))


def test_twins_come_by_falling_correlation_and_those_known_by_kernel_alone_last():
    kernel, scale, offset = random_weights((3, 3, 4, 6), 1)
    for unit in (2, 5):
        kernel[..., unit], scale[unit], offset[unit] = kernel[..., 0] * unit, scale[0], offset[0] * unit
    arrays = arrays_of([9] * 6, std=[7, 2, 2, 2, 2, 2], pairs=[(0, 1), (0, 2), (0, 3)], correlations=[0.98, 0.99, -0.99])
    (cluster,) = judged(layer_of(6), arrays, (kernel, scale, offset)).clusters
    assert cluster.kept == 0
    assert [(twin.unit, twin.correlation) for twin in cluster.others] == [(2, 0.99), (1, 0.98), (5, None)]
    vector = [np.append(kernel[..., u].ravel() * scale[u], offset[u]).astype(np.float64) for u in range(6)]
    for twin in cluster.others:
        own, kept = vector[twin.unit], vector[0]
        assert twin.kernel == pytest.approx(own @ kept / np.sqrt((own @ own) * (kept @ kept)), abs=1e-5)


def test_cosines_and_norms_equal_those_written_out():
    layer, (kernel, scale, offset) = layer_of(6, groups=2), random_weights((3, 3, 2, 6), 2)
    found = health._kernels(layer, kernel, scale, offset)
    rows = [kernel[..., unit].ravel().astype(np.float64) * scale[unit] for unit in range(6)]
    norms = [np.linalg.norm(row) for row in rows]
    np.testing.assert_allclose(found.norms, norms / np.median(norms), rtol=1e-5)
    for first, second in np.ndindex(6, 6):
        if first // 3 != second // 3:
            assert np.isnan([found.folded[first, second], found.bare[first, second]]).all()
            continue
        bare = rows[first] @ rows[second]
        sizes = [np.hypot(norms[unit], offset[unit]) for unit in (first, second)]
        assert found.bare[first, second] == pytest.approx(bare / norms[first] / norms[second], abs=1e-5)
        assert found.folded[first, second] == pytest.approx((bare + offset[first] * offset[second]) / np.prod(sizes), abs=1e-5)


def test_large_offsets_do_not_make_unlike_kernels_alike():
    kernel, scale, offset = random_weights((3, 3, 4, 4), 3)
    offset[:] = 5000
    assert judged(layer_of(4), arrays_of([9] * 4), (kernel, scale, offset)).clusters == ()
    kernel[..., 1], scale[1], offset[1] = kernel[..., 0], scale[0], -offset[0]
    assert judged(layer_of(4), arrays_of([9] * 4), (kernel, scale, offset)).clusters == ()


def test_units_that_read_different_channels_are_alike_only_by_what_they_answer():
    kernel, scale, offset = (np.ones(shape, np.float32) for shape in ((3, 3, 1, 4), 4, 4))
    scale[3] = -1
    layer = layer_of(4, kind="depthwise_conv", groups=4)
    arrays = arrays_of([9] * 4, std=[2, 1, 1, 1], pairs=[(0, 2)], correlations=[0.99])
    found = judged(layer, arrays, (kernel, scale, offset))
    assert clusters_of(found) == [(0, [2])]
    assert found.clusters[0].others[0].kernel is None
    assert found.opposites == ()
    # Two units for each of two channels: those of the same channel are comparable.
    found = judged(layer_of(4, kind="depthwise_conv", groups=2), arrays, (kernel, scale, offset))
    assert clusters_of(found) == [(0, [2, 1])]
    assert [(pair.first, pair.second, pair.kernel) for pair in found.opposites] == [(2, 3, -1.0)]


def test_dead_and_broken_units_are_in_no_cluster():
    arrays = arrays_of([0, 9, np.nan, 3, 9, 9], [0, 0, 0, 3, 0, 0], std=[9, 1, 9, 9, 2, 1])
    kernel, scale, offset = (np.ones(shape, np.float32) for shape in ((4, 6), 6, 6))
    scale[5] = 1e-6
    found = judged(layer_of(6), arrays, (kernel, scale, offset))
    assert clusters_of(found) == [(4, [1])]
    assert found.removable == (0, 1, 3, 5)  # NaN times zero is NaN: nothing is won by it


def test_classes_are_never_removable():
    arrays = arrays_of([0, 9, 9], std=[0, 2.5, 3], pairs=[(1, 2)], correlations=[1])
    layer = layer_of(3, "ReLU", "dense", shape=(3,))
    assert judged(layer, arrays).removable == (0, 1)
    found = judged(layer, arrays, is_output=True)
    assert clusters_of(found) == [(2, [1])]
    assert found.removable == ()


@pytest.mark.parametrize("answers", [1, 4, 5, 30])
def test_units_that_answer_at_the_same_few_places_are_not_alike(answers):
    values = np.zeros((900, 2))
    values[:answers] = [4, 7]
    arrays = arrays_of([4, 7], std=values.std(axis=0), pairs=[(0, 1)], correlations=[np.corrcoef(values.T)[0, 1]])
    assert len(judged(layer_of(2), arrays).clusters) == (answers > 5)


def test_what_the_census_keeps_is_enough_for_the_threshold():
    assert Thresholds().alike >= censuses.PAIRS_FROM


def test_opposites_are_told_by_kernels_whatever_the_offsets():
    kernel, scale, offset = random_weights((3, 3, 4, 5), 4)
    kernel[..., 3], scale[3], offset[3] = kernel[..., 1] * 2, -scale[1], 7
    kernel[..., 4], scale[4] = kernel[..., 1], -scale[1] * 1e-6
    found = judged(layer_of(5), arrays_of([9] * 5), (kernel, scale, offset))
    assert [(pair.first, pair.second) for pair in found.opposites] == [(1, 3)]
    assert found.opposites[0].kernel == pytest.approx(-1, abs=1e-5)
    assert found.removable == (4,)


# numbers of a layer


def test_effective_rank_equals_its_closed_forms():
    assert effective_rank(np.full(7, 3.5)) == pytest.approx(7, rel=1e-5)
    assert effective_rank(np.array([5.0, 0, 0])) == 1
    assert effective_rank(np.array([3.0, 1.0, 0])) == pytest.approx(4 / 3**0.75, rel=1e-5)
    # A geometric series of ratio 1/2: probabilities of 2, 4, 8, ... have two bits of entropy.
    assert effective_rank(0.5 ** np.arange(60)) == pytest.approx(4, rel=1e-5)
    assert effective_rank(np.array([1e308, 1e308, 1e-300])) == pytest.approx(2, rel=1e-5)
    assert effective_rank(np.zeros(4)) is None


def share_by_hand(dirichlet):
    """Of a 3 x 3 kernel whose spectrum is the product of `dirichlet` along both axes."""
    frequencies = [(place - 16) / 32 for place in range(32)]
    energy = {(y, x): (dirichlet(y) * dirichlet(x)) ** 2 for y in frequencies for x in frequencies}
    return sum(e for (y, x), e in energy.items() if (4 * y * y + 4 * x * x) ** 0.5 > 0.5) / sum(energy.values())


def test_noise_of_a_flat_kernel_and_of_a_checkerboard_equal_their_closed_forms():
    flat = np.ones((3, 3))
    board = np.where(np.indices((3, 3)).sum(axis=0) % 2, -1.0, 1.0)
    single = np.zeros((3, 3))
    single[0, 2] = 3
    kernel = np.stack([flat, board, single], axis=-1)[:, :, None].astype(np.float32)
    arrays, weights = arrays_of([9] * 3), (kernel, np.ones(3), np.zeros(3))
    found = judged(layer_of(3), arrays, weights, sees_image=True)
    whole = [(y, x) for y in range(-16, 16) for x in range(-16, 16)]
    wanted = [
        share_by_hand(lambda f: 1 + 2 * np.cos(2 * np.pi * f)),
        share_by_hand(lambda f: 1 - 2 * np.cos(2 * np.pi * f)),
        sum(y * y + x * x > 64 for y, x in whole) / len(whole),  # all frequencies alike
    ]
    np.testing.assert_allclose(found.noise, wanted, rtol=1e-5)
    assert found.noise[0] < 0.2
    assert found.noise[1] > 0.99
    assert found.noisy == (1, 2)
    assert judged(layer_of(3), arrays, weights).noise is None


def test_noise_of_random_kernels_is_that_of_white_noise_and_of_colours_the_sum_of_their_energies():
    random = np.random.default_rng(0)
    kernel = random.normal(size=(5, 5, 3, 400))
    noise = health._noise(kernel)
    assert noise.mean() == pytest.approx(1 - np.pi / 16, abs=0.01)
    energy = np.square(kernel).sum(axis=(0, 1))  # of each colour, Parseval
    single = np.stack([health._noise(kernel[:, :, [colour]]) for colour in range(3)])
    np.testing.assert_allclose(noise, (single * energy).sum(axis=0) / energy.sum(axis=0), rtol=1e-9)


def test_kernels_that_are_no_pictures_have_no_noise_and_weightless_ones_are_not_noisy():
    for shape in ((1, 1, 4, 3), (2, 5, 4, 3), (4, 3)):
        assert judged(layer_of(3), arrays_of([9] * 3), random_weights(shape), sees_image=True).noise is None
    kernel, scale, offset = random_weights((3, 3, 1, 3))
    kernel[:], scale[0], kernel[..., 1] = [[[[1]], [[-1]], [[1]]]], 1e-9, 0
    found = judged(layer_of(3), arrays_of([9] * 3), (kernel, scale, offset), sees_image=True)
    assert found.noise[1] == 0
    assert 0 not in found.noisy


def test_importance_is_a_share():
    layer, arrays = layer_of(3), arrays_of([9] * 3)
    assert judged(layer, arrays, importance=np.array([1, 2, 5], np.float32)).importance == (0.125, 0.25, 0.625)
    assert judged(layer, arrays, importance=np.zeros(3)).importance == (0, 0, 0)
    assert judged(layer, arrays, importance=np.array([np.nan, 1, 3])).importance == (0, 0.25, 0.75)


def test_thresholds_have_names_and_count():
    named = Thresholds(alike=0.95).named()
    assert named == {"rare": 0.01, "alike": 0.95, "kernel": 0.999, "opposite": -0.99, "tiny": 1e-3, "noisy": 0.8}
    arrays = arrays_of([9] * 2, pairs=[(0, 1)], correlations=[0.96])
    assert judged(layer_of(2), arrays).clusters == ()
    assert clusters_of(judged(layer_of(2), arrays, thresholds=Thresholds(**named))) == [(0, [1])]


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="3 units"):
        judged(layer_of(3), arrays_of([1, 2]))
    with pytest.raises(ValueError, match="3 units"):
        judged(layer_of(3), arrays_of([1] * 3), random_weights((3, 3, 1, 4)))
    with pytest.raises(ValueError, match="3 units"):
        judged(layer_of(3), arrays_of([1] * 3), importance=np.ones(2))
