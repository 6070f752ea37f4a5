"""A plain model has no quirks; each kind is told where exactly it was planted, with the numbers that were planted."""

import pytest

from generator.records import (
    Classes,
    ClassFindings,
    ClassUnit,
    Cluster,
    Exemplar,
    Exemplars,
    Health,
    LayerHealth,
    Measured,
    Opposite,
    Prediction,
    Predictions,
    Removal,
    Tuning,
    Twin,
    UnitExemplars,
)
from generator.views.quirks import LEAST, MOST, MOST_OF_A_KIND, quirks
from generator.views.surprise import SCALES, close, surprise

MEASURED = Measured(dataset="Things", num_images=200, num_labelled=200, positions=9)
LABELS = ("Cat", "Dog", "Owl", "Eel")
NAMES = ["conv1", "conv2", "conv3"]
SPACE = "\N{NO-BREAK SPACE}"


def layer(name="conv2", **changes):
    plain = {
        "layer": name,
        "num_units": 32,
        "faults": (),
        "clusters": (),
        "opposites": (),
        "rank": 20.0,
        "importance": (1 / 32,) * 32,
        "noise": (0.3,) * 32 if name == "conv1" else None,
        "noisy": (),
        "removable": (),
    }
    return LayerHealth(**{**plain, **changes})


def removal(**changes):
    plain = {
        "layer": "conv2",
        "kind": "weakest",
        "num_units": 8,
        "units": range(8),
        "num_images": 200,
        "before": 0.9,
        "accuracy": 0.7,
        "low": -0.26,
        "high": -0.14,
        "changed": 0.25,
        "shift": 0.3,
    }
    return Removal(**{**plain, **changes})


def health(*changed, removals=(), measured=MEASURED):
    layers = {name: layer(name) for name in NAMES} | {one.layer: one for one in changed}
    tried = [removal(), *removals]
    return Health(measured=measured, thresholds={"noisy": 0.8}, accuracy=0.9, layers=layers.values(), removals=tried)


def classes(own=(3, 2, 4, 3), best=0.55, confusion=((45, 2, 2, 1), (2, 45, 1, 2), (1, 2, 45, 2), (2, 1, 2, 45))):
    def one(index):
        unit = ClassUnit(layer="conv3", unit=7 + index, selectivity=best - index / 100, mean=3.1, others=0.9)
        return ClassFindings(
            index=index,
            name=LABELS[index],
            num_images=50,
            recall=0.9,
            low=0.8,
            high=0.95,
            precision=0.9,
            own=own[index],
            units=(unit,),
            hits=(),
            misses=(),
        )

    return Classes(
        measured=MEASURED,
        labels=LABELS,
        accuracy=0.9,
        low=0.85,
        high=0.93,
        confusion=confusion,
        own_from=0.5,
        significant_to=0.05,
        layer_selectivity={"conv3": 0.3},
        classes=map(one, range(4)),
        comparisons=(),
    )


def said(*names_and_scores, scores="probability"):
    top = tuple(Prediction(index=LABELS.index(name), label=name, score=score) for name, score in names_and_scores)
    return Predictions(scores=scores, top=top)


def tuned(orientation=(0.2, 0.6) * 16, colour=(0.01, 0.4) * 16):
    return Tuning(
        layer="conv1", orientation=orientation, angle_deg=[0] * 32, colour=colour, hue_deg=None if colour is None else [0] * 32
    )


def exemplars(images_by_unit, num_images=200):
    units = [
        UnitExemplars(
            unit=unit,
            first=0,
            highest=[Exemplar(image=image, value=1, position=None, box=(0, 0, 1, 1)) for image in images],
            lowest=(),
            spread=(),
        )
        for unit, images in enumerate(images_by_unit)
    ]
    return Exemplars(layer="conv3", dataset="d", num_images=num_images, quantiles=(), look="plain", units=units, sheets=[])


