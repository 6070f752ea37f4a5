"""The architectures that come without weights: somebody brings a checkpoint of torchvision, of timm or of their own training.

All take photographs to the 1,000 classes of ImageNet, or to as many as the checkpoint's last layer has. No JAX, no Flax.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from generator.errors import Problem, WeightsError
from generator.records import Preprocessing
from generator.zoo import checkpoint_names
from generator.zoo.contract import ZooEntry, beside, untrained
from generator.zoo.imagenet import imagenet_labels
from generator.zoo.stages import LITE, V3_VARIANTS

_GUESS = "pixels normalised as in torchvision's training of {}, as the file does not say"
_LITE_GUESS = "pixels and padding as in TensorFlow's {} (timm's tf_ models), as the file does not say"


def _preprocessing(size_px: int = 224, crop_fraction: float = 0.875, **others: Any) -> Preprocessing:
    """As torchvision evaluates its models, unless `others` says otherwise."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    settings = {"interpolation": "bilinear", "mean": mean, "std": std, **others}
    return Preprocessing(size_px=(size_px, size_px), crop_fraction=crop_fraction, **settings)


def _none_comes_along(name: str, published: str, repository: str) -> Callable[[], Path]:
    ways = [f"name a checkpoint with `weights:` ({published})"]
    ways += [f"or a repository with `hub:` (such as {repository})"] if repository else []

    def weights() -> Path:
        raise WeightsError(Problem(name, "no weights come with this architecture", ", ".join(ways)))

    return weights


def _entry(
    name: str,
    title: str,
    description: str,
    *,
    paper: str,
    files: tuple[str, ...],
    build: Callable[..., Any],
    heads: tuple[str, ...],
    published: str,
    preprocessing: Preprocessing | None = None,
    guess: str = _GUESS,
    repository: str = "",
    **others: Any,
) -> ZooEntry:
    """files: of this room, that define the network. published: where weights are; repository: of such on the hub."""
    preprocessing = preprocessing or _preprocessing()
    return ZooEntry(
        name=name,
        title=title,
        description=description,
        input_shape=(*preprocessing.size_px, 3),
        preprocessing=preprocessing,
        labels=imagenet_labels,
        licence="not stated",
        provenance="brought along",
        weights=_none_comes_along(name, published, repository),
        build=build,
        code=beside(*files),
        paper=paper,
        heads=heads,
        guess=guess.format(title),
        **{"convert": checkpoint_names.converting(), **others},
    )


def _torchvision(file: str) -> str:
    return f"torchvision publishes {file}.pth"


def _alexnet() -> Iterator[ZooEntry]:
    yield _entry(
        "alexnet",
        "AlexNet",
        "The network that won ImageNet's competition in 2012, in its one-column form: five convolutions, the first with kernels"
        " of 11 x 11 pixels, and three linear layers.",
        paper="Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks;"
        " after Krizhevsky, Sutskever and Hinton 2012",
        files=("alexnet.py", "layers.py"),
        build=untrained("alexnet", "AlexNet"),
        heads=("classifier.6",),
        published=_torchvision("alexnet-owt-7be5be79"),
    )


def _vgg() -> Iterator[ZooEntry]:
    files = {
        11: ("vgg11-8a719046", "vgg11_bn-6002323d"),
        13: ("vgg13-19584684", "vgg13_bn-abd245e5"),
        16: ("vgg16-397923af", "vgg16_bn-6c64b313"),
        19: ("vgg19-dcbb9e9d", "vgg19_bn-c79401a0"),
    }
    for depth, variants in files.items():
        for norm, published in zip((False, True), variants, strict=True):
            name = f"vgg{depth}_bn" if norm else f"vgg{depth}"
            yield _entry(
                name,
                f"VGG-{depth} with batch normalisation" if norm else f"VGG-{depth}",
                f"{depth - 3} convolutions of 3 x 3 pixels one after the other, with five pools, and three linear layers that"
                " hold most of the parameters.",
                paper="Simonyan and Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition",
                files=("vgg.py", "layers.py"),
                build=untrained("vgg", "Vgg", depth, norm=norm),
                heads=("classifier.6", "head.fc"),
                published=_torchvision(published),
                repository=f"timm/{name}.tv_in1k",
                convert=checkpoint_names.vgg(),
                timm_names=(name,),
            )


def _resnet() -> Iterator[ZooEntry]:
    files = {18: "f37072fd", 34: "b627a593", 50: "0676ba61", 101: "63fe2227", 152: "394f9c45"}
    for depth, digest in files.items():
        blocks = "bottlenecks of 1 x 1, 3 x 3 and 1 x 1 convolutions" if depth >= 50 else "pairs of 3 x 3 convolutions"
        yield _entry(
            f"resnet{depth}",
            f"ResNet-{depth}",
            f"A residual network: {blocks}, each added to what came into it, which made such depth trainable.",
            paper="He, Zhang, Ren and Sun 2016, Deep Residual Learning for Image Recognition",
            files=("resnet.py", "layers.py"),
            build=untrained("resnet", "ResNet", depth),
            heads=("fc",),
            published=_torchvision(f"resnet{depth}-{digest}"),
            repository=f"timm/resnet{depth}.tv_in1k",
            timm_names=(f"resnet{depth}",),
        )


def _squeezenet() -> Iterator[ZooEntry]:
    for version, published in (("1.0", "squeezenet1_0-b66bff10"), ("1.1", "squeezenet1_1-b8a52dc0")):
        yield _entry(
            published.partition("-")[0],
            f"SqueezeNet {version}",
            "AlexNet's accuracy with a fiftieth of its parameters: eight fire modules, each of which squeezes its input to few"
            " features and widens it again with 1 x 1 and 3 x 3 filters.",
            paper="Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer 2016,"
            " SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
            files=("squeezenet.py", "layers.py"),
            build=untrained("squeezenet", "SqueezeNet", version),
            heads=("classifier.1",),
            published=_torchvision(published),
        )


