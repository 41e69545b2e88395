#!/usr/bin/env python3
"""Writes tests/golden/losses.json: what PyTorch makes of the shipped networks, for fovea to be held against.

usage: make_golden.py [FILE]      FILE: default tests/golden/losses.json

Needs Python 3.11, NumPy and PyTorch (CPU). Weights, pixels and labels come from the same counters of Philox as in fovea
(tests/golden/README.md), so nothing but the losses has to be stored.
"""
import hashlib
import itertools
import json
import math
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
DRAW_INIT, DRAW_TEST = 4, 8
PIXELS, LABELS, ULPS = 0, 1, 2  # second word of the counter under DRAW_TEST
STEPS, LONG_STEPS, PERTURBED_RUNS = 10, 100, 8

SGD = {"rule": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
ADAM = {"rule": "adam", "learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0}
NESTEROV = SGD | {"learning_rate": 0.05, "nesterov": True, "weight_decay": 0.0005}
PLAIN = SGD | {"learning_rate": 0.05, "momentum": 0.0}
# The rate of cifar_cnn_adam is 0.0001: at 0.001 PyTorch in f32 and in f64 already differ by 7e-5 after 10 steps.
RUNS = [  # name, model, batch, optimizer, label smoothing
    ("lenet5_sgd", "models/lenet5.toml", 16, SGD, 0.0),
    ("lenet5_adam", "models/lenet5.toml", 16, ADAM, 0.0),
    ("cifar_cnn_sgd", "models/cifar_cnn.toml", 8, SGD, 0.0),
    ("cifar_cnn_adam", "models/cifar_cnn.toml", 8, ADAM | {"learning_rate": 0.0001}, 0.0),
    ("softmax_nesterov", "models/softmax.toml", 16, NESTEROV | {"learning_rate": 0.005}, 0.1),
    ("logistic_sgd", "models/logistic.toml", 16, PLAIN | {"learning_rate": 0.005}, 0.0),
    ("logistic_adam", "models/logistic.toml", 16, ADAM, 0.1),
    ("small_nesterov", "tests/golden/small.toml", 9, NESTEROV, 0.1),
    ("small_adam", "tests/golden/small.toml", 9, ADAM | {"weight_decay": 0.01, "beta1": 0.8, "epsilon": 1e-6}, 0.0),
]
LONG_RUNS = ["lenet5_sgd", "small_nesterov"]


# ---- Philox4x32-10 ----

def philox(seed, draw, c1, blocks):
    """The four words of the counters (draw, c1, block, block >> 32), block = 0 .. blocks - 1, as one array of u32."""
    block = np.arange(blocks, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c = [np.full(blocks, draw, np.uint64), np.full(blocks, c1, np.uint64), block & low, block >> np.uint64(32)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & low, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1).astype(np.uint32).reshape(-1)


def words(seed, draw, c1, count):
    return philox(seed, draw, c1, -(-count // 4))[:count]


def draw_pixels(seed, shape):
    count = math.prod(shape)
    return words(seed, DRAW_TEST, PIXELS, -(-count // 4)).astype("<u4").view(np.uint8)[:count].reshape(shape)


def draw_labels(seed, count, classes):
    return (words(seed, DRAW_TEST, LABELS, count).astype(np.uint64) * np.uint64(classes) >> np.uint64(32)).astype(np.int32)


def draw_uniform(seed, number, shape, bound):
    unit = (words(seed, DRAW_INIT, number, math.prod(shape)) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    return (np.float32(bound) * (np.float32(2) * unit - np.float32(1))).reshape(shape)


def draw_weight(seed, number, shape, init, fan_in, fan_out):
    if isinstance(init, dict):
        return draw_uniform(seed, number, shape, init["uniform"])
    if init == "zeros":
        return np.zeros(shape, np.float32)
    bound = {"kaiming_uniform": 6 / fan_in, "xavier_uniform": 6 / (fan_in + fan_out), "lecun_uniform": 3 / fan_in,
             "pytorch_default": 1 / fan_in}[init]
    return draw_uniform(seed, number, shape, math.sqrt(bound))


# ---- networks: read anew from the text, so that the two readers judge each other ----

def pair(value):
    return value if isinstance(value, list) else [value, value]


def padding_of(layer, size, window, stride):
    """As F.pad takes it: left, right, top, bottom."""
    padding = layer.get("padding", 0)
    if padding == "valid":
        return [0, 0, 0, 0]
    if padding == "same":
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, window, stride)]
        (top, bottom), (left, right) = [(t // 2, t - t // 2) for t in total]
        return [left, right, top, bottom]
    if isinstance(padding, list) and len(padding) == 4:
        return padding[2:] + padding[:2]
    return [pair(padding)[1]] * 2 + [pair(padding)[0]] * 2


class Network:
    """Layers as functions of (x, weights); weights in fovea's order and layouts: filters (k, r, s, c), linear (k, c) on (h, w, c)."""

    def __init__(self, path, seed):
        self.text = tomllib.loads((ROOT / path).read_text())
        self.seed, self.names, self.weights, self.layers, self.counts = seed, [], [], [], {}
        self.input = self.text["input"]
        shape = (1, self.input[2], *self.input[:2])
        for layer in self.text["layers"]:
            kind = next(k for k in ("conv2d", "linear", "max_pool", "avg_pool", "flatten", "activation") if k in layer)
            function = getattr(self, kind)(layer, shape)
            self.layers.append(function)
            if "activation" in layer:
                self.layers.append(lambda x, weights, name=layer["activation"]: getattr(torch, name)(x))
            shape = function(torch.zeros(shape), [torch.from_numpy(w) for w in self.weights]).shape
        self.outputs = shape[1]
        self.binary = self.text.get("loss") == "binary_cross_entropy"

    def named(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}{self.counts[kind]}"

    def add_weights(self, name, layer, shape, fan_in, fan_out):
        """The places of the weight and, where there is one, of the bias."""
        places = []
        for what, dims, key, default in (("weight", shape, "init", "kaiming_uniform"), ("bias", shape[:1], "bias_init", "zeros")):
            if what == "bias" and not layer.get("bias", True):
                continue
            init = layer.get(key, self.text.get(key, default))
            places.append(len(self.weights))
            self.names.append(f"{name}.{what}")
            self.weights.append(draw_weight(self.seed, places[-1], dims, init, fan_in, fan_out))
        return places

    def conv2d(self, layer, shape):
        (r, s), stride, dilation = pair(layer["kernel"]), pair(layer.get("stride", 1)), pair(layer.get("dilation", 1))
        groups = layer.get("groups", 1)
        k, c = layer["conv2d"], shape[1] // groups
        places = self.add_weights(self.named("conv"), layer, (k, r, s, c), r * s * c, r * s * k // groups)
        span = [d * (n - 1) + 1 for d, n in zip(dilation, (r, s))]
        padding = padding_of(layer, shape[2:], span, stride)

        def forward(x, weights):
            bias = weights[places[1]] if len(places) > 1 else None
            return F.conv2d(F.pad(x, padding), weights[places[0]].permute(0, 3, 1, 2), bias, stride, 0, dilation, groups)
        return forward

    def linear(self, layer, shape):
        places = self.add_weights(self.named("linear"), layer, (layer["linear"], shape[1]), shape[1], layer["linear"])
        return lambda x, weights: F.linear(x, weights[places[0]], weights[places[1]] if len(places) > 1 else None)

    def max_pool(self, layer, shape):
        window = pair(layer["max_pool"])
        stride = pair(layer.get("stride", window))
        padding = padding_of(layer, shape[2:], window, stride)
        return lambda x, weights: F.max_pool2d(F.pad(x, padding, value=-math.inf), window, stride)

    def avg_pool(self, layer, shape):
        window = pair(layer["avg_pool"])
        stride = pair(layer.get("stride", window))
        padding = pair(layer.get("padding", 0))
        return lambda x, weights: F.avg_pool2d(x, window, stride, padding, count_include_pad=layer.get("count_padding", False))

    def flatten(self, layer, shape):
        return lambda x, weights: x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)

    def activation(self, layer, shape):
        return lambda x, weights: x

    def losses(self, x, t, weights, smoothing):
        """Of each image."""
        for layer in self.layers:
            x = layer(x, weights)
        if self.binary:
            target = (1 - smoothing) * t.to(x.dtype) + smoothing / 2
            return F.binary_cross_entropy_with_logits(x[:, 0], target, reduction="none")
        return F.cross_entropy(x, t, reduction="none", label_smoothing=smoothing)


# ---- runs ----

def make_optimizer(weights, o):
    f32 = {key: float(np.float32(value)) for key, value in o.items() if isinstance(value, float)}  # as fovea holds them
    if o["rule"] == "sgd":
        return torch.optim.SGD(weights, f32["learning_rate"], f32["momentum"], weight_decay=f32["weight_decay"], nesterov=o["nesterov"])
    return torch.optim.Adam(weights, f32["learning_rate"], (f32["beta1"], f32["beta2"]), f32["epsilon"], f32["weight_decay"])


def normalise(pixels):
    """(x / 255 - 0.5) / 0.5 with one rounding, as fovea's fma, to NCHW."""
    scale, shift = np.float32(1 / (255 * 0.5)), np.float32(-1)
    y = (pixels.astype(np.float64) * np.float64(scale) + np.float64(shift)).astype(np.float32)
    return torch.from_numpy(y).permute(0, 3, 1, 2)


def train(network, data, run, steps, dtype, weights=None):
    """Mean losses before each update, and the norms of the first gradients."""
    x, t = data[0].to(dtype), data[1].long()
    tensors = [torch.from_numpy(w).to(dtype, copy=True).requires_grad_() for w in weights or network.weights]
    optimizer = make_optimizer(tensors, run["optimizer"])
    smoothing = float(np.float32(run["label_smoothing"]))
    means, norms = [], None
    for step in range(steps):
        begin = step * run["batch"] % run["images"]
        batch = slice(begin, begin + run["batch"])
        optimizer.zero_grad()
        losses = network.losses(x[batch], t[batch], tensors, smoothing)
        losses.mean().backward()
        norms = norms or {name: w.grad.double().norm().item() for name, w in zip(network.names, tensors)}
        optimizer.step()
        means.append(losses.detach().double().mean().item())
    return means, norms


def spread(network, data, run):
    """The largest difference of each loss between a run and others, their initial weights moved by one unit in the last place."""
    plain, _ = train(network, data, run, LONG_STEPS, torch.float32)
    largest = np.zeros(LONG_STEPS)
    for attempt in range(PERTURBED_RUNS):
        moved = []
        for number, weight in enumerate(network.weights):
            up = (words(attempt, DRAW_TEST, ULPS + number, weight.size) & np.uint32(1)).reshape(weight.shape)
            moved.append(np.nextafter(weight, np.where(up == 1, np.float32(np.inf), np.float32(-np.inf))))
        losses, _ = train(network, data, run, LONG_STEPS, torch.float32, moved)
        largest = np.maximum(largest, np.abs(np.array(losses) - plain))
    return plain, largest.tolist()


def make_run(name, model, batch, optimizer, smoothing):
    """The run with the first seed that will do."""
    for seed in itertools.count(1):
        if run := try_seed(seed, name, model, batch, optimizer, smoothing):
            return run


def try_seed(seed, name, model, batch, optimizer, smoothing):
    """None for a long run that passes a kink (of a rectifier or a maximum) so closely that f32 and f64 part there: what it would
    measure is luck, not errors."""
    run = {"name": name, "model": model, "seed": seed, "batch": batch, "images": STEPS * batch, "optimizer": optimizer,
           "label_smoothing": smoothing}
    network = Network(model, run["seed"])
    classes = 2 if network.binary else network.outputs
    pixels = draw_pixels(run["seed"], (run["images"], *network.input))
    labels = draw_labels(run["seed"], run["images"], classes)
    data = normalise(pixels), torch.from_numpy(labels)
    run["sha256"] = {"weights": hashlib.sha256(b"".join(w.astype("<f4").tobytes() for w in network.weights)).hexdigest(),
                     "pixels": hashlib.sha256(pixels.tobytes()).hexdigest(),
                     "labels": hashlib.sha256(labels.astype("<i4").tobytes()).hexdigest()}
    run["losses_f32"], _ = train(network, data, run, STEPS, torch.float32)
    run["losses_f64"], run["gradient_norms"] = train(network, data, run, STEPS, torch.float64)
    if name in LONG_RUNS:
        losses, largest = spread(network, data, run)
        exact, _ = train(network, data, run, LONG_STEPS, torch.float64)
        if max(abs(a - b) for a, b in zip(losses, exact)) > 3 * max(largest):
            return None
        run["long"] = {"losses_f32": losses, "spread": largest}
    return run


def main():
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return 2
    torch.set_num_threads(1)
    runs = [make_run(*run) for run in RUNS]
    text = json.dumps({"made_by": f"tools/make_golden.py, PyTorch {torch.__version__.split('+')[0]}", "runs": runs}, indent=1)
    path = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "tests" / "golden" / "losses.json"
    path.write_text(text + "\n")
    for run in runs:
        print(f"{run['name']:18}  loss {run['losses_f64'][0]:.6f} -> {run['losses_f64'][-1]:.6f}  f32 - f64 at most "
              f"{max(abs(a / b - 1) for a, b in zip(run['losses_f32'], run['losses_f64'])):.1e} relative")
    return 0


if __name__ == "__main__":
    sys.exit(main())
