"""What a traced network looks like: layers, their connections, and what part of the image each one sees.

Plain records without JAX, so that planning and pages can read a stored graph in milliseconds.
Axes are `(row, column)` everywhere; shapes leave out the batch axis.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from generator.records import Record

#: Kinds a person meets often; anything else carries the name of its JAX primitive.
KERNEL_KINDS = frozenset({"conv", "depthwise_conv", "conv_transpose", "dense"})
INPUT = "input"


class ReceptiveField(Record):
    """The part of the input image one unit's position depends on (Araujo, Norris, Sim 2019, Distill).

    Position `i` of the map sees input pixels `first[a] + i * stride[a] ... + size[a] - 1` along axis `a`; `first` may be
    negative where the field reaches into the padding. `whole` marks fields that cover the image wherever the position is
    (after a global mean, say); size is then the image's and stride 0.
    """

    size: tuple[int, int]
    stride: tuple[float, float]
    first: tuple[float, float]
    whole: bool = False

    def centre(self, position: tuple[int, int]) -> tuple[float, float]:
        """Input coordinates `(row, column)` of the centre of the field of `position`."""
        return tuple(f + p * s + (n - 1) / 2 for f, p, s, n in zip(self.first, position, self.stride, self.size, strict=True))


class ChannelSource(Record):
    """Where one input channel of a layer comes from: channel `channel` of the node `layer`."""

    layer: str
    channel: int


class Layer(Record):
    """One node of the graph.

    name: the pytree path of its kernel; else what the network's owner calls it, or its kind and a number. kind: conv,
    depthwise_conv, conv_transpose, dense, max_pool, avg_pool, mean, add, concat, gate, shuffle (channels or positions in
    another order), resize, filtering (a convolution with constants), or a JAX primitive's name. inputs: names of the nodes it
    reads, `input` for the image.
    shape: of its activation without the batch axis, `(h, w, c)` or `(c,)`. activation: the non-linearity's name if known.
    kernel_shape: `(kh, kw, cin // groups, cout)` or `(cin, cout)`. flops: of one image, a multiply-add counts two.
    flattened: the order in which a dense layer reads a whole map, `hwc` (rows, columns, channels) or `chw`; else None.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    activation: str | None = None
    num_params: int = 0
    flops: int = 0
    receptive_field: ReceptiveField
    kernel_shape: tuple[int, ...] | None = None
    strides: tuple[int, int] | None = None
    dilation: tuple[int, int] | None = None
    groups: int = 1
    flattened: Literal["hwc", "chw"] | None = None

    @property
    def num_units(self) -> int:
        return self.shape[-1] if self.shape else 1

    @property
    def spatial(self) -> tuple[int, int] | None:
        """Height and width of a feature map; None for a layer without positions."""
        return (self.shape[0], self.shape[1]) if len(self.shape) == 3 else None

    @property
    def has_kernel(self) -> bool:
        return self.kind in KERNEL_KINDS


class Graph(Record):
    """Layers in the order of execution."""

    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def consumers(self, name: str) -> tuple[str, ...]:
        """Names of the nodes that read `name`, in order of execution."""
        return tuple(layer.name for layer in self.layers if name in layer.inputs)

    def channel_source(self, layer: str, channel: int) -> ChannelSource:
        """Which unit feeds input channel `channel` (0 ... cin - 1 over all groups) of `layer`.

        Looks through concatenations to the node that computed the channel; a depthwise layer reads its own index.
        """
        name, index = self.by_name[layer].inputs[0], channel
        while name != INPUT and self.by_name[name].kind == "concat":
            for source in self.by_name[name].inputs:
                width = self.input_shape[-1] if source == INPUT else self.by_name[source].num_units
                if index < width:
                    name = source
                    break
                index -= width
            else:
                break
        return ChannelSource(layer=name, channel=index)


Value = Literal["activation", "pre_activation"]
