#!/usr/bin/env python3
"""Measures the convolutions of fovea beside the fastest engines that cuDNN finds, layer by layer and direction by direction, and appends records.

tools/bench_conv.py [--python PYTHON] [--precision bf16] [--only NAME] [--rounds R] [--fovea FILE] [--out FILE]

The layers are those with windows of 3 x 3 of resnet18 (batch 256) and cats_dogs (batch 128), each once. In each round all layers are
measured by `fovea bench op --backend cuda`, then by PyTorch, channels last, with torch.backends.cudnn.benchmark on, which times the engines and
keeps the best. The ratio of a layer and direction is the time of cuDNN over that of fovea.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import record

ROOT = Path(__file__).resolve().parent.parent
LAYERS = [  # name, n, h and w, c, k, stride; windows of 3 x 3, padding of 1
    ("resnet18-56px-64to64", 256, 56, 64, 64, 1),
    ("resnet18-56px-64to128-stride2", 256, 56, 64, 128, 2),
    ("resnet18-28px-128to128", 256, 28, 128, 128, 1),
    ("resnet18-28px-128to256-stride2", 256, 28, 128, 256, 2),
    ("resnet18-14px-256to256", 256, 14, 256, 256, 1),
    ("resnet18-14px-256to512-stride2", 256, 14, 256, 512, 2),
    ("resnet18-7px-512to512", 256, 7, 512, 512, 1),
    ("cats_dogs-256px-3to32", 128, 256, 3, 32, 1),
    ("cats_dogs-256px-32to32", 128, 256, 32, 32, 1),
    ("cats_dogs-128px-32to64", 128, 128, 32, 64, 1),
    ("cats_dogs-128px-64to64", 128, 128, 64, 64, 1),
    ("cats_dogs-64px-64to128", 128, 64, 64, 128, 1),
    ("cats_dogs-64px-128to128", 128, 64, 128, 128, 1),
    ("cats_dogs-32px-128to256", 128, 32, 128, 256, 1),
    ("cats_dogs-32px-256to256", 128, 32, 256, 256, 1),
    ("cats_dogs-10px-256to512", 128, 10, 256, 512, 1),
    ("cats_dogs-10px-512to512", 128, 10, 512, 512, 1),
]
DIRECTIONS = {"forward": "FWD_D", "data": "BWD_D", "filter": "BWD_W"}
PEER = """
import json, sys, torch
layers, dtype = json.loads(sys.argv[1]), {"bf16": torch.bfloat16, "fp16": torch.float16}[sys.argv[2]]
torch.backends.cudnn.benchmark = True
def microseconds(run):
    for _ in range(5): run()
    times = []
    for _ in range(7):
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        for _ in range(10): run()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) * 100)
    return sorted(times)[3]
for name, n, size, c, k, stride in layers:
    x = torch.randn(n, c, size, size, device="cuda").to(dtype).to(memory_format=torch.channels_last)
    w = torch.randn(k, c, 3, 3, device="cuda").to(dtype).to(memory_format=torch.channels_last)
    y = torch.nn.functional.conv2d(x, w, stride=stride, padding=1)
    dy = torch.randn_like(y)
    def backward(mask):
        return torch.ops.aten.convolution_backward(dy, x, w, None, [stride, stride], [1, 1], [1, 1], False, [0, 0], 1, mask)
    print(json.dumps({"name": name, "forward": microseconds(lambda: torch.nn.functional.conv2d(x, w, stride=stride, padding=1)),
                      "data": microseconds(lambda: backward([True, False, False])),
                      "filter": microseconds(lambda: backward([False, True, False])),
                      "torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}), flush=True)
"""


def problem(direction, layer):
    _, n, size, c, k, stride = layer
    output = (size - 1) // stride + 1
    return f"--dir={DIRECTIONS[direction]} mb{n}ic{c}ih{size}iw{size}oc{k}oh{output}ow{output}kh3kw3sh{stride}sw{stride}ph1pw1"


def output_of(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench_conv: `{' '.join(map(str, command))[:200]}` ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def directions_of(layer):
    return [direction for direction in DIRECTIONS if direction != "data" or layer[3] > 3]  # nobody asks for the gradient by the pixels


def measure_fovea(arguments, layers):
    asked = [(layer, direction) for layer in layers for direction in directions_of(layer)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "op.jsonl"
        output_of([arguments.fovea, "bench", "op", "--backend", "cuda", "--precision", arguments.precision, "--seconds", 0.05, "--json", file,
                   *[f"--case={problem(direction, layer)}" for layer, direction in asked]])
        lines = [json.loads(line) for line in file.read_text().splitlines()]
    if len(lines) != len(asked):
        sys.exit(f"bench_conv: asked for {len(asked)} measurements, got {len(lines)}")
    return {(layer[0], direction): line for (layer, direction), line in zip(asked, lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="with PyTorch for CUDA")
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp16"])
    parser.add_argument("--only", default="", help="layers whose names hold this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fovea", default=str(ROOT / "build" / "fovea"))
    parser.add_argument("--out", default=str(ROOT / "results" / "conv-cuda.jsonl"))
    arguments = parser.parse_args()
    layers = [layer for layer in LAYERS if arguments.only in layer[0]]
    ours, theirs, versions, program = {}, {}, {}, None
    for _ in range(arguments.rounds):
        for key, line in measure_fovea(arguments, layers).items():
            ours.setdefault(key, []).append(next(iter(line["median"].values())))
            program = line
            versions[key] = line["configuration"]["algorithm"]
        for line in map(json.loads, output_of([arguments.python, "-c", PEER, json.dumps(layers), arguments.precision]).splitlines()):
            peer = f"cuDNN {line['cudnn']} by PyTorch {line['torch']}"
            for direction in DIRECTIONS:
                theirs.setdefault((line["name"], direction), []).append(line[direction])
    ratios = []
    for layer in layers:
        for direction in directions_of(layer):
            key = (layer[0], direction)
            shares = [round(peer_time / time, 4) for time, peer_time in zip(ours[key], theirs[key])]
            ratios.append(statistics.median(shares))
            line = record.record(f"conv/{layer[0]}/{direction}-{arguments.precision}", "us", {"fovea cuda": ours[key], peer: theirs[key]},
                                 {"problem": problem(direction, layer), "precision": arguments.precision, "algorithm": versions[key]}, program)
            line["machine"] = program["machine"]
            line["ratio"] = {"of": peer, "to": "fovea cuda", "rounds": shares, "median": ratios[-1]}
            record.append(arguments.out, line)
            print(f"{layer[0]:34s} {direction:8s} {line['median']['fovea cuda']:9.1f} us, cuDNN {line['median'][peer]:9.1f} us: {ratios[-1]:.2f}")
    print(f"median {statistics.median(ratios):.2f}, least {min(ratios):.2f} of {len(ratios)}")


if __name__ == "__main__":
    main()
