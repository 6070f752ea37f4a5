# %% [markdown]
# # How to visualise a CNN
#
# Nine steps into a trained convolutional neural network: what it is made of, what its filters look like, what it makes of a
# photograph, what its units look for, which of them are idle, and how it tells two classes apart. Each step is a few lines.
#
# **Run it.** `make gallery` sets everything up once. Then either `.venv/bin/python How_to_Visualize_CNN.py`, which writes
# every figure to `build/walkthrough/`; or open `How_to_Visualize_CNN.ipynb` in VS Code or Jupyter with the Python of `.venv`
# and run cell by cell. (The two hold the same cells; VS Code runs the `.py` cell by cell, too.)
#
# **Words.** A *layer* is one stage of the network; a *unit* is one of its channels; a *filter* is the weights of a unit; a
# *feature map* is what a unit answers at each place of an image.

# %%
from pathlib import Path

import numpy as np
import optax
from flax import nnx

from generator import sources
from generator.build.visualise import Request, Visualiser
from generator.config.datasets import CropsDataset, ZooDataset
from generator.config.schema import PhotographsProbes
from generator.config.sources import ZooSource
from generator.config.views import FeatureVisView
from generator.network.ablation import ablate
from generator.network.census import census
from generator.network.execute import OUTPUT, Network, Tap
from generator.network.survey import survey
from generator.network.tally import Picks
from generator.probes import list_probes, prepare
from generator.probes.datasets import open_dataset
from generator.sources.flax_modules import pure_nnx
from generator.views import health
from generator.views.predictions import predictions
from generator.walkthrough import FOLDER, show_filters, show_maps, show_pictures, show_table

HERE = Path()  # where paths of sources and datasets start

# %% [markdown]
# ## Step 1: Load a trained CNN
#
# EfficientNet-Lite0 names photographs with one of 1,000 words. To CNNscope a network is a pure function of parameters and
# images, `apply(params, images)`; `Network` runs that function once on shapes alone and finds the layers in it, so that
# nobody has to list them.


# %%
def load(name):
    """A trained network that CNNscope knows, and what is known of it."""
    source = ZooSource(kind="zoo", name=name)
    loaded = sources.load(source, HERE)
    return Network(loaded.apply, loaded.params, loaded.input_shape), sources.describe(source, HERE)


network, facts = load("efficientnet_lite0")
print(facts.title, "takes images of", network.input_shape, "and knows", len(facts.labels), "classes")

# %% [markdown]
# ## Step 2: List its layers
#
# Each line is a layer: its name, its kind, the shape of its kernel (height, width, inputs, units), the shape of what it gives
# (height, width, units), and its receptive field: how many pixels one position of its map can depend on.

# %%
print(f"{'layer':21}{'kind':16}{'kernel':19}{'output':17}{'receptive field'}")
for layer in network.graph.layers:
    if layer.has_kernel:
        sees = "{} x {}".format(*layer.receptive_field.size)
        print(f"{layer.name:21}{layer.kind:16}{layer.kernel_shape!s:19}{layer.shape!s:17}{sees}")

# %% [markdown]
# **What to look at.** Maps shrink from 112 x 112 to 7 x 7 while units grow from 32 to 1,280: the network trades *where* for
# *what*. Receptive fields grow beyond the 224 pixels of the image, so the last layers can see all of it.

# %% [markdown]
# ## Step 3: Look at the filters of the first layer
#
# A filter is a small template that slides over the image; where the image looks like it, the unit answers. The first layer
# reads red, green and blue, so its filters can be drawn as coloured pictures. Deeper ones read other units; those that read a
# single unit each (*depthwise*) can still be drawn.

# %%
kernels = network.weights(["stem", "blocks/3/depthwise"])
show_filters("3a. The 32 filters of the first layer (stem)", kernels["stem"].kernel)

# %%
show_filters(
    "3b. The first 48 filters of a deeper layer (blocks/3/depthwise)",
    kernels["blocks/3/depthwise"].kernel[..., :48],
    columns=12,
)

# %% [markdown]
# **What to look at.** In 3a, filters with two different sides (0, 21 and 30, counted from 0 row by row) answer to edges of
# one orientation; those in a single colour (7, 20) to that colour. Some are grey all over: step 7 is about them. In 3b, a red
# spot on white answers to light spots, red beside blue to an edge. Filters that look like nothing are no surprise: not every
# unit has to mean something to us.

