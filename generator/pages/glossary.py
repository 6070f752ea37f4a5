"""The glossary: what the words on the pages mean, and the link that a word is written with."""

from __future__ import annotations

from markupsafe import Markup

from generator.pages import urls
from generator.pages.content import Frame, Page
from generator.pages.gallery import Gallery
from generator.records import Record


class Entry(Record):
    """A word. see: other entries, by name."""

    name: str
    text: str
    see: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        return self.name.replace(" ", "-")


class Topic(Record):
    title: str
    entries: tuple[Entry, ...]


class GlossaryView(Record):
    frame: Frame
    topics: tuple[Topic, ...]


def _topic(title: str, *entries: tuple[str, str, tuple[str, ...]]) -> Topic:
    return Topic(title=title, entries=tuple(Entry(name=name, text=text, see=see) for name, text, see in entries))


TOPICS = (
    _topic(
        "What a network is made of",
        (
            "layer",
            "One stage of the network: it takes in maps and gives out new ones. A deep network is many layers in a row.",
            ("unit", "feature map"),
        ),
        (
            "unit",
            "One channel of a layer, or the score of one class. It looks for one pattern, the same everywhere in the image.",
            ("channel", "filter", "feature map"),
        ),
        (
            "channel",
            "One of the maps that lie on top of each other in an image or in a layer’s output. A colour photograph has three, "
            "red, green and blue; a layer has one for each of its units.",
            ("unit",),
        ),
        (
            "weight",
            "A number that training has set; a network is nothing but a recipe and its weights. It says how much one input "
            "counts for a unit, and whether for or against.",
            ("filter", "parameter"),
        ),
        (
            "parameter",
            "Any number that belongs to a network and not to the image: weights, offsets, and what normalisation has learnt. "
            "Their count is the usual measure of a network’s size.",
            ("weight",),
        ),
        (
            "filter",
            "All weights of one unit: a small template that slides over the maps before it. Where they look like the template, "
            "the unit answers.",
            ("kernel", "convolution"),
        ),
        (
            "kernel",
            "The weights of a filter, or of a whole layer, as a block of numbers: height, width, inputs, units. “3 × 3” tells "
            "its height and width.",
            ("filter",),
        ),
        (
            "convolution",
            "A layer whose units slide their filters over all maps before them. It finds a pattern wherever it is.",
            ("filter", "depthwise convolution", "stride"),
        ),
        (
            "depthwise convolution",
            "A convolution in which each unit reads a single channel. It is cheap, and mixes nothing: a layer after it has to.",
            ("convolution", "channel"),
        ),
        (
            "fully connected",
            "A layer whose units read all numbers before them at once, without sliding. The last layer mostly is one: "
            "each of its units is the score of a class.",
            ("unit", "score"),
        ),
        (
            "pooling",
            "A layer that sums up each small window of a map by its largest value or by the mean; a global one takes the whole "
            "map. The map shrinks, and where exactly something was is forgotten.",
            ("stride", "feature map"),
        ),
        (
            "residual add",
            "The sum of a layer’s output and its input, which has gone around it. So a layer need only learn what to change, "
            "and very deep networks can be trained.",
            ("layer",),
        ),
        (
            "gate",
            "A layer that multiplies each channel by a number between 0 and 1 computed from all of them. So the network turns "
            "channels up or down, depending on the image.",
            ("channel",),
        ),
        (
            "normalisation",
            "A step that brings each channel’s values to a usual range. Once a network is trained it is one factor and one "
            "offset a channel, and is here counted with the weights.",
            ("weight",),
        ),
        (
            "activation function",
            "What is done to each value behind a filter; most often values below zero become zero (ReLU, a rectifier). Without "
            "it, any number of layers could say no more than a single one.",
            ("activation",),
        ),
        (
            "stride",
            "By how many positions a filter moves at a time. With a stride of 2, the map has half as many positions a side.",
            ("receptive field",),
        ),
        (
            "receptive field",
            "The part of the image that one position of a map depends on. It grows from layer to layer, by kernel sizes and "
            "strides alone.",
            ("stride", "feature map"),
        ),
    ),
    _topic(
        "What it makes of an image",
        (
            "probe",
            "An image that this gallery sends through a network to see what happens. It may be a photograph, or a pattern made "
            "for the purpose.",
            ("feature map",),
        ),
        (
            "preprocessing",
            "How a photograph becomes the numbers a network was trained with: its size, its channels, its range. A wrong range "
            "is the most common reason for wrong answers.",
            ("probe",),
        ),
        (
            "activation",
            "The number a unit gives at one place of one image, after the activation function. Large means that the unit has "
            "found what it looks for.",
            ("feature map", "activation function"),
        ),
        (
            "feature map",
            "A unit’s activations at all positions of one image, drawn as a picture. Bright is where the unit answers.",
            ("activation", "unit"),
        ),
        (
            "score",
            "What the last layer gives for each class; the class with the largest one is the network’s answer. Softmax turns "
            "scores into shares that add up to 100 %, which are not chances of being right.",
            ("fully connected",),
        ),
    ),
    _topic(
        "What a unit looks for",
        (
            "feature visualisation",
            "An image made, step by step, to excite one unit as much as possible. It shows what is enough for the unit, not "
            "all that it answers to.",
            ("exemplar", "gradient"),
        ),
        (
            "gradient",
            "For each number that goes in, how much the answer would change if that number grew a little. Training follows it "
            "to better weights; a feature visualisation follows it to a better image.",
            ("feature visualisation",),
        ),
        (
            "exemplar",
            "An image of a dataset that excites a unit most, often cut to the part that the unit saw. It is real, where a "
            "feature visualisation is made; but a dataset can only show what is in it.",
            ("feature visualisation",),
        ),
        (
            "selectivity",
            "How much a unit prefers one thing to all others, from 0, all alike, to 1, that one alone. Pages give it for "
            "classes, orientations and hues.",
            ("unit",),
        ),
    ),
    _topic(
        "What is wrong with units",
        (
            "dead unit",
            "A unit that says the same whatever the image: never above zero, at its bound, constant, or without weights. It is "
            "told from the images that were tried; others might wake it.",
            ("redundant", "ablation"),
        ),
        (
            "redundant",
            "Of a unit: it says what another unit of its layer says already. That does not make it useless, as the next layer "
            "may count on both.",
            ("correlation", "ablation"),
        ),
        (
            "correlation",
            "How much two units rise and fall together, from −1 to 1. At 1 one can be computed from the other; at 0 neither "
            "tells anything about the other by a straight line.",
            ("redundant",),
        ),
        (
            "effective rank",
            "How many directions the answers of a layer really use, at most one a unit. Far fewer than units means that many "
            "of them say much the same.",
            ("correlation", "redundant"),
        ),
        (
            "ablation",
            "Setting some units to zero to see what the network then does. It is how a claim that units could go is tried.",
            ("dead unit", "redundant"),
        ),
    ),
    _topic(
        "How classes differ",
        (
            "confusion matrix",
            "A table of what images are and what they are named. Numbers off its diagonal are mistakes.",
            ("recall",),
        ),
        (
            "recall",
            "The share of a class’s images that are named rightly. Precision is its counterpart: the share of the images given "
            "that name that deserve it.",
            ("confusion matrix",),
        ),
        (
            "effect size",
            "How far apart a unit’s mean answers to two classes are, in standard deviations within a class. Bell-shaped "
            "answers overlap wholly at 0 and by about a third at 2.",
            ("confidence interval", "p value"),
        ),
        (
            "confidence interval",
            "The range in which the true number plausibly lies, since only some images were tried. Of 95 % intervals, 95 in a "
            "hundred hold it.",
            ("effect size",),
        ),
        (
            "p value",
            "How often chance alone would make a difference at least as large as the one that was seen. Small ones say that "
            "there is a difference, not that it is large.",
            ("effect size",),
        ),
    ),
)

ENTRIES = {entry.name: entry for topic in TOPICS for entry in topic.entries}


def term(name: str, root: str, text: str = "") -> Markup:
    """The Jinja filter that writes a word as a link to its entry: `{{ "unit"|term(root, "units") }}`.

    root: the way from the page to the site's root. text: shown in place of the name. Raises KeyError for a word that the
    glossary lacks.
    """
    entry = ENTRIES[name]
    return Markup('<a class="term" href="{}">{}</a>').format(f"{root}{urls.GLOSSARY}#{entry.anchor}", text or name)


def glossary_page(gallery: Gallery) -> Page:
    view = GlossaryView(
        frame=gallery.frame(
            urls.GLOSSARY,
            "Glossary",
            "What the words in this gallery mean, in two sentences each.",
            stylesheets=("site.css", "pages.css", "walkthrough.css"),
        ),
        topics=TOPICS,
    )
    return Page(path=urls.GLOSSARY, template="glossary.html.jinja", view=view)
