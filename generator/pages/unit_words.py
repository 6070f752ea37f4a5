"""What a unit is, in sentences made from measured facts alone."""

from __future__ import annotations

from collections import Counter

from generator.network.graph import Layer
from generator.pages import wording
from generator.records import DatasetImage, Responses, Tuning, UnitExemplars

#: From this selectivity (0-1) on, a preference is worth a sentence.
SELECTIVE = 0.5
HUES = ("red", "orange", "yellow", "green", "green", "green", "cyan", "blue", "blue", "violet", "magenta", "pink")


def hue_name(degrees: float) -> str:
    """The nearest of twelve hues of HSV, 30 degrees each; greens and blues go by one name."""
    return HUES[round(degrees / 30) % 12]


def class_sentence(name: str) -> str:
    return f"The network’s score for “{name}”."


def sight(layer: Layer) -> str:
    if layer.receptive_field.whole or not layer.spatial:
        return "It sees the whole image."
    field = wording.size(layer.receptive_field.size)
    return f"Each of its {wording.size(layer.spatial)} positions sees {field} pixels of the image."


def shared_label(exemplars: UnitExemplars, images: dict[int, DatasetImage]) -> str:
    """The label of at least half, and at least three, of the images that excite the unit most; else empty."""
    labels = [images[e.image].label for e in exemplars.highest]
    counted = Counter(label for label in labels if label).most_common(1)
    if not counted or counted[0][1] < max(3, len(labels) / 2):
        return ""
    label, count = counted[0]
    many = f"All {count}" if count == len(labels) else f"{count} of the {len(labels)}"
    return f"{many} images that excite it most are labelled “{label}”."


def answers(responses: Responses, layer: Layer, unit: int) -> str:
    """How often the unit is above zero."""
    share, many = responses.active[unit], f"{responses.num_images:,} images"
    if not share:
        return f"It answers to none of {many}."
    percent = "less than 0.1 %" if share < 0.001 else f"{100 * share:.2g} %"
    return f"It answers at {percent} of all positions of {many}." if layer.spatial else f"It answers to {percent} of {many}."


def preference(tuning: Tuning, unit: int) -> str:
    """What simple stimuli it prefers clearly; else empty."""
    orientation, angle = tuning.orientation[unit], tuning.angle_deg[unit]
    colour, hue = (values[unit] if values else None for values in (tuning.colour, tuning.hue_deg))
    likes = []
    if orientation is not None and angle is not None and orientation >= SELECTIVE:
        likes.append(f"stripes at {angle:.0f}°")
    if colour is not None and hue is not None and colour >= SELECTIVE:
        likes.append(hue_name(hue))
    return f"Of simple patterns it prefers {' and '.join(likes)}." if likes else ""


def best_image(titles: list[str], maxima: list[float | None]) -> str:
    """Which of the gallery's images it answers to most, for units that no dataset was shown to."""
    known = [(value, -place) for place, value in enumerate(maxima) if value is not None]
    if not known or len(titles) < 2:
        return ""
    value, place = max(known)
    if value <= 0:
        return f"It answers to none of the {len(titles)} images below."
    return f"Of the {len(titles)} images below it answers most to {titles[-place]}."
