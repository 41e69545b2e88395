#!/usr/bin/env python3
"""Measures the training speed of fovea beside that of PyTorch, in one run, and appends records to a file.

tools/bench_train.py --peer PATH --backend eigen|openmp|onednn|cuda [--threads 1,2,4] [--precision fp32,bf16] [--python PYTHON]
                     [--only NAME] [--all] [--best] [--across] [--rounds R] [--seconds S] [--fovea FILE] [--out FILE]

A CPU backend stands beside PyTorch, eager, in the same precision (bf16 by autocast), on the same number of threads, both pinned to the
same cores. On cuda fovea stands beside PyTorch compiled (compile16) and, at its best, with the whole step captured as one CUDA graph
(graph16). The ratio is to that, and of fovea as it is or, with --across, with the faster of `cuda` and `cudnn` for each step if that is
faster: what is measured to choose them is measured once and handed to the other runs.
Both train the same network with Adam on the same batch size, one after the other (fovea, PyTorch, fovea, PyTorch, ...), so that a
change of the machine's speed meets both. A value of fovea is the images per second of the last of its epochs over random pixels,
augmentation, metrics and all; the number of images is chosen so that an epoch takes about S seconds. Memory is what a training takes, the
images of the data set not counted: PyTorch has only one batch of them. A value of PyTorch is what the script PATH prints, called as

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
LARGE = {
    "cpu": [
        ("resnet18-b32", "resnet18-224px-b32", "resnet18", "224x224x3:10", 32),
        ("cats_dogs-b16", "cats_dogs-256px-b16", "cats_dogs", "256x256x3:2", 16),
    ],
    "cuda": [
        ("cats_dogs-b128", "cats_dogs-256px-b128", "cats_dogs", "256x256x3:2", 128),
        ("resnet18-b256", "resnet18-224px-b256", "resnet18", "224x224x3:10", 256),
        ("resnet50-b256", "resnet50-224px-b256", "resnet50", "224x224x3:10", 256),
    ],
}
ON_GPU = ["cuda", "cudnn"]
def modes_of(device, precision):
    """Of the peer; the last one is its best."""
    if device == "cuda":
        return ["compile16", "graph16"]
    return ["eager16" if precision == "bf16" else "eager32"]
PEER_LINE = r"^torch (\S+) {device} t\d+ {name} +{mode} +(\d+) img/s .* peak +(\d+) MiB"
MOST_IMAGES, MOST_BYTES = 262144, 512 << 20  # of random pixels, drawn anew by every run


def device_of(backend):
    return "cuda" if backend in ON_GPU else "cpu"


class Cell:
    """One experiment: a network and batch on so many threads."""

    def __init__(self, arguments, work, threads, precision):
        self.arguments, self.threads, self.precision = arguments, threads, precision
        self.name, self.peer_name, self.model, self.shape, self.batch = work
        self.device = device_of(arguments.backend)
        allowed = sorted(os.sched_getaffinity(0))
        self.cores = None if self.device == "cuda" else ",".join(map(str, allowed[-threads:]))
        if arguments.backend == "eigen" and threads != 1:
            sys.exit(f"bench_train: the backend `eigen` has one thread, not {threads}")
        where = {"cuda": "cuda", "cudnn": "cudnn", "eigen": "1thread"}.get(arguments.backend, f"{arguments.backend}-{threads}threads")
        self.experiment = f"speed/{self.name}-{where}" + (f"-{precision}" if precision != "fp32" else "")
        height, width, channels = map(int, self.shape.split(":")[0].split("x"))
        self.image_bytes = height * width * channels
        self.most_images = min(MOST_IMAGES, MOST_BYTES // self.image_bytes)

    def output_of(self, command):
        pinned = [*(["taskset", "-c", self.cores] if self.cores else []), *map(str, command)]
        done = subprocess.run(pinned, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench_train: `{' '.join(pinned)}` ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def train(self, images, *flags, keep_tuning=None):
        """(images/s of the last epoch, result.json) of a training with so many images."""
        with tempfile.TemporaryDirectory() as folder:
            self.output_of([self.arguments.fovea, "train", "--model", self.model, "--data",
                            f"synthetic:{self.shape}:{images}:{self.batch}", "--batch", self.batch,
                            "--epochs", 4 if self.device == "cuda" else 2, "--optimizer", "adam", "--learning-rate", 0.001,
                            "--backend", self.arguments.backend, "--threads", self.threads, "--precision", self.precision,
                            "--save-every", "never", "--out", folder, "--quiet", *flags])
            if keep_tuning is not None:
                keep_tuning.write_text((Path(folder) / "tuning.json").read_text())
            with open(Path(folder) / "history.csv", newline="") as file:
                epochs = list(csv.DictReader(file))
            return float(epochs[-1]["images_per_second"]), json.loads((Path(folder) / "result.json").read_text())

    def train_peer(self, mode):
        """(images/s, version, MiB) of the peer."""
        command = [self.arguments.python, self.arguments.peer, "--device", self.device, "--modes", mode, "--only", self.peer_name,
                   "--seconds", self.arguments.seconds] + (["--threads", self.threads] if self.device == "cpu" else [])
        text = self.output_of(command)
        line = PEER_LINE.format(device=self.device, name=re.escape(self.peer_name), mode=mode)
        found = re.search(line, text, re.MULTILINE)
        if not found:
            sys.exit(f"bench_train: {self.arguments.peer} printed no speed for {self.peer_name}, {mode}:\n{text}")
        return float(found[2]), found[1], int(found[3])


def images_for(seconds, speed, cell):
    return min(max(2, round(seconds * speed / cell.batch)), max(2, cell.most_images // cell.batch)) * cell.batch


def measure(cell):
    arguments, batch = cell.arguments, cell.batch
    modes = modes_of(cell.device, cell.precision)
    modes = modes[-1:] if arguments.best else modes
    speed, _ = cell.train(2 * batch)
    speed, _ = cell.train(images_for(arguments.seconds / 4, speed, cell))
    images = images_for(arguments.seconds, speed, cell)
    own, peers = {f"fovea {arguments.backend}": []}, {mode: f"PyTorch {mode}" for mode in modes}
    scratch = tempfile.TemporaryDirectory()
    if arguments.across:
        tuning = Path(scratch.name) / "tuning.json"
        cell.train(2 * batch, "--autotune", "across", keep_tuning=tuning)
        own["fovea across"] = ["--autotune", "across", "--tuning", tuning]
    runs, memory = {label: [] for label in [*own, *peers.values()]}, {}
    for number in range(arguments.rounds):
        for label, flags in own.items():
            speed, result = cell.train(images, *flags)
            runs[label].append(speed)
            resident = (images + batch) * cell.image_bytes if cell.device == "cuda" else 0  # and the test images
            memory[label] = round((result["predicted_memory_bytes"] - resident) / 2**20)
        for mode in modes:
            peer_speed, version, memory[peers[mode]] = cell.train_peer(mode)
            runs[peers[mode]].append(peer_speed)
        latest = ", ".join(f"{label} {values[-1]:,.0f}" for label, values in runs.items())
        print(f"{cell.experiment} round {number + 1}: {latest} images/s", flush=True)
    configuration = {"model": cell.model, "data": "random pixels (synthetic)", "shape": cell.shape, "images": images, "batch": batch,
                     "threads": result["threads"], "optimizer": "adam", "learning_rate": 0.001, "precision": cell.precision, "memory_mib": memory, "cores": cell.cores,
                     "launches_per_step": result["launches_per_step"], "load_average": round(os.getloadavg()[0], 2)}
    line = record.record(cell.experiment, "images/s", runs, configuration,
                         {"versions": result["versions"] | {"torch": version}, "commit": result["commit"]})
    if cell.device == "cuda":
        line["machine"] = result["machine"]
    best, fastest = peers[modes[-1]], max(own, key=lambda label: statistics.median(runs[label]))
    ratios = [a / b for a, b in zip(runs[fastest], runs[best])]
    line["ratio"] = {"of": fastest, "to": best, "rounds": [round(ratio, 4) for ratio in ratios], "median": round(statistics.median(ratios), 4)}
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, metavar="PATH")
    parser.add_argument("--backend", required=True, choices=["eigen", "openmp", "onednn", *ON_GPU])
    parser.add_argument("--threads", default="1", help="of a CPU backend and of PyTorch, separated by commas (default: 1)")
    parser.add_argument("--python", default=sys.executable, help="with PyTorch in it (default: the one that runs this)")
    parser.add_argument("--precision", default="fp32", help="of fovea, and on a CPU of PyTorch; several separated by commas (default: fp32)")
    parser.add_argument("--only", default="", help="part of the name of the experiments to measure")
    parser.add_argument("--all", action="store_true", help="the large networks too")
    parser.add_argument("--best", action="store_true", help="of the peer's modes only the last one")
    parser.add_argument("--across", action="store_true", help="also with the faster of both GPU backends for each step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="that an epoch or the peer's measurement takes")
    parser.add_argument("--fovea", default=str(ROOT / "build" / "fovea"))
    parser.add_argument("--out", default="", help="(default: results/speed-cuda.jsonl or results/speed-cpu.jsonl)")
    arguments = parser.parse_args()
    for precision in arguments.precision.split(","):
        if precision not in ["fp32", "tf32", "bf16", "fp16"]:
            parser.error(f"there is no precision `{precision}`: fp32, tf32, bf16 or fp16")
    arguments.out = arguments.out or str(ROOT / "results" / f"speed-{device_of(arguments.backend)}.jsonl")
    every = WORK + LARGE[device_of(arguments.backend)]
    chosen = [work for work in every if arguments.only in work[0]] if arguments.only else every if arguments.all else WORK
    if not chosen:
        parser.error(f"nothing has `{arguments.only}` in its name: {', '.join(name for name, *_ in every)}")
    for work in chosen:
        for precision in arguments.precision.split(","):
            for threads in map(int, arguments.threads.split(",")):
                line = measure(Cell(arguments, work, threads, precision))
                record.append(arguments.out, line)
                print(f"{line['experiment']}: median ratio {line['ratio']['median']:.2f}", flush=True)


if __name__ == "__main__":
    main()
