"""The named problems: layers of known networks, one line each, that tests and benchmarks share.

A name is `network/layer`; `name@16` is the same layer at batch 16, `name@small` with fewer channels and pixels. A
network whose layers are all here says with `uses` how often each occurs in it, so that the sums can be held against
published totals.

>>> find("resnet50/conv2.3x3").output_shape
(1, 64, 56, 56)
>>> [p.name for p in select("lenet5/conv*")]
['lenet5/conv1', 'lenet5/conv2']
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import import_module

import numpy as np

from pyconv.kernels.spec import ConvSpec

PASSES = ("forward", "backward_data", "backward_weights", "backward")  # the last: every gradient of the layer at once

CLASSES = {
    "3x3": "3×3, stride 1, images of 28² and more",
    "3x3-14": "3×3, stride 1, images of 14² to 16²",
    "mixed": "3×3 on small images, 3×3 with stride 2, 7×7 stems, 5×5",
    "few": "one to three input channels",
    "1x1": "pointwise",
    "depthwise": "one filter a channel",
    "grouped": "few channels a group",
    "1d": "audio",
    "3d": "video and volumes",
    "transposed": "U-Net, GAN",
    "dilated": "DeepLab",
    "pooling": "maximum and average",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One layer: what it does and on what shapes. Every tuple has one entry a spatial axis.

    For `conv_transpose` the sizes are those of its own input (small) and output (large).
    """

    name: str
    group: str  # a key of CLASSES
    kind: str  # conv, conv_transpose, max_pool, avg_pool
    n: int
    c: int
    size: tuple[int, ...]
    k: int  # output channels
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]  # at both ends
    dilation: tuple[int, ...]
    groups: int = 1
    uses: int = 1

    @property
    def is_pool(self) -> bool:
        return self.kind.endswith("pool")

    @property
    def is_depthwise(self) -> bool:
        return not self.is_pool and self.groups == self.c > 1

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes that make sense for this layer."""
        return ("forward", "backward") if self.is_pool else PASSES

    @property
    def spec(self) -> ConvSpec:
        """The convolution's descriptor (of the underlying forward convolution if transposed)."""
        padding = tuple((p, p) for p in self.padding)
        return ConvSpec(self.stride, padding, self.dilation, self.groups)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.n, self.c, *self.size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(K, C/groups, *kernel); (C, K/groups, *kernel) if transposed; empty for a pooling."""
        if self.is_pool:
            return ()
        first, second = (self.c, self.k) if self.kind == "conv_transpose" else (self.k, self.c)
        return (first, second // self.groups, *self.kernel)

    @property
    def output_shape(self) -> tuple[int, ...]:
        if self.kind == "conv_transpose":
            axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
            size = tuple((i - 1) * s - 2 * p + d * (r - 1) + 1 for i, r, s, p, d in axes)
        else:
            size = self.spec.output_size(self.size, self.kernel)
        return (self.n, self.k, *size)

    def flops(self, pass_: str = "forward") -> int:
        """Floating-point operations of a pass by the direct algorithm: a multiply-add is two, padding counts.

        A pooling does one a tap.
        """
        once = self.n * math.prod(self.kernel)
        if self.is_pool:
            return once * math.prod(self.output_shape[1:])
        positions = self.size if self.kind == "conv_transpose" else self.output_shape[2:]
        once *= 2 * math.prod(positions) * self.c * (self.k // self.groups)
        return 2 * once if pass_ == "backward" else once

    def at_batch(self, n: int) -> Problem:
        """The same layer for n images."""
        return replace(self, n=n, name=f"{self.name.partition('@')[0]}@{n}")

    def scaled(self) -> Problem:
        """The same layer for two small images of few channels: small enough for the naive backend."""
        groups = min(self.groups, 16)
        most, largest_image = (64, 28) if groups == 1 else (32, 20)  # the naive backend loops over groups too
        channels = min(self.c // self.groups, most) * groups
        outputs = channels if self.is_pool else min(self.k // self.groups, most) * groups
        largest = {1: 512, 2: largest_image, 3: 8}[len(self.size)]
        size = tuple(
            max(min(i, largest), d * (r - 1) + 1 - 2 * p)
            for i, r, p, d in zip(self.size, self.kernel, self.padding, self.dilation, strict=True)
        )
        name = f"{self.name.partition('@')[0]}@small"
        return replace(self, name=name, n=2, c=channels, k=outputs, groups=groups, size=size)

    def arrays(self, dtype: str = "float32") -> dict[str, np.ndarray]:
        """The same on each call: x, dy and, but for a pooling, w (outputs of unit variance) and b; C-contiguous."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        arrays = {"x": rng.standard_normal(self.input_shape, np.float32)}
        arrays["dy"] = rng.standard_normal(self.output_shape, np.float32)
        if not self.is_pool:
            taps = math.prod(self.kernel) * self.c // self.groups
            arrays["w"] = rng.standard_normal(self.weight_shape, np.float32) / np.float32(math.sqrt(taps))
            arrays["b"] = rng.standard_normal(self.k, np.float32)
        return {name: array.astype(dtype, copy=False) for name, array in arrays.items()}

    def __str__(self) -> str:
        def times(values: tuple[int, ...]) -> str:
            return "×".join(map(str, values))

        text = f"{times(self.input_shape)} → {self.k}, {self.kind} {times(self.kernel)}"
        options = ("stride", self.stride, 1), ("padding", self.padding, 0), ("dilation", self.dilation, 1)
        for name, value, default in options:
            if set(value) != {default}:
                text += f" {name} {times(value) if len(set(value)) > 1 else value[0]}"
        return text + (f" groups {self.groups}" if self.groups > 1 else "")


