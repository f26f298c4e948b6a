"""A small network of every family, and chains of a few layers: they take two channels and tell three classes apart."""

from pyconv import models, nn
from pyconv.models.convnext import ConvNeXt
from pyconv.models.densenet import DenseNet
from pyconv.models.resnet import Bottleneck, ResNet

# name: (how to make a small one, size of the images)
FAMILIES = {
    "airbench94": (lambda: models.create("airbench94", 3, 2, widths=(8, 16, 16)), 24),
    "alexnet": (lambda: models.create("alexnet", 3, 2, hidden=8), 64),
    "bottlenecks": (lambda: ResNet(Bottleneck, (1, 2, 1), 3, 2, widths=(8, 16, 32)), 48),
    "convnext": (lambda: ConvNeXt((1, 1, 2, 1), (8, 12, 16, 20), 3, 2, layer_scale=0.5), 64),
    "densenet": (lambda: DenseNet((2, 2, 3, 2), 3, 2, growth=8, width=16), 64),
    "efficientnet_b0": (lambda: models.create("efficientnet_b0", 3, 2), 64),
    "googlenet": (lambda: models.create("googlenet", 3, 2, auxiliary=True), 64),
    "mobilenet_v2": (lambda: models.create("mobilenet_v2", 3, 2), 64),
    "mobilenet_v3_small": (lambda: models.create("mobilenet_v3_small", 3, 2), 64),
    "resnet20": (lambda: models.create("resnet20", 3, 2), 16),
    "shufflenet_v2_x0_5": (lambda: models.create("shufflenet_v2_x0_5", 3, 2), 64),
    "squeezenet1_1": (lambda: models.create("squeezenet1_1", 3, 2), 48),
    "unet": (lambda: models.create("unet", 3, 2, width=4, batch_norm=True), 32),
    "vgg11_bn": (lambda: models.create("vgg11_bn", 3, 2, hidden=8), 32),
}
CHAINS = {"lenet5": 28, "digitsnet": 8, "mnistnet": 28, "catnet": 32, "cifarnet": 16}
NETWORKS = {**FAMILIES, **{name: (lambda name=name: models.create(name, 3, 2), size) for name, size in CHAINS.items()}}


def smooth_(model):
    """Move normalizations to where rounding decides nothing: what they give stays on one side of every kink.

    An activation that rounds to the other side of ReLU's 0 would change a gradient by far more than it rounded. Scales
    of 0.3 keep outputs within a few tenths of the shift 1.5: above 0, below ReLU6's 6 and between hard swish's ±3.
    No channel is constant then either, whose rounding errors a normalization enlarges to the scale of all others.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.weight is not None:
            module.weight[...], module.bias[...] = 0.3, 1.5