def told(**planted):
    """The quirks of a plain model but for what is planted."""
    given = {
        "health": health(),
        "classes": classes(),
        "predictions": {"tom": said(("Cat", 0.9), ("Dog", 0.1)), "thing": said(("Owl", 0.99))},
        "probe_labels": {"tom": "cat", "thing": None},
        "tuning": {"conv1": tuned()},
        "exemplars": {"conv3": exemplars([range(unit, unit + 9) for unit in range(0, 180, 9)])},
        "layer_names": NAMES,
    }
    return quirks(**{**given, **planted})


def only(kind, **planted):
    found = told(**planted)
    assert [one.kind for one in found] == [kind]
    assert LEAST <= found[0].surprise <= 1
    assert "!" not in found[0].text
    return found[0]


def test_a_plain_model_has_none():
    assert told() == ()
    assert quirks(None, None, {}, {}, {}, None, []) == ()


def test_removable_units():
    found = only("removable", health=health(layer(removable=range(8))))
    assert found.layer == "conv2"
    assert found.text.startswith(f"Of the 32 units of conv2, 8 (25{SPACE}%) say nothing of their own")
    assert found.text.endswith("on 200 images of Things.")
    assert found.surprise == 0.5
    dead = removal(kind="dead", num_units=1, accuracy=0.9, low=-0.0096, high=0.0096)
    redundant = removal(kind="redundant", num_units=7, accuracy=0.895, low=-0.0149, high=-0.0001)
    unknown = removal(kind="dead", before=None, accuracy=None, low=None, high=None)
    tried = [dead, redundant, unknown, removal(kind="dead", layer="conv1")]
    found = only("removable", health=health(layer(removable=range(8)), removals=tried))
    assert found.text.count("set to zero") == 2
    assert f"With 1 dead unit set to zero, accuracy went from 90{SPACE}% to 90{SPACE}% on 200 images" in found.text
    assert f"With 7 redundant units set to zero, accuracy went from 90{SPACE}% to 89.5{SPACE}% on 200 images" in found.text
    assert "-1.0 to +1.0 points" in found.text
    assert "-1.5 to +0.0 points" in found.text
    assert told(health=health(layer(removable=range(3)))) == ()


def test_a_layer_that_can_do_without_its_weakest_half():
    half = removal(num_units=16, accuracy=0.9, low=-0.0138, high=0.0138)
    found = only("spare", health=health(removals=[half, removal(num_units=12, accuracy=0.9, low=-0.01, high=0.01)]))
    assert found.text.startswith("conv2 can do without 16 of its 32 units, the least important ones, at no measurable loss")
    assert "-1.4 to +1.4 points" in found.text
    assert (found.layer, found.surprise) == ("conv2", pytest.approx(1 / 3, abs=1e-6))


@pytest.mark.parametrize(
    "changes",
    [
        {"low": -0.05, "high": 0.05},  # too wide to tell
        {"low": -0.015, "high": -0.005},  # a small loss, yet a sure one
        {"before": None, "accuracy": None, "low": None, "high": None},
        {"layer": None},
        {"kind": "dead"},
        {"num_units": 8},
    ],
)
def test_what_is_no_spare_half(changes):
    half = {"num_units": 16, "accuracy": 0.9, "low": -0.01, "high": 0.01, **changes}
    assert told(health=health(removals=[removal(**half)])) == ()


def test_the_most_alike_units():
    cluster = Cluster(
        kept=9, others=(Twin(unit=4, correlation=0.985, kernel=0.31), Twin(unit=6, correlation=0.98, kernel=None))
    )
    found = only("alike", health=health(layer(clusters=(cluster,))))
    assert found.text == (
        "Units 4 and 9 of conv2 say nearly the same: their activations correlate at 0.985 on 200 images of Things and the"
        " cosine between their kernels is 0.310."
    )
    assert (found.layer, found.unit) == ("conv2", 4)
    silent = Cluster(kept=1, others=(Twin(unit=2, correlation=None, kernel=0.99996),))
    found = only("alike", health=health(layer(clusters=(silent,))))
    assert found.text == "Units 1 and 2 of conv2 have nearly the same kernel: the cosine between their kernels is 0.99996."