# %% [markdown]
# ## Step 4: One image's feature maps, block by block
#
# Now a photograph goes in, and we record what five layers make of it, from the first to one of the last. `prepare` crops and
# scales it as the network was trained to expect; `tapped` gives a function that returns the values of the layers we ask for.
# For a photograph of your own: `pixels = np.asarray(PIL.Image.open("mine.jpg").convert("RGB"))`.

# %%
(cat,) = list_probes(PhotographsProbes(name="photographs", kind="photographs", images=("cat",)), HERE)
image = prepare(cat.read(), facts.preprocessing)
blocks = ["stem", "blocks/2/depthwise", "blocks/4/depthwise", "blocks/10/depthwise", "blocks/15/depthwise"]
outputs, *values = network.tapped([Tap(OUTPUT), *map(Tap, blocks)])(image.input[None])
maps = {block: np.asarray(value[0]) for block, value in zip(blocks, values, strict=True)}

for guess in predictions(outputs[0], facts.labels).top:
    print(f"{guess.score:6.1%}  {guess.label}")
for block in blocks:
    print(f"{block:20} {maps[block].shape!s:15} {(maps[block] > 0).mean():4.0%} of its values are above zero")
show_pictures("4. The photograph, as the network gets it", [image.shown])

# %%
show_maps("4a. All maps of stem, 112 x 112", maps["stem"])

# %%
show_maps("4b. The first 64 maps of blocks/2/depthwise, 56 x 56", maps["blocks/2/depthwise"][..., :64])

# %%
show_maps("4c. The first 64 maps of blocks/4/depthwise, 28 x 28", maps["blocks/4/depthwise"][..., :64])

# %%
show_maps("4d. The first 64 maps of blocks/10/depthwise, 14 x 14", maps["blocks/10/depthwise"][..., :64])

# %%
show_maps("4e. The first 64 maps of blocks/15/depthwise, 7 x 7", maps["blocks/15/depthwise"][..., :64])

# %% [markdown]
# **What to look at.** The first maps are still drawings of the cat: outlines, light, dark. From block to block they get
# coarser, one position stands for more of the image, and fewer values are above zero (the shares printed above), until the
# last block. A tile that is dark all over found nothing in this photograph; one that is bright all over answers everywhere. By
# 4e nobody could tell that this was a cat; yet the network can, from such numbers. Each map has a scale of its own, so a
# bright tile need not be a strong one.

# %% [markdown]
# ## Step 5: What a few units look for
#
# Instead of asking how a unit answers to an image, ask for the image that it answers to most: start from noise and climb
# (Erhan et al. 2009; Olah, Mordvintsev, Schubert 2017). For this step and the next we take a small network which this project
# trained to name ten kinds of clothing, because it takes seconds and test images ship with it.

# %%
small, small_facts = load("fashion_cnn")
clothes = open_dataset(ZooDataset(name="clothes", kind="zoo", model="fashion_cnn"), HERE, {})
names = small_facts.labels
classes = [clothes.label(number) for number in range(len(clothes))]


def read(number):
    """One image of the clothes as the network wants it."""
    return prepare(clothes.read(number), small_facts.preprocessing).input


show_pictures("5a. One image of each class", [clothes.read(classes.index(k)) for k in range(10)], names, columns=10)

# %%
settings = FeatureVisView(preset="draft", negative=False)
visualiser = Visualiser(small, settings, small_facts.preprocessing, natural=lambda: np.stack([read(0)]))
UNITS = [0, 7, 21, 30]
ideal = {
    "conv3": [found.image for found in visualiser.run([Request("conv3", unit) for unit in UNITS])],
    "classifier": [found.image for found in visualiser.run([Request("classifier", unit) for unit in range(10)])],
}
show_pictures("5b. Optimised for four units of conv3", ideal["conv3"], [f"unit {unit}" for unit in UNITS])

# %%
show_pictures("5c. Optimised for each class", ideal["classifier"], names, columns=10)

# %% [markdown]
# **What to look at.** Units of conv3 want textures, such as the stripes of units 21 and 30. The images of the classes hardly
# look like clothes: nothing keeps an optimised image near real ones, so what excites a class most need not look like one of its
# kind. These are drafts of 48 steps; the gallery takes 128 (`preset="standard"`).

# %% [markdown]
# ## Step 6: What real images excite them
#
# An optimised image shows what a unit could answer to; a dataset shows what it does answer to. `survey` runs all 200 test
# images through the network once and keeps the best of each unit. Below, each row begins with the optimised image of a unit.