def _problem(kind, name, group, shape, k, kernel, stride=1, padding=0, dilation=1, groups=1, uses=1) -> Problem:
    n, c, *size = shape
    kernel, stride, padding, dilation = (_per_axis(value, len(size)) for value in (kernel, stride, padding, dilation))
    return Problem(name, group, kind, n, c, tuple(size), k, kernel, stride, padding, dilation, groups, uses)


def _per_axis(value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * rank


def conv(name, group, shape, k, kernel, stride=1, padding=0, dilation=1, groups=1, uses=1) -> Problem:
    return _problem("conv", name, group, shape, k, kernel, stride, padding, dilation, groups, uses)


def pointwise(name, shape, k, stride=1, uses=1) -> Problem:
    return _problem("conv", name, "1x1", shape, k, 1, stride, uses=uses)


def depthwise(name, shape, kernel, stride=1, uses=1) -> Problem:
    """Padded so that stride 1 keeps the size."""
    c = shape[1]
    return _problem("conv", name, "depthwise", shape, c, kernel, stride, kernel // 2, groups=c, uses=uses)


def transposed(name, shape, k, kernel, stride, padding=0) -> Problem:
    return _problem("conv_transpose", name, "transposed", shape, k, kernel, stride, padding)


def max_pool(name, shape, kernel, stride, padding=0) -> Problem:
    return _problem("max_pool", name, "pooling", shape, shape[1], kernel, stride, padding)


def avg_pool(name, shape, kernel, stride, padding=0) -> Problem:
    return _problem("avg_pool", name, "pooling", shape, shape[1], kernel, stride, padding)


# fmt: off
_TABLE = (
    # LeNet-5 (LeCun et al., 1998), and the example of the lecture "Why convolutions?"
    conv("lenet5/conv1", "few", (64, 1, 32, 32), 6, 5),
    conv("lenet5/conv2", "mixed", (64, 6, 14, 14), 16, 5),
    avg_pool("lenet5/pool1", (64, 6, 28, 28), 2, 2),
    avg_pool("lenet5/pool2", (64, 16, 10, 10), 2, 2),
    conv("lecture/conv", "few", (1, 3, 32, 32), 6, 5),

    # six convolutions in the manner of VGG, for CIFAR
    conv("cifar-vgg/conv1", "few", (64, 3, 32, 32), 64, 3, padding=1),
    conv("cifar-vgg/conv2", "3x3", (64, 64, 32, 32), 64, 3, padding=1),
    conv("cifar-vgg/conv3", "3x3-14", (64, 64, 16, 16), 128, 3, padding=1),
    conv("cifar-vgg/conv4", "3x3-14", (64, 128, 16, 16), 128, 3, padding=1),
    conv("cifar-vgg/conv5", "mixed", (64, 128, 8, 8), 256, 3, padding=1),
    conv("cifar-vgg/conv6", "mixed", (64, 256, 8, 8), 256, 3, padding=1),
    max_pool("cifar-vgg/pool1", (64, 64, 32, 32), 2, 2),
    max_pool("cifar-vgg/pool2", (64, 128, 16, 16), 2, 2),
    max_pool("cifar-vgg/pool3", (64, 256, 8, 8), 2, 2),

    # ResNet-18 for CIFAR (He et al., 2016)
    conv("cifar-resnet18/conv1", "few", (1, 3, 32, 32), 64, 3, padding=1),
    conv("cifar-resnet18/conv2", "3x3", (1, 64, 32, 32), 64, 3, padding=1, uses=4),
    conv("cifar-resnet18/conv3.s2", "mixed", (1, 64, 32, 32), 128, 3, 2, 1),
    conv("cifar-resnet18/conv3", "3x3-14", (1, 128, 16, 16), 128, 3, padding=1, uses=3),
    conv("cifar-resnet18/conv4.s2", "mixed", (1, 128, 16, 16), 256, 3, 2, 1),
    conv("cifar-resnet18/conv4", "mixed", (1, 256, 8, 8), 256, 3, padding=1, uses=3),
    conv("cifar-resnet18/conv5.s2", "mixed", (1, 256, 8, 8), 512, 3, 2, 1),
    conv("cifar-resnet18/conv5", "mixed", (1, 512, 4, 4), 512, 3, padding=1, uses=3),

    # VGG-16 (Simonyan and Zisserman, 2015), complete
    conv("vgg16/conv1_1", "few", (1, 3, 224, 224), 64, 3, padding=1),
    conv("vgg16/conv1_2", "3x3", (1, 64, 224, 224), 64, 3, padding=1),
    conv("vgg16/conv2_1", "3x3", (1, 64, 112, 112), 128, 3, padding=1),
    conv("vgg16/conv2_2", "3x3", (1, 128, 112, 112), 128, 3, padding=1),
    conv("vgg16/conv3_1", "3x3", (1, 128, 56, 56), 256, 3, padding=1),
    conv("vgg16/conv3_2", "3x3", (1, 256, 56, 56), 256, 3, padding=1, uses=2),
    conv("vgg16/conv4_1", "3x3", (1, 256, 28, 28), 512, 3, padding=1),
    conv("vgg16/conv4_2", "3x3", (1, 512, 28, 28), 512, 3, padding=1, uses=2),
    conv("vgg16/conv5", "3x3-14", (1, 512, 14, 14), 512, 3, padding=1, uses=3),
    max_pool("vgg16/pool1", (1, 64, 224, 224), 2, 2),
    max_pool("vgg16/pool2", (1, 128, 112, 112), 2, 2),
    max_pool("vgg16/pool3", (1, 256, 56, 56), 2, 2),
    max_pool("vgg16/pool4", (1, 512, 28, 28), 2, 2),
    max_pool("vgg16/pool5", (1, 512, 14, 14), 2, 2),

    # ResNet-50 (He et al., 2016; stride in the 3×3), complete
    conv("resnet50/conv1", "mixed", (1, 3, 224, 224), 64, 7, 2, 3),
    max_pool("resnet50/pool1", (1, 64, 112, 112), 3, 2, 1),
    pointwise("resnet50/conv2.64-64", (1, 64, 56, 56), 64),
    conv("resnet50/conv2.3x3", "3x3", (1, 64, 56, 56), 64, 3, padding=1, uses=3),
    pointwise("resnet50/conv2.64-256", (1, 64, 56, 56), 256, uses=4),
    pointwise("resnet50/conv2.256-64", (1, 256, 56, 56), 64, uses=2),
    pointwise("resnet50/conv3.256-128", (1, 256, 56, 56), 128),
    conv("resnet50/conv3.3x3s2", "mixed", (1, 128, 56, 56), 128, 3, 2, 1),
    pointwise("resnet50/conv3.256-512s2", (1, 256, 56, 56), 512, 2),
    pointwise("resnet50/conv3.128-512", (1, 128, 28, 28), 512, uses=4),
    pointwise("resnet50/conv3.512-128", (1, 512, 28, 28), 128, uses=3),
    conv("resnet50/conv3.3x3", "3x3", (1, 128, 28, 28), 128, 3, padding=1, uses=3),
    pointwise("resnet50/conv4.512-256", (1, 512, 28, 28), 256),
    conv("resnet50/conv4.3x3s2", "mixed", (1, 256, 28, 28), 256, 3, 2, 1),
    pointwise("resnet50/conv4.512-1024s2", (1, 512, 28, 28), 1024, 2),
    pointwise("resnet50/conv4.256-1024", (1, 256, 14, 14), 1024, uses=6),
    pointwise("resnet50/conv4.1024-256", (1, 1024, 14, 14), 256, uses=5),
    conv("resnet50/conv4.3x3", "3x3-14", (1, 256, 14, 14), 256, 3, padding=1, uses=5),
    pointwise("resnet50/conv5.1024-512", (1, 1024, 14, 14), 512),
    conv("resnet50/conv5.3x3s2", "mixed", (1, 512, 14, 14), 512, 3, 2, 1),
    pointwise("resnet50/conv5.1024-2048s2", (1, 1024, 14, 14), 2048, 2),
    pointwise("resnet50/conv5.512-2048", (1, 512, 7, 7), 2048, uses=3),
    pointwise("resnet50/conv5.2048-512", (1, 2048, 7, 7), 512, uses=2),
    conv("resnet50/conv5.3x3", "mixed", (1, 512, 7, 7), 512, 3, padding=1, uses=2),
    avg_pool("resnet50/pool5", (1, 2048, 7, 7), 7, 1),

    # MobileNetV2 (Sandler et al., 2018), complete
    conv("mobilenetv2/conv1", "few", (1, 3, 224, 224), 32, 3, 2, 1),
    depthwise("mobilenetv2/dw32", (1, 32, 112, 112), 3),
    pointwise("mobilenetv2/32-16", (1, 32, 112, 112), 16),
    pointwise("mobilenetv2/16-96", (1, 16, 112, 112), 96),
    depthwise("mobilenetv2/dw96s2", (1, 96, 112, 112), 3, 2),
    pointwise("mobilenetv2/96-24", (1, 96, 56, 56), 24),
    pointwise("mobilenetv2/24-144", (1, 24, 56, 56), 144, uses=2),
    depthwise("mobilenetv2/dw144", (1, 144, 56, 56), 3),
    pointwise("mobilenetv2/144-24", (1, 144, 56, 56), 24),
    depthwise("mobilenetv2/dw144s2", (1, 144, 56, 56), 3, 2),
    pointwise("mobilenetv2/144-32", (1, 144, 28, 28), 32),
    pointwise("mobilenetv2/32-192", (1, 32, 28, 28), 192, uses=3),
    depthwise("mobilenetv2/dw192", (1, 192, 28, 28), 3, uses=2),
    pointwise("mobilenetv2/192-32", (1, 192, 28, 28), 32, uses=2),
    depthwise("mobilenetv2/dw192s2", (1, 192, 28, 28), 3, 2),
    pointwise("mobilenetv2/192-64", (1, 192, 14, 14), 64),
    pointwise("mobilenetv2/64-384", (1, 64, 14, 14), 384, uses=4),
    depthwise("mobilenetv2/dw384", (1, 384, 14, 14), 3, uses=4),
    pointwise("mobilenetv2/384-64", (1, 384, 14, 14), 64, uses=3),
    pointwise("mobilenetv2/384-96", (1, 384, 14, 14), 96),
    pointwise("mobilenetv2/96-576", (1, 96, 14, 14), 576, uses=3),
    depthwise("mobilenetv2/dw576", (1, 576, 14, 14), 3, uses=2),
    pointwise("mobilenetv2/576-96", (1, 576, 14, 14), 96, uses=2),
    depthwise("mobilenetv2/dw576s2", (1, 576, 14, 14), 3, 2),
    pointwise("mobilenetv2/576-160", (1, 576, 7, 7), 160),
    pointwise("mobilenetv2/160-960", (1, 160, 7, 7), 960, uses=3),
    depthwise("mobilenetv2/dw960", (1, 960, 7, 7), 3, uses=3),
    pointwise("mobilenetv2/960-160", (1, 960, 7, 7), 160, uses=2),
    pointwise("mobilenetv2/960-320", (1, 960, 7, 7), 320),
    pointwise("mobilenetv2/320-1280", (1, 320, 7, 7), 1280),
    avg_pool("mobilenetv2/pool", (1, 1280, 7, 7), 7, 1),

    # depthwise layers of EfficientNet-B0 (Tan and Le, 2019) and ConvNeXt-T (Liu et al., 2022)
    depthwise("efficientnet/dw144.5x5s2", (1, 144, 56, 56), 5, 2),
    depthwise("efficientnet/dw240.5x5", (1, 240, 28, 28), 5),
    depthwise("efficientnet/dw480.5x5", (1, 480, 14, 14), 5),
    depthwise("efficientnet/dw672.5x5s2", (1, 672, 14, 14), 5, 2),
    depthwise("efficientnet/dw1152.5x5", (1, 1152, 7, 7), 5),
    depthwise("convnext/dw96.7x7", (1, 96, 56, 56), 7),
    depthwise("convnext/dw192.7x7", (1, 192, 28, 28), 7),
    depthwise("convnext/dw384.7x7", (1, 384, 14, 14), 7),
    depthwise("convnext/dw768.7x7", (1, 768, 7, 7), 7),

    # ResNeXt-50 32×4d (Xie et al., 2017), ShuffleNet g = 3 (Zhang et al., 2018), AlexNet (Krizhevsky et al., 2012)
    conv("resnext50/conv2", "grouped", (1, 128, 56, 56), 128, 3, padding=1, groups=32),
    conv("resnext50/conv3.s2", "grouped", (1, 256, 56, 56), 256, 3, 2, 1, groups=32),
    conv("resnext50/conv3", "grouped", (1, 256, 28, 28), 256, 3, padding=1, groups=32),
    conv("resnext50/conv4", "grouped", (1, 512, 14, 14), 512, 3, padding=1, groups=32),
    conv("resnext50/conv5", "grouped", (1, 1024, 7, 7), 1024, 3, padding=1, groups=32),
    conv("shufflenet/240-60", "grouped", (1, 240, 28, 28), 60, 1, groups=3),
    conv("shufflenet/60-240", "grouped", (1, 60, 28, 28), 240, 1, groups=3),
    conv("shufflenet/480-120", "grouped", (1, 480, 14, 14), 120, 1, groups=3),
    conv("alexnet/conv1", "mixed", (1, 3, 227, 227), 96, 11, 4),
    conv("alexnet/conv2", "grouped", (1, 96, 27, 27), 256, 5, padding=2, groups=2),

    # audio: wav2vec 2.0 (Baevski et al., 2020), WaveNet (van den Oord et al., 2016), M5 (Dai et al., 2017)
    conv("wav2vec2/conv1", "1d", (1, 1, 16000), 512, 10, 5),
    conv("wav2vec2/conv2", "1d", (1, 512, 3199), 512, 3, 2),
    conv("wavenet/dilated64", "1d", (1, 128, 16000), 128, 2, dilation=64),
    conv("m5/conv1", "1d", (8, 1, 8000), 32, 80, 16),
    conv("m5/conv3", "1d", (8, 32, 124), 64, 3, padding=1),
    max_pool("m5/pool1", (8, 32, 496), 4, 4),

    # video and volumes: C3D (Tran et al., 2015), R(2+1)D (Tran et al., 2018), 3D U-Net (Çiçek et al., 2016)
    conv("c3d/conv1", "3d", (1, 3, 16, 112, 112), 64, 3, padding=1),
    conv("c3d/conv2", "3d", (1, 64, 16, 56, 56), 128, 3, padding=1),
    conv("c3d/conv4", "3d", (1, 256, 4, 14, 14), 512, 3, padding=1),
    conv("r2plus1d/spatial", "3d", (1, 64, 16, 56, 56), 144, (1, 3, 3), padding=(0, 1, 1)),
    conv("r2plus1d/temporal", "3d", (1, 144, 16, 56, 56), 64, (3, 1, 1), padding=(1, 0, 0)),
    conv("unet3d/conv2", "3d", (1, 32, 32, 32, 32), 64, 3, padding=1),
    max_pool("c3d/pool2", (1, 128, 16, 56, 56), 2, 2),

    # U-Net (Ronneberger et al., 2015), DCGAN (Radford et al., 2016)
    transposed("unet/up1", (1, 1024, 16, 16), 512, 2, 2),
    transposed("unet/up2", (1, 512, 32, 32), 256, 2, 2),
    transposed("unet/up4", (1, 128, 128, 128), 64, 2, 2),
    transposed("dcgan/up1", (16, 1024, 4, 4), 512, 4, 2, 1),
    transposed("dcgan/up3", (16, 256, 16, 16), 128, 4, 2, 1),
    transposed("dcgan/up4", (16, 128, 32, 32), 3, 4, 2, 1),

    # DeepLabv3 (Chen et al., 2017)
    conv("deeplabv3/conv5", "dilated", (1, 512, 33, 33), 512, 3, padding=2, dilation=2),
    conv("deeplabv3/aspp12", "dilated", (1, 2048, 33, 33), 256, 3, padding=12, dilation=12),

    # pooling elsewhere: GoogLeNet (Szegedy et al., 2015), Inception-v3 (2016), DenseNet (Huang et al., 2017), YOLOv3
    max_pool("googlenet/pool3a", (1, 192, 28, 28), 3, 1, 1),
    avg_pool("inceptionv3/pool5b", (1, 192, 35, 35), 3, 1, 1),
    avg_pool("densenet121/pool2", (1, 128, 56, 56), 2, 2),
    max_pool("yolov3-spp/pool13", (1, 512, 19, 19), 13, 1, 6),
)
# fmt: on

_AT_BATCH_16 = ("vgg16/conv*_2", "vgg16/conv5", "resnet50/conv?.3x3", "resnet50/conv?.3x3s2", "mobilenetv2/dw*")

PROBLEMS: dict[str, Problem] = {p.name: p for p in _TABLE} | {
    f"{p.name}@16": p.at_batch(16) for p in _TABLE if any(fnmatchcase(p.name, glob) for glob in _AT_BATCH_16)
}

# One of each class, two where its members differ: what a benchmark of a minute or two runs.
SHORT = (
    "lenet5/conv1", "cifar-vgg/conv1", "cifar-resnet18/conv2", "resnet50/conv1", "resnet50/conv2.3x3",
    "resnet50/conv3.3x3s2", "resnet50/conv4.3x3", "resnet50/conv4.1024-256", "mobilenetv2/96-24", "mobilenetv2/dw144",
    "convnext/dw96.7x7", "resnext50/conv3", "m5/conv1", "unet3d/conv2", "dcgan/up3", "deeplabv3/conv5",
    "resnet50/pool1", "vgg16/pool3", "resnet50/pool5",
)  # fmt: skip


def find(name: str) -> Problem:
    """The problem of that name; `name@N` is `name` at batch N (listed or not), `name@small` its scaled form.

    `random/S.I` is drawn: see `drawn.py`.
    """
    if (random := import_module("pyconv.bench.drawn").find(name)) is not None:
        return random
    base, _, variant = name.partition("@")
    if name in PROBLEMS:
        return PROBLEMS[name]
    if base in PROBLEMS and variant == "small":
        return PROBLEMS[base].scaled()
    if base in PROBLEMS and variant.isdecimal() and int(variant) > 0:
        return PROBLEMS[base].at_batch(int(variant))
    raise ValueError(f"problem {name!r} is unknown: `pyconv bench --list` shows the names")


def select(patterns: str) -> list[Problem]:
    """The problems that comma-separated patterns name, each once, in the order named.

    A pattern is a glob of names, a class (a key of `CLASSES`), `short`, or any of these with `@N` or `@small` behind.

    Raises
    ------
    ValueError
        If a pattern matches nothing.
    """
    chosen: dict[str, Problem] = {}
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        base, at, variant = pattern.partition("@")
        names = [name for name in PROBLEMS if fnmatchcase(name, pattern)]
        if not names:
            names = [name + at + variant for name, problem in PROBLEMS.items() if _matches(problem, base)]
        for problem in map(find, names or [pattern]):
            chosen[problem.name] = problem
    if not chosen:
        raise ValueError("problems names no problem: `pyconv bench --list` shows the names")
    return list(chosen.values())


def _matches(problem: Problem, pattern: str) -> bool:
    if "@" in problem.name:
        return False
    if pattern == "short":
        return problem.name in SHORT
    return problem.group == pattern or fnmatchcase(problem.name, pattern)


@lru_cache(maxsize=1)
def scaled() -> tuple[Problem, ...]:
    """Every shape that `Problem.scaled` leaves, once, under the first name that has it."""
    distinct: dict[Problem, Problem] = {}
    for problem in _TABLE:
        small = problem.scaled()
        distinct.setdefault(replace(small, name="", group="", uses=0), small)
    return tuple(distinct.values())