def test_opposite_kernels():
    pairs = (Opposite(first=1, second=2, kernel=-0.991), Opposite(first=3, second=8, kernel=-0.997))
    found = only("opposite", health=health(layer(opposites=pairs)))
    assert found.text == "The kernels of units 3 and 8 of conv2 are nearly the same but for the sign: their cosine is -0.997."
    assert (found.layer, found.unit) == ("conv2", 3)


def test_a_small_rank():
    found = only("narrow", health=health(layer(rank=3.24)))
    assert "The 32 units of conv2 vary together as if there were only 3.2 of them" in found.text
    assert told(health=health(layer(rank=None))) == ()
    few = MEASURED.model_copy(update={"num_images": 50})
    assert told(health=health(layer(rank=3.24), measured=few)) == ()
    assert told(health=health(layer(rank=1.0, num_units=6))) == ()


def test_rough_filters():
    found = only("rough", health=health(layer("conv1", noisy=range(5, 23))))
    assert found.text.startswith("18 of the 32 filters of conv1, which sees the image itself, are mostly fine grain")
    assert f"more than 80{SPACE}% lies above half the highest frequency." in found.text
    assert (found.layer, found.unit) == ("conv1", 5)
    one = only("rough", health=health(layer("conv1", num_units=2, noisy=(1,))))
    assert one.text.startswith("1 of the 2 filters of conv1, which sees the image itself, is mostly")


def test_a_colour_blind_layer():
    found = only("colour-blind", tuning={"conv1": tuned(colour=[0.01] * 19 + [0.3] + [None] * 12)})
    assert "conv1 hardly notices hue: of the 20 units that answer to patches of colour, 19 are barely selective" in found.text
    assert told(tuning={"conv1": tuned(colour=None)}) == ()
    assert told(tuning={"conv1": tuned(colour=[0.01] * 7 + [None] * 25)}) == ()


def test_a_layer_about_orientation():
    found = only("oriented", tuning={"conv1": tuned(orientation=[0.9] * 18 + [0.1] * 2 + [None] * 12)})
    assert "conv1 is about orientation: of the 20 units that answer to stripes, 18 clearly prefer one direction" in found.text
    assert found.layer == "conv1"


def test_an_image_that_most_units_like():
    liked = [[unit, 77, 77] if unit < 12 else [unit] for unit in range(20)]
    found = only("favourite", exemplars={"conv3": exemplars(liked)})
    assert "One image of 200, number 77, is among the 3 that excite a unit most for 12 of the 20 units of conv3" in found.text
    # Of eight images, each is among the best three of many units.
    assert told(exemplars={"conv3": exemplars(liked, num_images=8)}) == ()
    assert told(exemplars={"conv3": exemplars([[5, 6, 7]] * 7)}) == ()


def test_the_most_selective_unit():
    found = only("selective", classes=classes(best=0.81))
    assert found.text == (
        "Unit 7 of conv3 is the most selective before the outputs: it answers to Cat with 3.1 on average and to the other"
        " classes with 0.9 (selectivity 0.81 of 1, on 200 images of Things)."
    )
    assert (found.layer, found.unit, found.first) == ("conv3", 7, 0)


def test_the_only_class_without_a_unit():
    found = only("without-unit", classes=classes(own=(6, 4, 0, 3)))
    assert found.text.startswith("Owl is the only class without a unit of its own")
    assert found.text.endswith("above 0.5, while half of the other classes have at least 4.")
    assert found.first == 2
    assert told(classes=classes(own=(6, 0, 0, 3))) == ()
    assert told(classes=classes(own=(1, 1, 0, 1))) == ()


