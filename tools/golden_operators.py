"""The cases of tests/golden/operators.json: single operators as PyTorch computes them, in f64, in fovea's layouts.

Inputs are small whole numbers, or multiples of 1/16, so that f32 holds them too; constants such as epsilon are those that f32 holds.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F


def f32(value):
    return float(np.float32(value))


class Draw:
    """Whole numbers from -bound to bound, over `per`; another sequence for each case."""

    def __init__(self, name):
        self.random = np.random.default_rng(list(name.encode()))

    def __call__(self, *shape, bound=4, per=1):
        return torch.from_numpy(self.random.integers(-bound, bound + 1, shape).astype(np.float64) / per)


def leaf(tensor):
    return tensor.clone().requires_grad_()


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def case(name, op, numbers, **tensors):
    flat = {key: [shortest(v) for v in value.detach().to(torch.float64).reshape(-1).tolist()] for key, value in tensors.items()}
    return {"name": name, "op": op} | numbers | {"tensors": flat}


def shortest(value):
    return int(value) if value.is_integer() else value


# ---- convolution and pooling ----

def window(kernel, stride, padding, dilation):
    top, bottom, left, right = padding
    return {"r": kernel[0], "s": kernel[1], "stride_h": stride[0], "stride_w": stride[1], "pad_top": top, "pad_bottom": bottom,
            "pad_left": left, "pad_right": right, "dilation_h": dilation[0], "dilation_w": dilation[1]}


def conv2d(name, image, k, kernel, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1, ones=False):
    draw = Draw(name)
    n, h, w, c = image
    x, filters = leaf(draw(n, h, w, c)), leaf(draw(k, *kernel, c // groups))
    if ones:
        x, filters = leaf(torch.ones_like(x)), leaf(torch.ones_like(filters))
    top, bottom, left, right = padding
    y = nhwc(F.conv2d(F.pad(nchw(x), (left, right, top, bottom)), filters.permute(0, 3, 1, 2), None, stride, 0, dilation, groups))
    dy = torch.ones_like(y) if ones else draw(*y.shape)
    y.backward(dy)
    numbers = dict(zip("nhwc", image)) | {"k": k, "groups": groups} | window(kernel, stride, padding, dilation)
    return case(name, "conv2d", numbers, x=x, w=filters, dy=dy, y=y, dx=x.grad, dw=filters.grad)


def pool(name, kind, image, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil=False, counted=False):
    draw = Draw(name)
    n, h, w, c = image
    # Different values for the maximum, so that it has one place.
    x = leaf(torch.from_numpy(draw.random.permutation(n * h * w * c).astype(np.float64).reshape(image)) if kind == "max" else
             draw(*image, bound=40))
    extra = {}
    if kind == "max":
        y, index = F.max_pool2d(nchw(x), kernel, stride, padding, dilation, ceil, return_indices=True)
        extra["argmax"] = nhwc(places(index, w, kernel, stride, padding, dilation))
    else:
        y = F.avg_pool2d(nchw(x), kernel, stride, padding, ceil, counted)
    y = nhwc(y)
    dy = draw(*y.shape)
    y.backward(dy)
    numbers = dict(zip("nhwc", image)) | window(kernel, stride, (padding[0],) * 2 + (padding[1],) * 2, dilation)
    numbers |= {"p": y.shape[1], "q": y.shape[2], "ceil": ceil, "counted": counted}
    return case(name, f"{kind}_pool", numbers, x=x, dy=dy, y=y, dx=x.grad, **extra)


def places(index, w, kernel, stride, padding, dilation):
    """The place within its window of each maximum, which PyTorch gives as a place within the image."""
    p, q = torch.arange(index.shape[2])[:, None], torch.arange(index.shape[3])
    r = (torch.div(index, w, rounding_mode="floor") - p * stride[0] + padding[0]) // dilation[0]
    s = (index % w - q * stride[1] + padding[1]) // dilation[1]
    return r * kernel[1] + s


def convolutions():
    same = (1, 1, 1, 1)
    return [
        conv2d("groups", (2, 5, 4, 4), 6, (3, 3), padding=same, groups=2),
        conv2d("groups strided", (1, 7, 6, 6), 3, (3, 2), (2, 3), (1, 0, 0, 1), groups=3),
        conv2d("depthwise", (2, 5, 5, 5), 5, (3, 3), padding=same, groups=5),
        conv2d("depthwise strided", (2, 6, 7, 3), 3, (3, 3), (2, 2), same, groups=3),
        conv2d("depthwise of 24 channels", (1, 6, 6, 24), 24, (3, 3), (2, 2), same, groups=24, ones=True),
        conv2d("depthwise with two filters a channel", (1, 5, 4, 3), 6, (3, 3), padding=same, groups=3),
        conv2d("depthwise dilated", (1, 7, 8, 2), 2, (3, 3), (1, 2), (2, 2, 1, 3), (2, 3), groups=2),
        conv2d("dilated by one axis", (1, 8, 5, 2), 3, (3, 2), dilation=(3, 1)),
        conv2d("dilated by the other axis", (1, 5, 8, 2), 3, (2, 3), dilation=(1, 3)),
        conv2d("dilated and strided", (2, 9, 8, 2), 3, (3, 2), (2, 3), (2, 1, 0, 2), (2, 3)),
        conv2d("dilated groups", (1, 7, 7, 4), 4, (3, 3), padding=(2, 2, 2, 2), dilation=(2, 2), groups=2),
        conv2d("stride larger than the kernel", (2, 8, 9, 2), 3, (2, 2), (3, 4)),
        conv2d("stride larger than a kernel of one", (1, 5, 7, 3), 2, (1, 1), (2, 3)),
        conv2d("image of one pixel", (3, 1, 1, 4), 3, (3, 3), padding=same),
        conv2d("image and kernel of one pixel", (3, 1, 1, 4), 5, (1, 1)),
        conv2d("depthwise on one pixel", (2, 1, 1, 3), 3, (3, 3), (2, 2), same, groups=3),
    ]


def pools():
    two, three = (2, 2), (3, 3)
    return [
        pool("mean", "avg", (2, 5, 6, 2), three, two, (1, 1)),
        pool("mean counted", "avg", (2, 5, 6, 2), three, two, (1, 1), counted=True),
        pool("mean ceil", "avg", (1, 6, 7, 2), three, two, (1, 1), ceil=True),
        pool("mean ceil counted", "avg", (1, 6, 7, 2), three, two, (1, 1), ceil=True, counted=True),
        pool("mean ceil without padding", "avg", (1, 5, 7, 1), two, two, ceil=True),
        pool("mean ceil counted without padding", "avg", (1, 7, 7, 1), two, three, ceil=True, counted=True),
        pool("mean without a window beyond the image", "avg", (1, 5, 5, 2), two, (4, 4), (1, 1), ceil=True, counted=True),
        pool("mean with a stride larger than the window", "avg", (1, 7, 8, 2), two, (3, 4)),
        pool("mean of one pixel", "avg", (2, 1, 1, 3), two, two, ceil=True, counted=True),
        pool("mean of the whole image", "avg", (2, 4, 3, 3), (4, 3), (1, 1)),
        pool("maximum ceil", "max", (2, 6, 7, 2), three, two, (1, 1), ceil=True),
        pool("maximum dilated by one axis", "max", (1, 8, 7, 2), (3, 2), (2, 1), (1, 0), (3, 1)),
        pool("maximum dilated by the other axis", "max", (1, 7, 9, 2), (2, 3), (1, 2), (0, 1), (1, 3), ceil=True),
        pool("maximum with a stride larger than the window", "max", (1, 8, 9, 1), two, (3, 4), ceil=True),
        pool("maximum of one pixel", "max", (2, 1, 1, 3), two, two, ceil=True),
    ]


# ---- batch norm, activations, losses ----

def batch_norm(name, image, epsilon=1e-5, momentum=0.1):
    """`unbias` is what fovea's Update is given: rows such that f32 holds it exactly."""
    draw = Draw(name)
    c, rows = image[3], math.prod(image[:3])
    epsilon, momentum = f32(epsilon), f32(momentum)
    x, scale, shift = leaf(draw(*image, bound=40, per=16)), leaf(draw(c, bound=20, per=16)), leaf(draw(c, per=16))
    mean_before, variance_before = draw(c, per=16), draw(c, per=16).abs() + 0.25
    running_mean, running_variance = mean_before.clone(), variance_before.clone()
    y = nhwc(F.batch_norm(nchw(x), running_mean, running_variance, scale, shift, True, momentum, epsilon))
    dy = draw(*image, bound=20, per=16)
    y.backward(dy)
    inference = nhwc(F.batch_norm(nchw(x), running_mean, running_variance, scale, shift, False, momentum, epsilon))
    unbias = rows / (rows - 1)
    assert f32(unbias) == unbias
    flat = x.detach().reshape(rows, c)
    numbers = {"rows": rows, "c": c, "epsilon": epsilon, "momentum": momentum, "unbias": unbias}
    return case(name, "batch_norm", numbers, x=x, scale=scale, shift=shift, dy=dy, y=y, mean=flat.mean(0),
                variance=flat.var(0, unbiased=False), dx=x.grad, dscale=scale.grad, dshift=shift.grad, mean_before=mean_before,
                variance_before=variance_before, mean_after=running_mean, variance_after=running_variance, inference=inference)


