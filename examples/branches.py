"""A network of your own: branches, a concatenation and a sum, trained on the bundled digits.

    python examples/branches.py

What `forward` computes is differentiated as it stands; no further code is needed.
"""

import pyconv as pc
import pyconv.functional as F
from pyconv import nn, optim


class Inception(nn.Module):
    """Small and large filters side by side, their channels concatenated, and a shortcut around them."""

    def __init__(self, channels):
        self.small = nn.Conv2d(channels, channels // 2, 1)
        self.large = nn.Conv2d(channels, channels // 2, 3, padding="same")
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        branches = F.concat([self.small(x), self.large(x)], 1)
        return F.relu(x + self.norm(branches))


class Net(nn.Module):
    """Two inputs to the last layer: how much of each feature there is on average, and at its strongest."""

    def __init__(self, num_classes, channels=32):
        self.stem = nn.Conv2d(1, channels, 3, padding="same")
        self.blocks = nn.ModuleList(Inception(channels) for _ in range(2))
        self.head = nn.Linear(2 * channels, num_classes)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        pooled = F.concat([F.global_avg_pool(x), F.global_max_pool(x)], 1)
        return self.head(F.flatten(pooled, 1))


if __name__ == "__main__":
    train, test = pc.data.load("digits")
    nn.init.manual_seed(0)
    model = Net(num_classes=len(train.classes))
    print(model.summary(train.input_shape))
    trainer = pc.Trainer(model, optimizer=optim.AdamW(lr=5e-3), augment=["shift=0.125"], seed=0)
    trainer.fit(train, epochs=6, batch_size=64, validation=test)
    pc.save(model, "branches.npz")
    print(f"{trainer.evaluate(test)['accuracy']:.1%} of the test images right; weights in branches.npz")