def test_two_classes_that_are_confused():
    confusion = ((38, 11, 1, 0), (9, 41, 0, 0), (1, 0, 49, 0), (0, 0, 1, 49))
    found = only("confused", classes=classes(confusion=confusion))
    assert found.text == (
        f"Cat and Dog are mistaken for each other more than others: 20 of all 23 mistakes (87{SPACE}%) on 200 images of Things,"
        " where each of 6 pairs would have 3.8 if all had as many."
    )
    assert (found.first, found.second) == (0, 1)
    assert told(classes=classes(confusion=((47, 3, 0, 0), (2, 48, 0, 0), (0, 0, 50, 0), (0, 0, 0, 50)))) == ()


def test_a_probe_that_is_misnamed():
    found = only("misnamed", predictions={"tom": said(("Dog", 0.875), ("Cat", 0.1))}, probe_labels={"tom": "Cat"})
    assert found.text == f"The probe tom is labelled Cat, but the network names it Dog with a probability of 87.5{SPACE}%."
    assert (found.probe, found.surprise) == ("tom", 0.875)
    found = only("misnamed", predictions={"tom": said(("Dog", 17), scores="output")}, probe_labels={"tom": "Cat"})
    assert found.text == "The probe tom is labelled Cat, but the network names it Dog."


@pytest.mark.parametrize("label", ["dog", " DOG ", None, "", "Steam engine"])
def test_a_probe_that_is_named_rightly_or_whose_label_is_no_class(label):
    assert told(predictions={"tom": said(("Dog", 0.9))}, probe_labels={"tom": label}) == ()


def test_an_unsure_wrong_name_is_not_told():
    assert told(predictions={"tom": said(("Dog", 0.2))}, probe_labels={"tom": "Cat"}) == ()


def test_labels_are_known_from_predictions_too():
    heard = {"tom": said(("Dog", 0.9), ("Cat", 0.1))}
    assert [one.kind for one in told(classes=None, predictions=heard, probe_labels={"tom": "Cat"})] == ["misnamed"]
    assert told(classes=None, predictions=heard, probe_labels={"tom": "Owl"}) == ()


def test_the_most_surprising_come_first_and_few_of_a_kind():
    odd = [
        layer(
            name,
            removable=range(8 + 4 * place),
            rank=1.0 + place,
            opposites=[Opposite(first=0, second=1, kernel=-0.99 - place / 1000)],
            clusters=[Cluster(kept=2, others=(Twin(unit=3, correlation=0.99, kernel=None),))],
        )
        for place, name in enumerate(NAMES)
    ]
    found = told(health=health(*odd), classes=classes(best=0.9))
    assert len(found) == MOST
    assert [one.surprise for one in found] == sorted((one.surprise for one in found), reverse=True)
    kinds = [one.kind for one in found]
    assert max(map(kinds.count, kinds)) == MOST_OF_A_KIND
    assert [one.layer for one in found if one.kind == "removable"] == ["conv3", "conv2"]
    # Equally surprising ones in the order of layers, of which only those given are told.
    assert [one.layer for one in found if one.kind == "alike"] == ["conv1", "conv2"]
    assert {one.layer for one in told(health=health(*odd), layer_names=["conv2"])} == {"conv2"}


def test_surprise_goes_from_what_is_usual_to_what_is_extreme():
    assert [surprise(value, usual=2, extreme=4) for value in (1, 2, 3, 4, 9)] == [0, 0, 0.5, 1, 1]
    assert [surprise(value, usual=0.2, extreme=0) for value in (0.3, 0.1, 0)] == [0, 0.5, 1]
    assert all(usual != extreme for usual, extreme in SCALES.values())


def test_numbers_near_one_keep_their_nines():
    assert [close(number) for number in (0.98, 0.99954, 0.999996, -0.99987, 1.0, -1.0)] == [
        "0.980",
        "0.99954",
        "0.999996",
        "-0.99987",
        "1.000",
        "-1.000",
    ]