def activation(name, function, slope=0.0):
    values = [-30, -6, -4, -2.5, -1, -0.5, -0.0625, 0, 0.0625, 0.5, 1, 2.5, 4, 6, 30]
    x = leaf(torch.tensor(values, dtype=torch.float64))
    dy = Draw(name)(len(values), per=4) + 1.125
    y = function(x)
    y.backward(dy)
    return case(name, "activation", {"activation": name.split()[0], "slope": slope}, x=x, dy=dy, y=y, dx=x.grad)


def activations():
    slopes = [f32(0.01), 0.25]
    return [activation(f"leaky_relu {i}", lambda x, slope=slope: F.leaky_relu(x, slope), slope) for i, slope in enumerate(slopes)] + [
        activation("gelu", F.gelu),
        activation("gelu_tanh", lambda x: F.gelu(x, approximate="tanh")),
        activation("silu", F.silu),
    ]


def weighted_loss(name, weights, smoothing):
    """Each image's loss times the weight of its label, as PyTorch weighs without a reduction; the mean divides by the batch.
    PyTorch's own weighted mean divides by the sum of the weights instead: `pytorch_mean`."""
    draw = Draw(name)
    binary = len(weights) == 2
    n, k = 6, 1 if binary else len(weights)
    x, t = leaf(draw(n, k, bound=40, per=16)), torch.from_numpy(draw.random.permutation(n)) % len(weights)
    per_class = torch.tensor(weights, dtype=torch.float64)
    if binary:
        target = (1 - smoothing) * t.double() + smoothing / 2
        losses = F.binary_cross_entropy_with_logits(x[:, 0], target, per_class[t], reduction="none")
    elif smoothing > 0:  # PyTorch would weigh each term of a smoothed target by its own class
        losses = per_class[t] * F.cross_entropy(x, t, reduction="none", label_smoothing=smoothing)
    else:
        losses = F.cross_entropy(x, t, per_class, reduction="none")
    losses.mean().backward()
    numbers = {"n": n, "k": k, "smoothing": smoothing, "weights": weights, "mean": losses.mean().item(),
               "pytorch_mean": (losses.sum() / per_class[t].sum()).item()}
    if not binary and smoothing == 0:
        assert abs(F.cross_entropy(x, t, per_class).item() - numbers["pytorch_mean"]) < 1e-15
    return case(name, "weighted_loss", numbers, x=x, t=t, losses=losses, dx=x.grad)