# %%
best = survey(small, ["conv3"], read, len(clothes), picks=Picks(highest=7, lowest=0, spread=0))["conv3"]
pictures, captions = [], []
for unit, wanted in zip(UNITS, ideal["conv3"], strict=True):
    numbers = best.images[:, unit]
    pictures += [wanted, *(clothes.read(number) for number in numbers)]
    captions += [f"unit {unit}", *(names[classes[number]] for number in numbers)]
show_pictures("6. Four units of conv3: optimised, then the images they answer to most", pictures, captions)

# %% [markdown]
# **What to look at.** Compare the first tile of each row with the images beside it: is its texture in them? A unit whose
# images share a texture but not a class is a detector of that texture, no more. Unit numbers are arbitrary: change `UNITS`
# and look at others.

# %% [markdown]
# ## Step 7: Dead and redundant filters
#
# Back to EfficientNet-Lite0 and the grey tiles of its filters. Some units never answer, and some say what another one says
# already. `census` measures both while images pass through once (here pieces of 16 photographs); `health.measure` judges them
# together with the weights.

# %%
photographs = list_probes(PhotographsProbes(name="photographs", kind="photographs"), HERE)
pieces = open_dataset(
    CropsDataset(name="pieces", kind="crops", probes=("photographs",), per_image=4), HERE, {"photographs": photographs}
)


def read_piece(number):
    """One piece of a photograph as the network wants it."""
    return prepare(pieces.read(number), facts.preprocessing).input


# %%
taken, _ = census(network, ["stem"], read_piece, len(pieces))
stem, weights = network.graph.by_name["stem"], kernels["stem"]
found = health.measure(
    stem,
    taken["stem"].arrays(),
    len(pieces),
    (weights.kernel, weights.scale, weights.offset),
    sees_image=True,
    importance=None,
    thresholds=health.Thresholds(),
)

# %%
verdicts = dict.fromkeys(range(stem.num_units), "")
verdicts |= {fault.unit: fault.kind for fault in found.faults}
verdicts |= {twin.unit: f"like {cluster.kept}" for cluster in found.clusters for twin in cluster.others}
show_filters("7. The filters of stem, and what is wrong with some", weights.kernel, [f"{u} {v}" for u, v in verdicts.items()])

# %% [markdown]
# **What to look at.** Tiles named *weightless* are grey all over: their weights are next to nothing, so the unit gives the
# same number whatever it sees. Tile 29 was as dark as these for the cat (4a) and yet is not dead: one photograph is no
# evidence. Compare a tile named *like 1* with tile 1.
#
# Could these units go? That is a claim, so we try it: `ablate` sets units to zero and counts how many images the network then
# names otherwise.

# %%
dead = sorted({fault.unit for fault in found.faults if fault.kind in health.DEAD})
twins = [unit for unit in found.removable if unit not in dead]
others = [unit for unit in range(stem.num_units) if unit not in found.removable][: len(twins)]
tried = {"the dead units": dead, "the twins": twins, "as many others": others}
effects = ablate(network, [{"stem": units} for units in tried.values()], read_piece, len(pieces))
for (name, units), changed in zip(tried.items(), effects.changed, strict=True):
    print(f"without {name} {units}: {changed} of {len(pieces)} images are named otherwise")

# %% [markdown]
# **What to look at.** Without its dead units the network says what it said before. Without the twins it does not: two units
# that answer alike are both counted by the next layer, so one cannot simply be set to zero; its weights there would have to
# go to the other. Redundant is not useless.

# %% [markdown]
# ## Step 8: Two classes compared
#
# Which clothes does the small network mix up, and which of its units tell them apart? With labels, `census` also counts what
# is named what, and keeps each unit's mean answer to each class.

# %%
taken, named = census(small, ["conv5"], read, len(clothes), labels=classes, num_classes=10)
show_table("8a. What the clothes are (rows) and what they are named (columns)", named.confusion, names, names)

# %% [markdown]
# The worst pair is the largest number off the diagonal. How far apart a unit holds two classes is the difference of its mean
# answers, in standard deviations within a class (Cohen's d): 0 is no difference, 2 little overlap.

