"""Numbers and technical facts in words."""

from __future__ import annotations

from math import isclose

from generator.network.graph import Layer, ReceptiveField
from generator.records import Preprocessing

KINDS = {
    "conv": "convolution",
    "depthwise_conv": "depthwise convolution",
    "dense": "fully connected",
    "max_pool": "max pooling",
    "avg_pool": "average pooling",
    "mean": "global mean",
    "add": "addition",
    "concat": "concatenation",
    "gate": "gate",
    "conv_transpose": "transposed convolution",
    "channel_mean": "mean over channels",
    "channel_max": "maximum over channels",
    "filtering": "fixed filter",
    "resize": "resizing",
    "reverse": "mirroring",
    "shuffle": "channel shuffle",
    "slice": "slice of channels",
}

EXPLANATIONS = {
    "conv": "Every unit slides its own filter over the maps before it and answers wherever its pattern occurs.",
    "depthwise_conv": "Every unit looks at one channel only: it blurs, sharpens or finds edges, without mixing channels.",
    "dense": "Every unit weighs all of its inputs at once. In the last layer, each unit is the score of one class.",
    "max_pool": "Keeps the strongest answer of each small window, so that patterns may shift a little and still be found.",
    "avg_pool": "Averages each small window of a map.",
    "mean": "Averages every map into one number: how much of each pattern there is, no matter where.",
    "add": "Adds the maps of two paths. A shortcut like this lets later layers refine earlier ones instead of replacing them.",
    "concat": "Puts the channels of several paths side by side.",
    "gate": "Multiplies maps with learned weights, which lets the network turn channels up or down.",
    "conv_transpose": "Every unit lays its filter down wherever an input answers, which makes maps larger.",
    "channel_mean": "Averages all channels at each position.",
    "channel_max": "Takes the strongest channel at each position.",
    "filtering": "A convolution whose filter is fixed, not learned.",
    "resize": "Makes maps larger or smaller without learned weights.",
    "reverse": "Turns maps round.",
    "shuffle": "Changes the order of channels, so that groups of channels meet in the next layer.",
    "slice": "Some of the channels of the layer before.",
}
POINTWISE = "Every unit is a weighted mixture of the channels before it, taken at the same position of the map."

CHANNELS = {"rgb": "red, green, blue", "bgr": "blue, green, red", "grey": "one grey channel (ITU-R 601 luma)"}
RESIZES = {
    "crop": "shorter side resized, centre cut out",
    "squash": "resized without keeping the aspect ratio",
    "pad": "fitted whole, the rest padded",
}


def number(value: float | None) -> str:
    """Three significant digits, `none` for a number that does not exist."""
    if value is None:
        return "none"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
        return text.replace("-", "\N{MINUS SIGN}")
    return f"{value:.2e}".replace("-", "\N{MINUS SIGN}")


def amount(count: int) -> str:
    """A count as people say it: 640, 4.65 million."""
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return f"{count:,}"


def size(shape: tuple[int, ...]) -> str:
    """`(56, 56, 24)` as 56 × 56 × 24."""
    return " × ".join(f"{n:,}" for n in shape) or "one number"


def plural(count: int, word: str) -> str:
    if count == 1:
        return f"1 {word}"
    return f"{count:,} {word}es" if word.endswith("s") else f"{count:,} {word}s"


def kind(layer: Layer) -> str:
    """A layer's kind in words; with the kernel's size where it has one."""
    words = KINDS.get(layer.kind, layer.kind.replace("_", " "))
    if layer.kernel_shape and len(layer.kernel_shape) == 4:
        return f"{layer.kernel_shape[0]} × {layer.kernel_shape[1]} {words}"
    return words


def explanation(layer: Layer) -> str:
    if layer.kind == "conv" and layer.kernel_shape and layer.kernel_shape[:2] == (1, 1):
        return POINTWISE
    return EXPLANATIONS.get(layer.kind, "")


def receptive_field(field: ReceptiveField) -> str:
    """What one position sees, in input pixels."""
    if field.whole:
        return "the whole image"
    return f"{size(field.size)} pixels, in steps of {number(field.stride[0])}"


def preprocessing(steps: Preprocessing) -> tuple[str, ...]:
    """How an image's pixels become the network's input, a line a step."""
    low, high = (number(x) for x in steps.range)
    height, width = steps.size_px
    cut = "" if isclose(steps.crop_fraction, 1) or steps.resize != "crop" else f", {steps.crop_fraction:.4g} of it kept"
    lines = [
        f"Channels: {CHANNELS[steps.channels]}",
        f"Size: {height} × {width} pixels, {steps.interpolation}; {RESIZES[steps.resize]}{cut}",
        "Pixels kept at 0 … 255" if steps.range == (0, 255) else f"Pixels 0 … 255 scaled to {low} … {high}",
    ]
    if set(steps.mean) != {0.0} or set(steps.std) != {1.0}:
        mean, std = (", ".join(number(x) for x in xs) for xs in (steps.mean, steps.std))
        lines.append(f"Then minus {mean}, divided by {std}")
    return tuple(lines)