# ---- updates ----

def update(name, rule, decay=0.0, clip=0.0, ema=0.0, steps=3):
    """Two parameters, the second with half the rate and no decay; the state before and after each step."""
    draw = Draw(name)
    rate, decay, clip, ema = f32(0.05), f32(decay), f32(clip), f32(ema)
    constants = {key: f32(value) if isinstance(value, float) else value for key, value in rule.items()}
    kind = constants.pop("rule")
    weights = [leaf(draw(5, bound=20, per=16)), leaf(draw(3, bound=20, per=16))]
    groups = [{"params": [weights[0]], "lr": rate, "weight_decay": decay}, {"params": [weights[1]], "lr": rate / 2, "weight_decay": 0.0}]
    optimizer = make_optimizer(kind, constants, groups, rate)
    moments = {"sgd": ["momentum_buffer"], "adam": ["exp_avg", "exp_avg_sq"], "adamw": ["exp_avg", "exp_avg_sq"],
               "rmsprop": ["square_avg", "momentum_buffer"]}[kind]
    averages = [w.detach().clone() for w in weights]
    tensors, last = {}, state_of(optimizer, weights, moments, averages, ema)
    for step in range(steps):
        for i, w in enumerate(weights):
            w.grad = draw(*w.shape, bound=20, per=16)
            tensors[f"dw{step}.{i}"] = w.grad.clone()
        tensors |= {f"before{step}.{key}": value for key, value in last.items()}
        if clip > 0:
            tensors[f"norm{step}"] = torch.nn.utils.clip_grad_norm_(weights, clip).reshape(1)
        optimizer.step()
        share = min(ema, (1 + step) / (10 + step))
        averages = [share * average + (1 - share) * w.detach() for average, w in zip(averages, weights)]
        last = state_of(optimizer, weights, moments, averages, ema)
        tensors |= {f"after{step}.{key}": value for key, value in last.items()}
    numbers = {"rule": kind} | constants | {"rate": rate, "decay": decay, "clip": clip, "ema": ema, "steps": steps}
    return case(name, "update", numbers, **tensors)


