"""What makes a unit worth a look, from what a dataset did to it."""

from types import SimpleNamespace

import pytest

from generator.build.selection import worth
from generator.config.views import TopUnits
from generator.records import Responses


def responses(class_means):
    n = len(class_means)
    spread = [2.0, 0.5, 0.0, 1.0][:n]
    return Responses(
        layer="conv",
        dataset="d",
        num_images=9,
        mean=[1.0] * n,
        std=spread,
        minimum=[0.0] * n,
        maximum=[3.0] * n,
        active=[0.5] * n,
        edges=[0.0, 4.0],
        counts=[[9]] * n,
        class_means=class_means,
        selectivity=[0.0] * n,
    )


@pytest.mark.parametrize(
    ("label", "expected"),
    [("a", [(1 - 3) / 2, (4 - 2.5) / 0.5, 0, 0]), ("c", [(5 - 3) / 2, (1 - 2.5) / 0.5, 0, 0]), ("b", [0, 0, 0, 0])],
)
def test_a_class_is_compared_with_those_that_have_images(label, expected):
    plan = SimpleNamespace(
        dataset=SimpleNamespace(info=SimpleNamespace(labels=("a", "b", "c"))),
        config=SimpleNamespace(views=SimpleNamespace(exemplars=True)),
        index=0,
        loaded=SimpleNamespace(place=lambda *_: "place"),
    )
    means = [[1.0, None, 5.0], [4.0, None, 1.0], [1.0, None, 2.0], [None, None, None]]
    wanted = TopUnits(by="class", of=label, top=2)
    assert worth(plan, SimpleNamespace(name="conv"), wanted, [], {"conv": responses(means)}) == expected
