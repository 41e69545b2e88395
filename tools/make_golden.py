#!/usr/bin/env python3
"""Writes what PyTorch computes, for fovea to be held against.

usage: make_golden.py steps [FILE]        training steps of networks; FILE: default tests/golden/losses.json
       make_golden.py operators [FILE]    single operators; FILE: default tests/golden/operators.json

Needs Python 3.11, NumPy and PyTorch (CPU). Weights, pixels and labels of the steps come from the same counters of Philox as in fovea
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

import golden_operators

ROOT = Path(__file__).resolve().parent.parent
DRAW_INIT, DRAW_TEST = 4, 8
PIXELS, LABELS, ULPS = 0, 1, 2  # second word of the counter under DRAW_TEST
STEPS, LONG_STEPS, PERTURBED_RUNS = 10, 100, 8

SGD = {"rule": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
ADAM = {"rule": "adam", "learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0}
ADAMW = ADAM | {"rule": "adamw", "learning_rate": 0.0003, "epsilon": 1e-4, "weight_decay": 0.1}
RMSPROP = {"rule": "rmsprop", "learning_rate": 0.001, "alpha": 0.9, "epsilon": 1e-3, "momentum": 0.5, "weight_decay": 0.01}
NESTEROV = SGD | {"learning_rate": 0.05, "nesterov": True, "weight_decay": 0.0005}
PLAIN = SGD | {"learning_rate": 0.05, "momentum": 0.0}
# The rate of cifar_cnn_adam is 0.0001: at 0.001 PyTorch in f32 and in f64 already differ by 7e-5 after 10 steps.
RUNS = [  # name, model, batch, optimizer, label smoothing; perhaps micro-batches and class weights
    ("lenet5_sgd", "models/lenet5.toml", 16, SGD, 0.0),
    ("lenet5_adam", "models/lenet5.toml", 16, ADAM, 0.0),
    ("cifar_cnn_sgd", "models/cifar_cnn.toml", 8, SGD, 0.0),
    ("cifar_cnn_adam", "models/cifar_cnn.toml", 8, ADAM | {"learning_rate": 0.0001}, 0.0),
    ("softmax_nesterov", "models/softmax.toml", 16, NESTEROV | {"learning_rate": 0.005}, 0.1),
    ("logistic_sgd", "models/logistic.toml", 16, PLAIN | {"learning_rate": 0.005}, 0.0),
    ("logistic_adam", "models/logistic.toml", 16, ADAM, 0.1),
    ("small_nesterov", "tests/golden/small.toml", 9, NESTEROV, 0.1),
    ("small_adam", "tests/golden/small.toml", 9, ADAM | {"weight_decay": 0.01, "beta1": 0.8, "epsilon": 1e-6}, 0.0),
    ("branches_sgd", "tests/golden/branches.toml", 12, SGD | {"learning_rate": 0.05, "weight_decay": 0.0005}, 0.0),
    ("branches_adam", "tests/golden/branches.toml", 12, ADAM | {"learning_rate": 0.0003, "epsilon": 1e-4}, 0.1),
    ("branches_parts", "tests/golden/branches.toml", 12, NESTEROV | {"clip_norm": 0.5}, 0.0, {"micro_batches": 3}),
    ("branches_averaged", "tests/golden/branches.toml", 12, ADAMW | {"ema_decay": 0.25}, 0.1,
     {"class_weights": [0.5, 1.0, 2.0, 0.25, 1.5]}),
    ("small_rmsprop", "tests/golden/small.toml", 9, RMSPROP | {"clip_norm": 0.25}, 0.0),
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
    if init in ("zeros", "ones"):
        return np.full(shape, init == "ones", np.float32)
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


def resolved(value, arguments):
    """`$name`, and products of numbers and names, replaced."""
    if isinstance(value, list):
        return [resolved(one, arguments) for one in value]
    if isinstance(value, dict):
        return {key: resolved(one, arguments) for key, one in value.items()}
    if not isinstance(value, str) or "$" not in value:
        return value
    factors = [arguments[part.strip()[1:]] if "$" in part else int(part) for part in value.split("*")]
    return factors[0] if len(factors) == 1 else math.prod(factors)


def f32(value):
    return float(np.float32(value))  # as fovea holds it


KINDS = {"conv2d": "conv", "depthwise_conv2d": "conv", "linear": "linear", "max_pool": "pool", "avg_pool": "pool",
         "global_avg_pool": "pool", "flatten": "flatten", "add": "add", "concat": "concat", "shortcut": "shortcut",
         "batch_norm": "batch_norm", "activation": "activation"}  # the last two give way to the others
ACTIVATIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "gelu": F.gelu, "silu": F.silu,
               "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}


class Network:
    """Layers as functions of (inputs, weights); weights in fovea's order and layouts: filters (k, r, s, c), linear (k, c) on (h, w, c)."""

    def __init__(self, path, seed):
        self.text = tomllib.loads((ROOT / path).read_text())
        self.seed, self.names, self.weights, self.trained = seed, [], [], []
        self.training = True  # else batch norms normalise with their running statistics
        self.layers = []  # (function, places of its inputs; -1: the images)
        self.input = self.text["input"]
        self.examples = [torch.zeros((2, self.input[2], *self.input[:2]))]  # of each layer's output, behind an image
        self.place(self.text["layers"], {"classes": self.text.get("classes")}, "", -1)
        self.outputs = self.examples[-1].shape[1]
        self.binary = self.text.get("loss") == "binary_cross_entropy"

    def place(self, layers, arguments, prefix, previous):
        """Returns the place of the output of the last one."""
        values, counts = {"input": previous}, {}
        for layer in layers:
            layer = resolved(layer, arguments)
            kind = "block" if "block" in layer else next(k for k in KINDS if k in layer)
            default = layer["block"] if kind == "block" else KINDS[kind]
            counts[default] = counts.get(default, 0) + 1
            name = layer.get("name", f"{default}{counts[default]}")
            if kind in ("add", "concat"):
                joined = layer[kind] if isinstance(layer[kind], list) else [layer[kind]]
                inputs = [previous] * (len(joined) == 1) + [values[one] for one in joined]
            else:
                inputs = [values[layer["from"]] if "from" in layer else previous]
            previous = inputs[0]
            if layer.get("when", True):
                previous = self.open(layer, prefix + name, previous) if kind == "block" else self.add(kind, layer, prefix + name, inputs)
            values[name] = previous
        return previous

    def open(self, use, name, previous):
        block = self.text["block"][use["block"]]
        given = block.get("defaults", {}) | use
        if "repeat" not in use:
            return self.place(block["layers"], given, name + ".", previous)
        for i in range(use["repeat"]):
            previous = self.place(block["layers"], given | (use.get("first", {}) if i == 0 else {}), f"{name}.{i}.", previous)
        return previous

    def add(self, kind, layer, name, inputs):
        example = self.examples[inputs[0] + 1]
        steps = [getattr(self, "add_layer" if kind == "add" else kind)(layer, example.shape, name)]
        norm = layer.get("batch_norm", False)
        if norm is not False:
            channels = steps[0]([self.examples[i + 1] for i in inputs], self.tensors()).shape[1]
            steps.append(self.norm(norm, channels, name if kind == "batch_norm" else name + ".batch_norm"))
        if "activation" in layer:
            steps.append(self.nonlinearity(layer))

        def forward(inputs, weights):
            x = steps[0](inputs, weights)
            for step in steps[1:]:
                x = step(x, weights)
            return x
        self.layers.append((forward, inputs))
        self.examples.append(forward([self.examples[i + 1] for i in inputs], self.tensors()))
        return len(self.layers) - 1

    def tensors(self):
        return [torch.from_numpy(w.copy()) for w in self.weights]

    def add_tensor(self, name, shape, init, fans=(1, 1), trained=True):
        self.names.append(name)
        self.trained.append(trained)
        self.weights.append(draw_weight(self.seed, len(self.weights), shape, init, *fans))
        return len(self.weights) - 1

    def add_weights(self, name, layer, shape, fan_in, fan_out):
        """The places of the weight and, where there is one, of the bias."""
        places = [self.add_tensor(f"{name}.weight", shape, layer.get("init", self.text.get("init", "kaiming_uniform")), (fan_in, fan_out))]
        if layer.get("bias", layer.get("batch_norm", False) is False):
            init = layer.get("bias_init", self.text.get("bias_init", "zeros"))
            places.append(self.add_tensor(f"{name}.bias", shape[:1], init, (fan_in, fan_out)))
        return places

    def norm(self, given, channels, name):
        settings = {"epsilon": 1e-5, "momentum": 0.1, "scale_init": "ones"} | self.text.get("batch_norm", {}) | (given if given is not True else {})
        scale = self.add_tensor(f"{name}.weight", (channels,), settings["scale_init"])
        shift = self.add_tensor(f"{name}.bias", (channels,), "zeros")
        mean = self.add_tensor(f"{name}.running_mean", (channels,), "zeros", trained=False)
        variance = self.add_tensor(f"{name}.running_variance", (channels,), "ones", trained=False)
        return lambda x, weights: F.batch_norm(x, weights[mean], weights[variance], weights[scale], weights[shift], self.training,
                                               f32(settings["momentum"]), f32(settings["epsilon"]))

    def nonlinearity(self, layer):
        if layer["activation"] == "leaky_relu":
            return lambda x, weights: F.leaky_relu(x, f32(layer.get("slope", 0.01)))
        return lambda x, weights: ACTIVATIONS[layer["activation"]](x)

    def conv2d(self, layer, shape, name):
        return self.convolution(layer, shape, name, layer["conv2d"], layer.get("groups", 1))

    def depthwise_conv2d(self, layer, shape, name):
        return self.convolution(layer, shape, name, layer["depthwise_conv2d"] * shape[1], shape[1])

    def convolution(self, layer, shape, name, k, groups):
        (r, s), stride, dilation = pair(layer["kernel"]), pair(layer.get("stride", 1)), pair(layer.get("dilation", 1))
        c = shape[1] // groups
        places = self.add_weights(name, layer, (k, r, s, c), r * s * c, r * s * k // groups)
        span = [d * (n - 1) + 1 for d, n in zip(dilation, (r, s))]
        padding = padding_of(layer, shape[2:], span, stride)

        def forward(inputs, weights):
            bias = weights[places[1]] if len(places) > 1 else None
            return F.conv2d(F.pad(inputs[0], padding), weights[places[0]].permute(0, 3, 1, 2), bias, stride, 0, dilation, groups)
        return forward

    def linear(self, layer, shape, name):
        places = self.add_weights(name, layer, (layer["linear"], shape[1]), shape[1], layer["linear"])
        return lambda inputs, weights: F.linear(inputs[0], weights[places[0]], weights[places[1]] if len(places) > 1 else None)

    def max_pool(self, layer, shape, name):
        window = pair(layer["max_pool"])
        stride, ceil = pair(layer.get("stride", window)), layer.get("rounding") == "ceil"
        padding = padding_of(layer, shape[2:], window, stride)
        return lambda inputs, weights: F.max_pool2d(F.pad(inputs[0], padding, value=-math.inf), window, stride, ceil_mode=ceil)

    def avg_pool(self, layer, shape, name):
        window = pair(layer["avg_pool"])
        stride, ceil = pair(layer.get("stride", window)), layer.get("rounding") == "ceil"
        padding = pair(layer.get("padding", 0))
        return lambda inputs, weights: F.avg_pool2d(inputs[0], window, stride, padding, ceil_mode=ceil,
                                                    count_include_pad=layer.get("count_padding", False))

    def global_avg_pool(self, layer, shape, name):
        return lambda inputs, weights: inputs[0].mean((2, 3))

    def flatten(self, layer, shape, name):
        return lambda inputs, weights: inputs[0].permute(0, 2, 3, 1).reshape(inputs[0].shape[0], -1)

    def batch_norm(self, layer, shape, name):
        return lambda inputs, weights: inputs[0]

    activation = batch_norm

    def add_layer(self, layer, shape, name):
        return lambda inputs, weights: inputs[0] + inputs[1]

    def concat(self, layer, shape, name):
        return lambda inputs, weights: torch.cat(inputs, 1)

    def shortcut(self, layer, shape, name):
        stride, more = layer.get("stride", 1), (layer["shortcut"] - shape[1]) // 2
        return lambda inputs, weights: F.pad(inputs[0][:, :, ::stride, ::stride], [0, 0, 0, 0, more, more])

    def losses(self, x, t, weights, smoothing):
        """Of each image."""
        outputs = [x]
        for function, inputs in self.layers:
            outputs.append(function([outputs[i + 1] for i in inputs], weights))
        x = outputs[-1]
        if self.binary:
            target = (1 - smoothing) * t.to(x.dtype) + smoothing / 2
            return F.binary_cross_entropy_with_logits(x[:, 0], target, reduction="none")
        return F.cross_entropy(x, t, reduction="none", label_smoothing=smoothing)


# ---- runs ----

def make_optimizer(weights, o):
    held = {key: f32(value) for key, value in o.items() if isinstance(value, float)}
    if o["rule"] == "sgd":
        return torch.optim.SGD(weights, held["learning_rate"], held["momentum"], weight_decay=held["weight_decay"], nesterov=o["nesterov"])
    if o["rule"] == "rmsprop":
        return torch.optim.RMSprop(weights, held["learning_rate"], held["alpha"], held["epsilon"], held["weight_decay"], held["momentum"])
    family = torch.optim.AdamW if o["rule"] == "adamw" else torch.optim.Adam
    return family(weights, held["learning_rate"], (held["beta1"], held["beta2"]), held["epsilon"], held["weight_decay"])


def normalise(pixels):
    """(x / 255 - 0.5) / 0.5 with one rounding, as fovea's fma, to NCHW."""
    scale, shift = np.float32(1 / (255 * 0.5)), np.float32(-1)
    y = (pixels.astype(np.float64) * np.float64(scale) + np.float64(shift)).astype(np.float32)
    return torch.from_numpy(y).permute(0, 3, 1, 2)


def train(network, data, run, steps, dtype, weights=None):
    """Mean losses before each update; the norms of the first gradients, and of the running statistics at the end; the mean loss of all
    images in evaluation at the end."""
    x, t = data[0].to(dtype), data[1].long()
    tensors = [torch.from_numpy(w).to(dtype, copy=True).requires_grad_(trained)
               for w, trained in zip(weights or network.weights, network.trained)]
    trained = [w for w in tensors if w.requires_grad]
    optimizer, o = make_optimizer(trained, run["optimizer"]), run["optimizer"]
    averages = [w.detach().clone() for w in trained]
    class_weights = torch.tensor(run.get("class_weights", [1.0] * max(network.outputs, 2)), dtype=dtype)
    smoothing, part = f32(run["label_smoothing"]), run["batch"] // run.get("micro_batches", 1)
    means, norms = [], None
    for step in range(steps):
        first = step * run["batch"] % run["images"]
        optimizer.zero_grad()
        mean = 0
        for begin in range(first, first + run["batch"], part):
            places = slice(begin, begin + part)
            losses = class_weights[t[places]] * network.losses(x[places], t[places], tensors, smoothing)
            (losses.mean() * (part / run["batch"])).backward()
            mean += losses.detach().double().mean().item() * (part / run["batch"])
        norms = norms or {name: w.grad.double().norm().item() for name, w in zip(network.names, tensors) if w.requires_grad}
        if "clip_norm" in o:
            torch.nn.utils.clip_grad_norm_(trained, f32(o["clip_norm"]))
        optimizer.step()
        share = min(f32(o.get("ema_decay", 0.0)), (1 + step) / (10 + step))
        averages = [share * average + (1 - share) * w.detach() for average, w in zip(averages, trained)]
        means.append(mean)
    running = {name: w.double().norm().item() for name, w in zip(network.names, tensors) if not w.requires_grad}
    with torch.no_grad():
        for w, average in zip(trained, averages):
            w.copy_(average)
        network.training = False
        evaluation = network.losses(x, t, tensors, 0.0).double().mean().item()
        network.training = True
    return {"losses": means, "gradient_norms": norms, "running_norms": running, "evaluation": evaluation}


def spread(network, data, run):
    """The largest difference of each loss between a run and others, their initial weights moved by one unit in the last place."""
    plain = train(network, data, run, LONG_STEPS, torch.float32)["losses"]
    largest = np.zeros(LONG_STEPS)
    for attempt in range(PERTURBED_RUNS):
        moved = []
        for number, weight in enumerate(network.weights):
            up = (words(attempt, DRAW_TEST, ULPS + number, weight.size) & np.uint32(1)).reshape(weight.shape)
            moved.append(np.nextafter(weight, np.where(up == 1, np.float32(np.inf), np.float32(-np.inf))))
        losses = train(network, data, run, LONG_STEPS, torch.float32, moved)["losses"]
        largest = np.maximum(largest, np.abs(np.array(losses) - plain))
    return plain, largest.tolist()


def make_run(name, model, batch, optimizer, smoothing, extras=None):
    """The run with the first seed that will do."""
    for seed in itertools.count(1):
        if run := try_seed(seed, name, model, batch, optimizer, smoothing, extras or {}):
            return run


def try_seed(seed, name, model, batch, optimizer, smoothing, extras):
    """None for a long run that passes a kink (of a rectifier or a maximum) so closely that f32 and f64 part there: what it would
    measure is luck, not errors."""
    run = {"name": name, "model": model, "seed": seed, "batch": batch, "images": STEPS * batch, "optimizer": optimizer,
           "label_smoothing": smoothing} | extras
    network = Network(model, run["seed"])
    classes = 2 if network.binary else network.outputs
    pixels = draw_pixels(run["seed"], (run["images"], *network.input))
    labels = draw_labels(run["seed"], run["images"], classes)
    data = normalise(pixels), torch.from_numpy(labels)
    run["sha256"] = {"weights": hashlib.sha256(b"".join(w.astype("<f4").tobytes() for w in network.weights)).hexdigest(),
                     "pixels": hashlib.sha256(pixels.tobytes()).hexdigest(),
                     "labels": hashlib.sha256(labels.astype("<i4").tobytes()).hexdigest()}
    run["losses_f32"] = train(network, data, run, STEPS, torch.float32)["losses"]
    exact = train(network, data, run, STEPS, torch.float64)
    run |= {"losses_f64": exact["losses"], "gradient_norms": exact["gradient_norms"], "evaluation_f64": exact["evaluation"]}
    if exact["running_norms"]:
        run["running_norms"] = exact["running_norms"]
    if name in LONG_RUNS:
        losses, largest = spread(network, data, run)
        exact = train(network, data, run, LONG_STEPS, torch.float64)["losses"]
        if max(abs(a - b) for a, b in zip(losses, exact)) > 3 * max(largest):
            return None
        run["long"] = {"losses_f32": losses, "spread": largest}
    return run


def made_by():
    return f"tools/make_golden.py, PyTorch {torch.__version__.split('+')[0]}"


def write_steps(path):
    runs = [make_run(*run) for run in RUNS]
    path.write_text(json.dumps({"made_by": made_by(), "runs": runs}, indent=1) + "\n")
    for run in runs:
        print(f"{run['name']:18}  loss {run['losses_f64'][0]:.6f} -> {run['losses_f64'][-1]:.6f}  f32 - f64 at most "
              f"{max(abs(a / b - 1) for a, b in zip(run['losses_f32'], run['losses_f64'])):.1e} relative")


def write_operators(path):
    """A line for each case, and for each of its tensors."""
    lines = []
    for case in golden_operators.make_cases():
        tensors = ",\n".join(f"   {json.dumps(name)}: {json.dumps(values)}" for name, values in case.pop("tensors").items())
        lines.append(f"  {json.dumps(case)[:-1]}, \"tensors\": {{\n{tensors}}}}}")
    path.write_text(f'{{"made_by": {json.dumps(made_by())}, "cases": [\n' + ",\n".join(lines) + "\n]}\n")
    print(f"{len(lines)} cases")


def main():
    commands = {"steps": (write_steps, "losses.json"), "operators": (write_operators, "operators.json")}
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in commands:
        print(__doc__)
        return 2
    torch.set_num_threads(1)
    write, name = commands[sys.argv[1]]
    write(Path(sys.argv[2]) if sys.argv[2:] else ROOT / "tests" / "golden" / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