# %%
confused = named.confusion + named.confusion.T
first, second = np.unravel_index(np.triu(confused, 1).argmax(), confused.shape)
answers = taken["conv5"]
within = (answers.class_squares[first] + answers.class_squares[second]) / (
    answers.class_sizes[first] + answers.class_sizes[second] - 2
)
effect = (answers.class_means[first] - answers.class_means[second]) / np.sqrt(within + 1e-12)
telling = np.argsort(-np.abs(effect))[:8]
columns = [f"unit {unit} ({effect[unit]:+.1f})" for unit in telling]
NOTE = "Mean answers to each class; in brackets, how far apart the two are (Cohen's d)."
pair = f"{names[first]} and {names[second]}"
show_table(f"8b. The units of conv5 that differ most between {pair}", answers.class_means[:, telling], names, columns, NOTE)

# %%
swapped = [int(n) for n in (*named.examples[first, second], *named.examples[second, first]) if n >= 0]
captions = [f"{names[classes[n]]}, named {names[first + second - classes[n]]}" for n in swapped]
show_pictures(f"8c. {pair}, mixed up", [clothes.read(n) for n in swapped], captions)

# %% [markdown]
# **What to look at.** In 8b, compare the two rows of the pair, then the others: a unit that answers to one of the two mostly
# answers to other classes as well. The units were picked because they differ most on 20 images a class, so their differences
# are flattered: on other images they would be smaller. In 8c, would you have named them rightly?

# %% [markdown]
# ## Step 9: Your own model
#
# Any Flax module will do. This one has two convolutions; the next cell trains it for a moment on the same 200 images, only to
# have something to look at, and draws its first filters.


# %%
class MyNet(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(1, 16, (7, 7), rngs=rngs)
        self.second = nnx.Conv(16, 32, (3, 3), strides=2, rngs=rngs)
        self.classes = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, images):
        x = nnx.relu(self.first(images))
        x = nnx.relu(self.second(x))
        return self.classes(x.mean(axis=(1, 2)))


# %%
model = MyNet(nnx.Rngs(0))
optimiser = nnx.Optimizer(model, optax.adam(3e-3), wrt=nnx.Param)
images, targets = np.stack([read(number) for number in range(len(clothes))]), np.array(classes)


@nnx.jit
def step(model, optimiser):
    def loss(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(images), targets).mean()

    value, slope = nnx.value_and_grad(loss)(model)
    optimiser.update(model, slope)
    return value


losses = [float(step(model, optimiser)) for _ in range(60)]
print(f"loss {losses[0]:.2f} before, {losses[-1]:.2f} after {len(losses)} steps")

# %% [markdown]
# `pure_nnx` makes a pure function of the module, which takes its weights by name. That is all `Network` needs.

# %%
arrays = {"/".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(nnx.state(model))}
pure = pure_nnx(lambda: MyNet(nnx.Rngs(0)))
mine = Network(pure.apply, pure.bind(arrays), (28, 28, 1))
print(*(f"{layer.name} {layer.kind} {layer.shape}" for layer in mine.graph.layers), sep="\n")
show_filters("9a. The first filters of your own network", mine.weights(["first"])["first"].kernel)

# %%
show_filters("9b. The first filters of the Fashion CNN, for comparison", small.weights(["conv1"])["conv1"].kernel)

# %% [markdown]
# **What to look at.** 9a still looks much like the random numbers it began with. In 9b, trained on 60,000 images, weights side
# by side are alike, and some filters are edges (0, 8 and 20).
#
# From here every step above works on `mine`. For a gallery of it, save the weights (next cell), save the class beside them as
# `my_net.py` with `from flax import nnx` above it, and this as `mine.yaml`:
#
# ```yaml
# models:
#   - name: mine
#     source: {kind: flax, module: "my_net:MyNet", checkpoint: my_net.npz, input_shape: [28, 28, 1]}
#     preprocessing: {channels: grey, range: [0, 1], mean: 0.286, std: 0.353}
#     labels: [T-shirt, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot]
#     probes: [clothes]
#     dataset: clothes
# probes:
#   - {name: clothes, kind: zoo, model: fashion_cnn, per_class: 1}
# datasets:
#   - {name: clothes, kind: zoo, model: fashion_cnn}
# ```

# %%
np.savez(FOLDER / "my_net.npz", **arrays)
print(*sorted(path.as_posix() for path in FOLDER.iterdir()), sep="\n")

# %% [markdown]
# With all three files in `build/walkthrough/`, `make gallery CONFIG=build/walkthrough/mine.yaml OUT=mine` builds a website
# that shows all of this and more, unit by unit. The README tells how to give it images of your own.