def make_optimizer(kind, constants, groups, rate):
    if kind == "sgd":
        return torch.optim.SGD(groups, rate, constants["momentum"], nesterov=constants["nesterov"])
    if kind == "rmsprop":
        return torch.optim.RMSprop(groups, rate, constants["alpha"], constants["epsilon"], momentum=constants["momentum"])
    family = torch.optim.AdamW if kind == "adamw" else torch.optim.Adam
    return family(groups, rate, (constants["beta1"], constants["beta2"]), constants["epsilon"])


def state_of(optimizer, weights, moments, averages, ema):
    """Weights, moments and averages by name and parameter, moments that are not there yet as zeros."""
    state = {f"w.{i}": w.detach().clone() for i, w in enumerate(weights)}
    for number, moment in enumerate(moments):
        if moment == "momentum_buffer" and optimizer.param_groups[0]["momentum"] == 0:
            continue
        for i, w in enumerate(weights):
            value = optimizer.state[w].get(moment)
            state[f"moment{number + 1}.{i}"] = torch.zeros_like(w) if value is None else value.detach().clone()
    if ema > 0:
        state |= {f"average.{i}": average for i, average in enumerate(averages)}
    return state


def updates():
    sgd, nesterov = {"rule": "sgd", "momentum": 0.9, "nesterov": False}, {"rule": "sgd", "momentum": 0.9, "nesterov": True}
    adam = {"rule": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    rms = {"rule": "rmsprop", "alpha": 0.9, "epsilon": 1e-3, "momentum": 0.0}
    return [
        update("adamw", adam | {"rule": "adamw"}, decay=0.1),
        update("adamw of other constants", {"rule": "adamw", "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}, decay=0.5, clip=1.0),
        update("rmsprop", rms, decay=0.1),
        update("rmsprop with momentum", rms | {"momentum": 0.5}, decay=0.1, clip=1.0),
        update("adam clipped", adam, decay=0.1, clip=0.5),
        update("adam hardly clipped", adam, clip=100.0),
        update("sgd clipped", sgd, decay=0.1, clip=0.5),
        update("nesterov clipped and averaged", nesterov, decay=0.1, clip=0.5, ema=0.05),
        update("adam averaged", adam, ema=0.999),
    ]


def make_cases():
    norms = [
        batch_norm("norm of nine rows", (1, 3, 3, 3)),
        batch_norm("norm of other constants", (5, 1, 1, 2), epsilon=1e-3, momentum=0.9),
        batch_norm("norm of two rows", (2, 1, 1, 4), momentum=0.5),
        batch_norm("norm of one image", (1, 1, 5, 2)),
    ]
    losses = [
        weighted_loss("classes", [0.25, 2.5, 0.0, 1.0], 0.0),
        weighted_loss("classes smoothed", [0.25, 2.0, 0.5], 0.125),
        weighted_loss("two classes", [1.0, 0.125], 0.0),
        weighted_loss("two classes smoothed", [0.5, 3.0], 0.25),
    ]
    return convolutions() + pools() + norms + activations() + losses + updates()
