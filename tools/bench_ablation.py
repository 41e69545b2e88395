#!/usr/bin/env python3
"""Measures what each way of making a training step faster gives: everything on, and then each of them switched off, in turns.

tools/bench_ablation.py --backend openmp|onednn|eigen|cuda|cudnn [--threads N] [--precision bf16] [--only NAME] [--rounds R] [--seconds S]
                        [--fovea FILE] [--out FILE]

Everything on: --autotune across, claims, and where the device records its steps also replay and dependent launches. What is measured
for the choice between backends is measured once and handed to the other runs (--tuning). A value is the milliseconds of a training step
in the last epoch of a run over random pixels, gathering, metrics and the update included; the number of images is chosen so that an
epoch takes about S seconds. A slowdown is the median over the rounds of (a step without it) / (a step with everything). The exit code is 0
when all was measured; 1 with a message when a run failed.
"""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import record  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SMALL = [  # name, model, images, batch
    ("lenet5-b64", "lenet5", "28x28x1:10", 64),
    ("lenet5-b1024", "lenet5", "28x28x1:10", 1024),
    ("cifar_cnn-b32", "cifar_cnn", "32x32x3:10", 32),
    ("cifar_cnn-b1024", "cifar_cnn", "32x32x3:10", 1024),
]
LARGE = [
    ("resnet20-b32", "resnet20", "32x32x3:10", 32),
    ("cats_dogs-b128", "cats_dogs", "256x256x3:2", 128),
    ("resnet18-b256", "resnet18", "224x224x3:10", 256),
    ("resnet50-b256", "resnet50", "224x224x3:10", 256),
]
EVERYTHING = "everything"
WITHOUT = {"without claims": ["--no-claims"], "without across": ["--autotune", "engines"]}
WITHOUT_RECORDED = {"without replay": ["--no-replay"], "without dependent launches": ["--no-dependent-launch"]}
MOST_IMAGES, MOST_BYTES = 262144, 512 << 20  # of random pixels, drawn anew by every run


class Cell:
    """One experiment: a network and batch."""

    def __init__(self, arguments, work):
        self.arguments = arguments
        self.name, self.model, self.shape, self.batch = work
        on_gpu = arguments.backend in ("cuda", "cudnn")
        where = arguments.backend if on_gpu else f"{arguments.backend}-{arguments.threads}threads"
        self.experiment = f"ablation/{self.name}-{where}" + (f"-{arguments.precision}" if arguments.precision != "fp32" else "")
        self.epochs = 4 if on_gpu else 2
        height, width, channels = map(int, self.shape.split(":")[0].split("x"))
        self.most_images = max(2 * self.batch, min(MOST_IMAGES, MOST_BYTES // (height * width * channels)))

    def train(self, images, flags, keep_tuning=None):
        """(milliseconds of a step of the last epoch, result.json) of a training with so many images."""
        arguments = self.arguments
        with tempfile.TemporaryDirectory() as folder:
            command = [arguments.fovea, "train", "--model", self.model, "--data", f"synthetic:{self.shape}:{images}:{self.batch}", "--batch",
                       self.batch, "--epochs", self.epochs, "--optimizer", "adam", "--learning-rate", 0.001, "--backend",
                       arguments.backend, "--threads", arguments.threads, "--precision", arguments.precision, "--save-every", "never",
                       "--out", folder, "--quiet", *flags]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"bench_ablation: `{' '.join(map(str, command))}` ended with exit code {done.returncode}:\n{done.stderr}")
            with open(Path(folder) / "history.csv", newline="") as file:
                speed = float(list(csv.DictReader(file))[-1]["images_per_second"])
            tuning = Path(folder) / "tuning.json"
            if keep_tuning is not None and tuning.exists():
                keep_tuning.write_text(tuning.read_text())
            return 1000 * self.batch / speed, json.loads((Path(folder) / "result.json").read_text())

    def images_for(self, seconds, milliseconds):
        steps = min(max(2, round(1000 * seconds / milliseconds)), max(2, self.most_images // self.batch))
        return steps * self.batch


def taken_from(tuning):
    """How often each backend was the faster one, claim or single operator."""
    taken = {}
    for problem, choice in json.loads(tuning.read_text())["choices"].items():
        if problem.startswith("across "):
            name = choice["taken"] if choice["taken"] == "in parts" else choice["taken"].split(" ")[0]
            taken[name] = taken.get(name, 0) + 1
    return taken


def measure(cell, folder):
    arguments, tuning = cell.arguments, folder / "tuning.json"
    milliseconds, result = cell.train(2 * cell.batch, ["--autotune", "across"], tuning)
    everything = ["--autotune", "across", "--tuning", tuning]
    milliseconds, result = cell.train(cell.images_for(arguments.seconds / 4, milliseconds), everything)
    images = cell.images_for(arguments.seconds, milliseconds)
    recorded = result["launches_per_step"] is not None
    variants = {EVERYTHING: everything}
    for label, flags in (WITHOUT | (WITHOUT_RECORDED if recorded else {})).items():
        variants[label] = flags if "--autotune" in flags else everything + flags
    runs, launches = {label: [] for label in variants}, {}
    for number in range(arguments.rounds):
        for label in variants if number % 2 == 0 else reversed(variants):
            milliseconds, result = cell.train(images, variants[label])
            runs[label].append(round(milliseconds, 5))
            launches[label] = result["launches_per_step"]
        latest = ", ".join(f"{label} {values[-1]:.4g}" for label, values in runs.items())
        print(f"{cell.experiment} round {number + 1}: {latest} ms", flush=True)
    slowdown = {label: round(statistics.median(a / b for a, b in zip(values, runs[EVERYTHING])), 4)
                for label, values in runs.items() if label != EVERYTHING}
    configuration = {"model": cell.model, "data": "random pixels (synthetic)", "shape": cell.shape, "images": images, "batch": cell.batch,
                     "backend": arguments.backend, "threads": result["threads"], "optimizer": "adam", "learning_rate": 0.001,
                     "precision": arguments.precision, "launches_per_step": launches, "choices": taken_from(tuning),
                     "slowdown": slowdown, "load_average": round(os.getloadavg()[0], 2)}
    line = record.record(cell.experiment, "ms of a step", runs, configuration, result)
    if recorded:
        line["machine"] = result["machine"]
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", required=True, choices=["eigen", "openmp", "onednn", "cuda", "cudnn"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of a CPU backend (default: one for each core)")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16", "fp16"])
    parser.add_argument("--only", default="", help="part of the name of the experiments to measure (default: the small networks)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="that an epoch takes")
    parser.add_argument("--fovea", default=str(ROOT / "build" / "fovea"))
    parser.add_argument("--out", default=str(ROOT / "results" / "ablation.jsonl"))
    arguments = parser.parse_args()
    every = SMALL + LARGE
    chosen = [work for work in every if arguments.only in work[0]] if arguments.only else SMALL
    if not chosen:
        parser.error(f"nothing has `{arguments.only}` in its name: {', '.join(name for name, *_ in every)}")
    for work in chosen:
        with tempfile.TemporaryDirectory() as folder:
            line = measure(Cell(arguments, work), Path(folder))
        record.append(arguments.out, line)
        print(f"{line['experiment']}: " + ", ".join(f"{label} {value:.2f} times" for label, value in
                                                   line["configuration"]["slowdown"].items()), flush=True)


if __name__ == "__main__":
    main()
