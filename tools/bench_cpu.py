#!/usr/bin/env python3
"""Measures the training speed of fovea on one thread beside that of PyTorch, in one run, and appends records to a file.

tools/bench_cpu.py --peer PATH --python PYTHON [--only NAME] [--rounds R] [--seconds S] [--core N] [--fovea FILE] [--out FILE]

Both train the same network with Adam on the same batch size, pinned to the same core, one after the other (fovea, PyTorch, fovea,
PyTorch, ...), so that a change of the machine's speed meets both. A value of fovea is the images per second of the second epoch
over random pixels, augmentation, metrics and all; the number of images is chosen so that an epoch takes about S seconds. A value
of PyTorch is what the script PATH prints, called as

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
EXPERIMENTS = [  # experiment, the peer's name for it, model, images, batch
    ("speed/lenet5-b64-1thread", "lenet5-mnist-b64", "lenet5", "28x28x1:10", 64),
    ("speed/lenet5-b1024-1thread", "lenet5-mnist-b1024", "lenet5", "28x28x1:10", 1024),
    ("speed/cifar_cnn-b32-1thread", "cifar_cnn-b32", "cifar_cnn", "32x32x3:10", 32),
    ("speed/cifar_cnn-b1024-1thread", "cifar_cnn-b1024", "cifar_cnn", "32x32x3:10", 1024),
]
FOVEA, PEER = "fovea eigen", "PyTorch eager"
PEER_LINE = r"^torch (\S+) cpu t1 {name} +eager32 +(\d+) img/s "


def output_of(command, core):
    pinned = ["taskset", "-c", str(core), *map(str, command)]
    done = subprocess.run(pinned, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench_cpu: `{' '.join(pinned)}` ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def train(arguments, experiment, images):
    """(images/s of the second epoch, result.json) of a training with so many images."""
    _, _, model, shape, batch = experiment
    with tempfile.TemporaryDirectory() as folder:
        output_of([arguments.fovea, "train", "--model", model, "--data", f"synthetic:{shape}:{images}:{batch}", "--batch", batch,
                   "--epochs", 2, "--optimizer", "adam", "--learning-rate", 0.001, "--backend", "eigen", "--out", folder, "--quiet"],
                  arguments.core)
        with open(Path(folder) / "history.csv", newline="") as file:
            epochs = list(csv.DictReader(file))
        return float(epochs[-1]["images_per_second"]), json.loads((Path(folder) / "result.json").read_text())


def train_peer(arguments, experiment):
    """(images/s, version) of the peer."""
    name = experiment[1]
    text = output_of([arguments.python, arguments.peer, "--device", "cpu", "--threads", 1, "--modes", "eager32", "--only", name,
                      "--seconds", arguments.seconds], arguments.core)
    found = re.search(PEER_LINE.format(name=re.escape(name)), text, re.MULTILINE)
    if not found:
        sys.exit(f"bench_cpu: {arguments.peer} printed no speed for {name}:\n{text}")
    return float(found[2]), found[1]


def images_for(seconds, speed, batch):
    return max(2, round(seconds * speed / batch)) * batch


def measure(arguments, experiment):
    what, _, model, shape, batch = experiment
    speed, _ = train(arguments, experiment, 4 * batch)
    speed, _ = train(arguments, experiment, images_for(arguments.seconds / 4, speed, batch))
    images = images_for(arguments.seconds, speed, batch)
    runs = {FOVEA: [], PEER: []}
    for number in range(arguments.rounds):
        speed, result = train(arguments, experiment, images)
        peer_speed, version = train_peer(arguments, experiment)
        runs[FOVEA].append(speed)
        runs[PEER].append(peer_speed)
        print(f"{what} round {number + 1}: fovea {speed:,.0f}, PyTorch {peer_speed:,.0f} images/s, ratio {speed / peer_speed:.2f}", flush=True)
    configuration = {"model": model, "data": "random pixels (synthetic)", "shape": shape, "images": images, "batch": batch, "threads": 1,
                     "optimizer": "adam", "learning_rate": 0.001, "dtype": "f32", "core": arguments.core,
                     "load_average": round(os.getloadavg()[0], 2)}
    program = {"versions": result["versions"] | {"torch": version}, "commit": result["commit"]}
    line = record.record(what, "images/s", runs, configuration, program)
    ratios = [a / b for a, b in zip(runs[FOVEA], runs[PEER])]
    line["ratio"] = {"of": FOVEA, "to": PEER, "rounds": [round(ratio, 4) for ratio in ratios], "median": round(statistics.median(ratios), 4)}
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, metavar="PATH")
    parser.add_argument("--python", default=sys.executable, help="with PyTorch in it (default: the one that runs this)")
    parser.add_argument("--only", default="", help="part of the name of the experiments to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="that an epoch or the peer's measurement takes")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="(default: the last)")
    parser.add_argument("--fovea", default=str(ROOT / "build" / "fovea"))
    parser.add_argument("--out", default=str(ROOT / "results" / "speed-cpu.jsonl"))
    arguments = parser.parse_args()
    chosen = [experiment for experiment in EXPERIMENTS if arguments.only in experiment[0]]
    if not chosen:
        parser.error(f"no experiment has `{arguments.only}` in its name: {', '.join(name for name, *_ in EXPERIMENTS)}")
    for experiment in chosen:
        line = measure(arguments, experiment)
        record.append(arguments.out, line)
        print(f"{line['experiment']}: median ratio {line['ratio']['median']:.2f}", flush=True)


if __name__ == "__main__":
    main()
