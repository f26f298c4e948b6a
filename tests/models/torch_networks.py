"""The networks once more in PyTorch, as functions of a state_dict, to hold pyconv's to.

`s` maps torchvision's names to tensors. Written from the papers' tables, with nothing of pyconv in it.
"""

import torch
import torch.nn.functional as T


def conv(s, name, x, stride=1, padding=None):
    weight = s[f"{name}.weight"]
    padding = weight.shape[2] // 2 if padding is None else padding
    return T.conv2d(x, weight, s.get(f"{name}.bias"), stride, padding, 1, x.shape[1] // weight.shape[1])


def norm(s, name, x, eps=1e-5):
    moments = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    return T.batch_norm(x, *moments, s[f"{name}.weight"], s[f"{name}.bias"], eps=eps)


def dense(s, name, x):
    return T.linear(x, s[f"{name}.weight"], s[f"{name}.bias"])


def pooled(x):
    return x.mean((2, 3))


def count(s, prefix):
    """How many numbered parts a prefix has."""
    return 1 + max(int(name[len(prefix) :].partition(".")[0]) for name in s if name.startswith(prefix))


def alexnet(s, x):
    x = T.max_pool2d(T.relu(conv(s, "features.0", x, 4, 2)), 3, 2)
    x = T.max_pool2d(T.relu(conv(s, "features.3", x)), 3, 2)
    for i in (6, 8, 10):
        x = T.relu(conv(s, f"features.{i}", x))
    x = T.adaptive_avg_pool2d(T.max_pool2d(x, 3, 2), 6).flatten(1)
    return dense(s, "classifier.6", T.relu(dense(s, "classifier.4", T.relu(dense(s, "classifier.1", x)))))


def vgg11_bn(s, x):
    for i, shrinks in ((0, 1), (4, 1), (8, 0), (11, 1), (15, 0), (18, 1), (22, 0), (25, 1)):
        x = T.relu(norm(s, f"features.{i + 1}", conv(s, f"features.{i}", x)))
        x = T.max_pool2d(x, 2) if shrinks else x
    x = T.adaptive_avg_pool2d(x, 7).flatten(1)
    return dense(s, "classifier.6", T.relu(dense(s, "classifier.3", T.relu(dense(s, "classifier.0", x)))))


def resnet(s, x):
    x = T.relu(norm(s, "bn1", conv(s, "conv1", x, 2, 3)))
    x = T.max_pool2d(x, 3, 2, 1)
    for stage in range(1, 5):
        for i in range(count(s, f"layer{stage}.")):
            name, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            deep = f"{name}.conv3.weight" in s
            y = T.relu(norm(s, f"{name}.bn1", conv(s, f"{name}.conv1", x, 1 if deep else stride)))
            y = norm(s, f"{name}.bn2", conv(s, f"{name}.conv2", y, stride if deep else 1))
            if deep:
                y = norm(s, f"{name}.bn3", conv(s, f"{name}.conv3", T.relu(y)))
            if f"{name}.downsample.0.weight" in s:
                x = norm(s, f"{name}.downsample.1", conv(s, f"{name}.downsample.0", x, stride))
            x = T.relu(x + y)
    return dense(s, "fc", pooled(x))


def googlenet(s, x):
    def basic(name, x, **options):
        return T.relu(norm(s, f"{name}.bn", conv(s, f"{name}.conv", x, **options), 1e-3))

    def inception(name, x):
        branches = [basic(f"{name}.branch1", x)]
        branches += [basic(f"{name}.branch{i}.1", basic(f"{name}.branch{i}.0", x)) for i in (2, 3)]
        branches.append(basic(f"{name}.branch4.1", T.max_pool2d(x, 3, 1, 1)))
        return torch.cat(branches, 1)

    x = T.max_pool2d(basic("conv1", x, stride=2), 3, 2, ceil_mode=True)
    x = T.max_pool2d(basic("conv3", basic("conv2", x)), 3, 2, ceil_mode=True)
    x = T.max_pool2d(inception("inception3b", inception("inception3a", x)), 3, 2, ceil_mode=True)
    for letter in "abcde":
        x = inception(f"inception4{letter}", x)
    x = T.max_pool2d(x, 2, 2, ceil_mode=True)
    return dense(s, "fc", pooled(inception("inception5b", inception("inception5a", x))))


def densenet121(s, x):
    x = T.relu(norm(s, "features.norm0", conv(s, "features.conv0", x, 2)))
    x = T.max_pool2d(x, 3, 2, 1)
    for block, depth in enumerate((6, 12, 24, 16), start=1):
        for i in range(1, depth + 1):
            name = f"features.denseblock{block}.denselayer{i}"
            y = conv(s, f"{name}.conv1", T.relu(norm(s, f"{name}.norm1", x)))
            x = torch.cat([x, conv(s, f"{name}.conv2", T.relu(norm(s, f"{name}.norm2", y)))], 1)
        if block < 4:
            name = f"features.transition{block}"
            x = T.avg_pool2d(conv(s, f"{name}.conv", T.relu(norm(s, f"{name}.norm", x))), 2)
    return dense(s, "classifier", pooled(T.relu(norm(s, "features.norm5", x))))


def squeezenet1_1(s, x):
    x = T.relu(conv(s, "features.0", x, 2, 0))
    for i in range(2, 13):
        if f"features.{i}.squeeze.weight" not in s:
            x = T.max_pool2d(x, 3, 2, ceil_mode=True)
            continue
        x = T.relu(conv(s, f"features.{i}.squeeze", x))
        x = torch.cat([T.relu(conv(s, f"features.{i}.expand{n}x{n}", x)) for n in (1, 3)], 1)
    return pooled(T.relu(conv(s, "classifier.1", x)))


def mobilenet_v2(s, x):
    def layer(name, x, stride=1):
        return T.relu6(norm(s, f"{name}.1", conv(s, f"{name}.0", x, stride)))

    x = layer("features.0", x, 2)
    for i in range(1, 18):
        name, y = f"features.{i}.conv", x
        first = int(i > 1)
        if first:
            y = layer(f"{name}.0", y)
        y = layer(f"{name}.{first}", y, 2 if i in (2, 4, 7, 14) else 1)
        y = norm(s, f"{name}.{first + 2}", conv(s, f"{name}.{first + 1}", y))
        x = x + y if x.shape == y.shape else y
    return dense(s, "classifier.1", pooled(layer("features.18", x)))


def excite(s, name, x, activation, gate):
    scale = activation(conv(s, f"{name}.fc1", x.mean((2, 3), keepdim=True)))
    return x * gate(conv(s, f"{name}.fc2", scale))


def mobilenet_v3_small(s, x):
    def layer(name, x, stride=1, activation=T.hardswish):
        return activation(norm(s, f"{name}.1", conv(s, f"{name}.0", x, stride), 1e-3))

    x = layer("features.0", x, 2)
    for i in range(1, 12):
        name, y = f"features.{i}.block", x
        activation, parts = T.relu if i < 4 else T.hardswish, count(s, f"features.{i}.block.")
        excites = i not in (2, 3)
        position = 0
        if parts - excites == 3:
            y, position = layer(f"{name}.0", y, activation=activation), 1
        y = layer(f"{name}.{position}", y, 2 if i in (1, 2, 4, 9) else 1, activation)
        if excites:
            y = excite(s, f"{name}.{position + 1}", y, T.relu, T.hardsigmoid)
        y = layer(f"{name}.{parts - 1}", y, activation=lambda y: y)
        x = x + y if x.shape == y.shape else y
    x = pooled(layer("features.12", x))
    return dense(s, "classifier.3", T.hardswish(dense(s, "classifier.0", x)))


def efficientnet_b0(s, x):
    def layer(name, x, stride=1, activation=T.silu):
        return activation(norm(s, f"{name}.1", conv(s, f"{name}.0", x, stride)))

    x = layer("features.0", x, 2)
    for stage in range(1, 8):
        for i in range(count(s, f"features.{stage}.")):
            name, y, position = f"features.{stage}.{i}.block", x, 0
            if stage > 1:
                y, position = layer(f"{name}.0", y), 1
            y = layer(f"{name}.{position}", y, 2 if i == 0 and stage in (2, 3, 4, 6) else 1)
            y = excite(s, f"{name}.{position + 1}", y, T.silu, torch.sigmoid)
            y = layer(f"{name}.{position + 2}", y, activation=lambda y: y)
            x = x + y if x.shape == y.shape else y
    return dense(s, "classifier.1", pooled(layer("features.8", x)))


def shufflenet_v2(s, x):
    def pointwise(name, i, x):
        return T.relu(norm(s, f"{name}.{i + 1}", conv(s, f"{name}.{i}", x)))

    def depthwise(name, i, x, stride):
        return norm(s, f"{name}.{i + 1}", conv(s, f"{name}.{i}", x, stride))

    x = T.max_pool2d(T.relu(norm(s, "conv1.1", conv(s, "conv1.0", x, 2))), 3, 2, 1)
    for stage, depth in ((2, 4), (3, 8), (4, 4)):
        for i in range(depth):
            name, stride = f"stage{stage}.{i}", 1 if i else 2
            left, right = x.chunk(2, 1) if i else (x, x)
            if i == 0:
                left = pointwise(f"{name}.branch1", 2, depthwise(f"{name}.branch1", 0, left, 2))
            right = depthwise(f"{name}.branch2", 3, pointwise(f"{name}.branch2", 0, right), stride)
            right = pointwise(f"{name}.branch2", 5, right)
            x = torch.stack([left, right], 2).flatten(1, 2)  # a channel of each in turn
    return dense(s, "fc", pooled(T.relu(norm(s, "conv5.1", conv(s, "conv5.0", x)))))


def convnext_tiny(s, x):
    def layer_norm(name, x):  # x (N, H, W, C)
        return T.layer_norm(x, x.shape[-1:], s[f"{name}.weight"], s[f"{name}.bias"], 1e-6)

    def first(x):
        return x.permute(0, 3, 1, 2)

    def last(x):
        return x.permute(0, 2, 3, 1)

    x = first(layer_norm("features.0.1", last(conv(s, "features.0.0", x, 4, 0))))
    for stage in range(4):
        for i in range(count(s, f"features.{2 * stage + 1}.")):
            name = f"features.{2 * stage + 1}.{i}"
            y = layer_norm(f"{name}.block.2", last(conv(s, f"{name}.block.0", x)))
            y = dense(s, f"{name}.block.5", T.gelu(dense(s, f"{name}.block.3", y)))
            x = x + s[f"{name}.layer_scale"] * first(y)
        if stage < 3:
            name = f"features.{2 * stage + 2}"
            x = conv(s, f"{name}.1", first(layer_norm(f"{name}.0", last(x))), 2, 0)
    return dense(s, "classifier.2", layer_norm("classifier.0", pooled(x)))
