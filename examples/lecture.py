"""The lecture "Why convolutions?", in numbers and pictures: what it claims, computed.

    python examples/lecture.py [--out FOLDER] [--data-dir FOLDER]

takes under a minute and writes its pictures to FOLDER. With the cat / non-cat set of the course in --data-dir it trains
the cat detector at the end, otherwise the bundled digits.
"""

import argparse
from pathlib import Path

import numpy as np

import pyconv as pc
import pyconv.functional as F
from pyconv import analysis, nn, optim, viz
from pyconv.cli.main import main as command


def prices():
    """A convolution beside the dense layer that could replace it."""
    print("\n1. 32×32×3 image, six 5×5 filters -> 28×28×6: what a convolution costs, and a dense layer\n")
    summary = nn.Conv2d(3, 6, 5).summary((3, 32, 32))
    row = summary.rows[0]
    print(summary)
    print(f"\n{row.dense_weights:,} = {32 * 32 * 3:,} · {28 * 28 * 6:,} weights against {row.parameters}.")
    print(f"The lecture says {6 * (5 * 5 + 1)} = 6 · (5 · 5 + 1), for filters of one channel; on a colour image")
    print(f"a filter has three, which makes 6 · (3 · 5 · 5 + 1) = {row.parameters}.")


def matrix(out):
    """The same nine numbers at every position, and nothing elsewhere: parameter sharing and sparse connections."""
    print("\n2. The lecture's vertical edge detector as a matrix\n")
    image = np.zeros((1, 6, 6))
    image[:, :, :3] = 10
    layer = nn.Conv2d(1, 1, 3, bias=False).astype(np.float64)
    layer.weight[...] = [1, 0, -1]
    dense = analysis.dense_equivalent(layer, image.shape)
    edges = layer(image)
    print(edges[0].astype(int))
    assert np.array_equal(edges.ravel(), dense.weight @ image.ravel())
    print(f"\nA dense layer with this {dense.index.shape[0]}×{dense.index.shape[1]} matrix gives the same edges.")
    print(f"Parameter sharing: {dense.uses.size} parameters, each used {dense.uses[0]} times.")
    print(f"Sparse connections: {dense.inputs_per_output} of 36 inputs to an output, {dense.sparsity:.0%} are empty.")
    lecture = nn.Conv2d(3, 6, 5).summary((3, 32, 32)).rows[0]
    print(f"In the layer above: {lecture.inputs_per_output} = 5 · 5 · 3 of 3,072 inputs to an output.")
    viz.plot_dense_equivalent(dense, out / "sharing-edges.png")
    viz.plot_dense_equivalent(analysis.dense_equivalent(nn.Conv2d(3, 2, 5), (3, 10, 10)), out / "sharing-colour.png")


def network():
    """Conv, pool, conv, pool, dense: the lecture's example in small, the same weights each time."""
    nn.init.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def costs(out, epochs=6):
    """The cost J(W, b) = 1/m · Σ L(ŷ, y) under the optimizers of the course."""
    print("\n3. Gradient descent on the cost J = 1/m · Σ L(ŷ, y)\n")
    train, _ = pc.data.load("digits")
    optimizers = {
        "gradient descent": optim.GradientDescent(lr=0.2),
        "momentum": optim.Momentum(lr=0.1),
        "RMSProp": optim.RMSProp(lr=3e-3),
        "Adam": optim.Adam(lr=1e-2),
    }
    fallen = {}
    for name, optimizer in optimizers.items():
        trainer = pc.Trainer(network(), optimizer=optimizer, progress=False)
        J = [trainer.evaluate(train)["loss"]]
        J += trainer.fit(train, epochs, batch_size=64, validation=train)["val_loss"]
        print(f"{name:<18}", *(f"{value:7.3f}" for value in J))
        fallen[name] = J
    viz.plot_costs(fallen, out / "costs.png")


def invariance(out, epochs=8):
    """A convolutional network and a dense one of the same size, trained alike on digits in the middle of the image."""
    print("\n4. Translation invariance: predictions that survive a shift\n")
    train, test = ((np.pad(part.x, ((0, 0), (0, 0), (4, 4), (4, 4))), part.y) for part in pc.data.load("digits"))
    nn.init.manual_seed(0)
    cnn = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 64, 3, padding="same"), nn.ReLU(), nn.GlobalMaxPool(),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    models = {"convolutional": cnn, "dense": analysis.dense_twin(cnn, (1, 16, 16), 10)}
    curves = {}
    for name, model in models.items():
        pc.Trainer(model, optimizer=optim.Adam(lr=5e-3), progress=False).fit(train, epochs, batch_size=64)
        curves[name] = analysis.shift_consistency(model, *test, shifts=range(5))
        figures = " ".join(f"{share:7.1%}" for share in curves[name].consistency)
        print(f"{name:<14} {model.num_parameters():>6,} parameters; after a shift of 0 … 4 pixels: {figures}")
    print("(A shift by the stride of the pooling, 2, costs least: pooling alone does not commute with the others.)")
    viz.plot_shift_consistency(curves, out / "shifts.png")
    return cnn, test[0][0]


def features(out, model, image):
    """What the first layer looks for, and what every layer finds."""
    viz.plot_images(analysis.filter_images(model[0]), out / "filters.png")
    viz.plot_feature_maps(analysis.feature_maps(model, image), out / "features.png")
    print("\n5. Filters and feature maps: filters.png, features.png")


def derivative():
    """The gradient that all of this runs on, against finite differences."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 6, 6)), rng.standard_normal((4, 3, 3, 3))
    error = pc.check_gradients(lambda w: F.mean(F.tanh(F.conv2d(x, w))), w)
    print(f"\n6. Backpropagation through a convolution differs from finite differences by {error:.1e}")


def detector(out, data_dir, epochs):
    """Put together: the network trained by the command that everybody has, `pyconv train`."""
    print("\n7. Putting it together\n", flush=True)
    data = ["--dataset", "catvnoncat", "--data-dir", data_dir] if data_dir else ["--dataset", "digits"]
    length = ["--epochs", str(epochs)] if epochs else [] if data_dir else ["--epochs", "5"]
    assert command(["train", *data, *length, "--out", str(out / "run")]) == 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("lecture"), metavar="FOLDER")
    parser.add_argument("--data-dir", metavar="FOLDER", help="holds train_catvnoncat.h5 and test_catvnoncat.h5")
    parser.add_argument("--epochs", type=int, metavar="N", help="of the last part")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    prices()
    matrix(arguments.out)
    costs(arguments.out)
    features(arguments.out, *invariance(arguments.out))
    derivative()
    detector(arguments.out, arguments.data_dir, arguments.epochs)
    print(f"\nPictures: {', '.join(sorted(p.name for p in arguments.out.glob('*.png')))} in {arguments.out}")