def _googlenet() -> Iterator[ZooEntry]:
    # torchvision normalises pixels for ImageNet, and then its pretrained network changes them to this (`transform_input`).
    half = (0.5, 0.5, 0.5)
    yield _entry(
        "googlenet",
        "GoogLeNet",
        "Inception v1: nine modules in which 1 x 1, 3 x 3 and pooled branches look at the same map side by side, as torchvision"
        " has it; the network that feature visualisation was studied on most.",
        paper="Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke and Rabinovich 2015,"
        " Going Deeper with Convolutions",
        files=("googlenet.py", "layers.py"),
        build=untrained("googlenet", "GoogLeNet"),
        heads=("fc",),
        published=_torchvision("googlenet-1378be20"),
        preprocessing=_preprocessing(mean=half, std=half),
        guess="pixels from -1 to 1, as torchvision's pretrained {} takes them after its `transform_input`",
        convert=checkpoint_names.converting(unused=("aux1", "aux2")),
    )


def _densenet() -> Iterator[ZooEntry]:
    yield _entry(
        "densenet121",
        "DenseNet-121",
        "Four blocks in which every layer sees what all layers before it have computed, so that each needs to add only 32"
        " features.",
        paper="Huang, Liu, van der Maaten and Weinberger 2017, Densely Connected Convolutional Networks",
        files=("densenet.py", "layers.py"),
        build=untrained("densenet", "DenseNet121"),
        heads=("classifier",),
        published=_torchvision("densenet121-a639ec97"),
        repository="timm/densenet121.tv_in1k",
        convert=checkpoint_names.densenet(),
        timm_names=("densenet121",),
    )


def _mobilenets() -> Iterator[ZooEntry]:
    yield _entry(
        "mobilenet_v2",
        "MobileNetV2",
        "Made for telephones: inverted residuals, which widen a narrow map, filter each channel by itself and narrow it again.",
        paper="Sandler, Howard, Zhu, Zhmoginov and Chen 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        files=("mobilenet_v2.py", "layers.py", "stages.py"),
        build=untrained("mobilenet_v2", "MobileNetV2"),
        heads=("classifier.1", "classifier"),
        published=_torchvision("mobilenet_v2-b0353104"),
        repository="timm/mobilenetv2_100.ra_in1k",
        convert=checkpoint_names.mobilenet_v2(),
        timm_names=("mobilenetv2_100",),
    )
    for variant, digest, trained in (("large", "8738ca79", "ra_in1k"), ("small", "047dcff4", "lamb_in1k")):
        name = f"mobilenet_v3_{variant}"
        yield _entry(
            name,
            f"MobileNetV3 {variant}",
            "MobileNetV2's inverted residuals with squeeze-and-excitation and hard swish, the blocks chosen by a search for"
            " what is fast on telephones.",
            paper="Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le and Adam 2019,"
            " Searching for MobileNetV3",
            files=("mobilenet_v3.py", "layers.py", "stages.py"),
            build=untrained("mobilenet_v3", "MobileNetV3", variant),
            heads=("classifier.3", "classifier"),
            published=_torchvision(f"{name}-{digest}"),
            repository=f"timm/mobilenetv3_{variant}_100.{trained}",
            convert=checkpoint_names.mobilenet_v3(V3_VARIANTS[variant]),
            timm_names=(f"mobilenetv3_{variant}_100",),
            arguments=_timm_epsilon,
        )


def _timm_epsilon(names: Collection[str]) -> dict[str, Any]:
    """timm's MobileNetV3s have another epsilon in their norms than torchvision's."""
    return {"norm_epsilon": 1e-5} if "conv_stem.weight" in names else {}


def _efficientnet_lite() -> Iterator[ZooEntry]:
    variants = {
        1: (240, 0.882, "bde8b488"),
        2: (260, 0.89, "dcccb7df"),
        3: (300, 0.904, "b733e338"),
        4: (380, 0.92, "741542c3"),
    }
    for number, (size_px, crop_fraction, digest) in variants.items():
        half, (_, repeats) = (0.5, 0.5, 0.5), LITE[number]
        yield _entry(
            f"efficientnet_lite{number}",
            f"EfficientNet-Lite{number}",
            "EfficientNet-Lite0 with more blocks, wider ones from Lite2 on, for larger images: no squeeze-and-excitation, and"
            " ReLU6 throughout.",
            paper="Tan and Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
            files=("efficientnet_lite.py", "efficientnet_lite0.py", "stages.py"),
            build=untrained("efficientnet_lite", "EfficientNetLite", number),
            heads=("classifier", "_fc"),
            published=f"timm publishes tf_efficientnet_lite{number}-{digest}.pth",
            preprocessing=_preprocessing(size_px, crop_fraction, interpolation="bicubic", mean=half, std=half),
            guess=_LITE_GUESS,
            repository=f"timm/tf_efficientnet_lite{number}.in1k",
            convert=checkpoint_names.efficientnet_lite(repeats),
            timm_names=(f"tf_efficientnet_lite{number}",),
        )


BROUGHT: tuple[ZooEntry, ...] = (
    *_alexnet(),
    *_vgg(),
    *_resnet(),
    *_squeezenet(),
    *_googlenet(),
    *_densenet(),
    *_mobilenets(),
    *_efficientnet_lite(),
)
