#!/usr/bin/env python3
"""Measures the training speed of fovea beside that of PyTorch, in one run, and appends records to a file.

tools/bench_train.py --peer PATH [--device cpu|cuda] [--python PYTHON] [--only NAME] [--rounds R] [--seconds S] [--core N]
                     [--fovea FILE] [--out FILE]

On cpu the backend eigen stands beside PyTorch on one thread, eager, both pinned to the same core. On cuda the backend cuda stands beside
PyTorch compiled (compile16) and, at its best, with the whole step captured as one CUDA graph (graph16); the ratio is to that.
Both train the same network with Adam on the same batch size, one after the other (fovea, PyTorch, fovea, PyTorch, ...), so that a
change of the machine's speed meets both. A value of fovea is the images per second of the last of its epochs over random pixels,
augmentation, metrics and all; the number of images is chosen so that an epoch takes about S seconds. A value of PyTorch is what the
script PATH prints, called as

  PYTHON PATH --device cpu --threads 1 --modes eager32 --only NAME --seconds S
  torch 2.11.0 cpu t1 lenet5-mnist-b64  eager32  5580 img/s 11.47 ms/step  peak 0 MiB

Needs taskset. The exit code is 0 when all was measured; 1 with a message when a run failed.
"""
import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import record

ROOT = Path(__file__).resolve().parent.parent
WORK = [  # name, the peer's name for it, model, images, batch
    ("lenet5-b64", "lenet5-mnist-b64", "lenet5", "28x28x1:10", 64),
    ("lenet5-b1024", "lenet5-mnist-b1024", "lenet5", "28x28x1:10", 1024),
    ("cifar_cnn-b32", "cifar_cnn-b32", "cifar_cnn", "32x32x3:10", 32),
    ("cifar_cnn-b1024", "cifar_cnn-b1024", "cifar_cnn", "32x32x3:10", 1024),
]
DEVICES = {  # backend, what the peer is called with, its modes (the last one is its best), how an experiment is called
    "cpu": ("eigen", ["--device", "cpu", "--threads", 1], ["eager32"], "speed/{}-1thread"),
    "cuda": ("cuda", ["--device", "cuda"], ["compile16", "graph16"], "speed/{}-cuda"),
}
PEER_LINE = r"^torch (\S+) {device} t\d+ {name} +{mode} +(\d+) img/s "
MOST_IMAGES = 262144  # of random pixels, drawn anew by every run


def output_of(command, core):
    pinned = [*(["taskset", "-c", str(core)] if core is not None else []), *map(str, command)]
    done = subprocess.run(pinned, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench_train: `{' '.join(pinned)}` ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def train(arguments, work, images):
    """(images/s of the last epoch, result.json) of a training with so many images."""
    _, _, model, shape, batch = work
    with tempfile.TemporaryDirectory() as folder:
        output_of([arguments.fovea, "train", "--model", model, "--data", f"synthetic:{shape}:{images}:{batch}", "--batch", batch,
                   "--epochs", 2 if arguments.device == "cpu" else 4, "--optimizer", "adam", "--learning-rate", 0.001,
                   "--backend", DEVICES[arguments.device][0], "--out", folder, "--quiet"], arguments.core)
        with open(Path(folder) / "history.csv", newline="") as file:
            epochs = list(csv.DictReader(file))
        return float(epochs[-1]["images_per_second"]), json.loads((Path(folder) / "result.json").read_text())


def train_peer(arguments, work, mode):
    """(images/s, version) of the peer."""
    name = work[1]
    command = [arguments.python, arguments.peer, *DEVICES[arguments.device][1], "--modes", mode, "--only", name, "--seconds", arguments.seconds]
    text = output_of(command, arguments.core)
    found = re.search(PEER_LINE.format(device=arguments.device, name=re.escape(name), mode=mode), text, re.MULTILINE)
    if not found:
        sys.exit(f"bench_train: {arguments.peer} printed no speed for {name}, {mode}:\n{text}")
    return float(found[2]), found[1]


def images_for(seconds, speed, batch):
    return min(max(2, round(seconds * speed / batch)), MOST_IMAGES // batch) * batch


def measure(arguments, work):
    name, _, model, shape, batch = work
    backend, _, modes, called = DEVICES[arguments.device]
    speed, _ = train(arguments, work, 4 * batch)
    speed, _ = train(arguments, work, images_for(arguments.seconds / 4, speed, batch))
    images = images_for(arguments.seconds, speed, batch)
    fovea, peers = f"fovea {backend}", {mode: f"PyTorch {mode}" for mode in modes}
    runs = {label: [] for label in [fovea, *peers.values()]}
    for number in range(arguments.rounds):
        speed, result = train(arguments, work, images)
        runs[fovea].append(speed)
        for mode in modes:
            peer_speed, version = train_peer(arguments, work, mode)
            runs[peers[mode]].append(peer_speed)
        print(f"{name} round {number + 1}: " + ", ".join(f"{label} {values[-1]:,.0f}" for label, values in runs.items()) + " images/s", flush=True)
    configuration = {"model": model, "data": "random pixels (synthetic)", "shape": shape, "images": images, "batch": batch,
                     "threads": result["threads"], "optimizer": "adam", "learning_rate": 0.001, "dtype": "f32", "core": arguments.core,
                     "launches_per_step": result["launches_per_step"], "load_average": round(os.getloadavg()[0], 2)}
    line = record.record(called.format(name), "images/s", runs, configuration,
                         {"versions": result["versions"] | {"torch": version}, "commit": result["commit"]})
    if arguments.device == "cuda":
        line["machine"] = result["machine"]
    best = peers[modes[-1]]
    ratios = [a / b for a, b in zip(runs[fovea], runs[best])]
    line["ratio"] = {"of": fovea, "to": best, "rounds": [round(ratio, 4) for ratio in ratios], "median": round(statistics.median(ratios), 4)}
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, metavar="PATH")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--python", default=sys.executable, help="with PyTorch in it (default: the one that runs this)")
    parser.add_argument("--only", default="", help="part of the name of the experiments to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="that an epoch or the peer's measurement takes")
    parser.add_argument("--core", type=int, default=None, help="(default: the last one; on cuda, none)")
    parser.add_argument("--fovea", default=str(ROOT / "build" / "fovea"))
    parser.add_argument("--out", default="", help="(default: results/speed-DEVICE.jsonl)")
    arguments = parser.parse_args()
    arguments.out = arguments.out or str(ROOT / "results" / f"speed-{arguments.device}.jsonl")
    if arguments.device == "cpu" and arguments.core is None:
        arguments.core = max(os.sched_getaffinity(0))
    chosen = [work for work in WORK if arguments.only in work[0]]
    if not chosen:
        parser.error(f"nothing has `{arguments.only}` in its name: {', '.join(name for name, *_ in WORK)}")
    for work in chosen:
        line = measure(arguments, work)
        record.append(arguments.out, line)
        print(f"{line['experiment']}: median ratio {line['ratio']['median']:.2f}", flush=True)


if __name__ == "__main__":
    main()
