#!/usr/bin/env python3
"""Measures the convolutions of networks on the backend `onednn` beside oneDNN by itself, forward and both gradients, and appends a record of their sums.

tools/bench_layers.py [--threads N] [--precision fp32,bf16] [--only NAME] [--rounds R] [--seconds S] [--build FOLDER] [--out FILE]

Needs `cmake --build FOLDER --target fovea fovea_onednn onednn_layers` first. In each round every layer is measured by `fovea bench op` and then
by `onednn_layers`, which runs whole layers as benchdnn does: on all threads of the library, in the layouts that it likes best, with no
reorders. Layers of one shape are measured once and count as often as the network has them. The time of a layer is the median of its
rounds, and the ratio is the sum of the times of oneDNN over the sum of those of fovea; the sums of each round and the times of each
layer are in the record too.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import record

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = [("resnet18", 32), ("cats_dogs", 16), ("cifar_cnn", 1024)]


def output_of(command, text=None):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, input=text, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(f"bench_layers: `{' '.join(map(str, command))}` ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def layers_on_fovea(arguments, model, batch, precision):
    """Problem -> (microseconds of all layers that have it, number of these), and one of the records."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "op.jsonl"
        output_of([arguments.build / "fovea", "bench", "op", "--backend", "onednn", "--model", model, "--batch", batch, "--precision", precision,
                   "--threads", arguments.threads, "--case", f"{model}*conv2d*", "--seconds", arguments.seconds, "--json", file])
        records = [json.loads(line) for line in file.read_text().splitlines()]
    layers = {}
    for line in records:  # gradients that are added to others have the problem of those that are not, and take longer
        problem, count = line["configuration"]["problem"], line["configuration"]["layers"]
        microseconds, before = layers.get(problem, (0, 0))
        layers[problem] = (microseconds + count * next(iter(line["median"].values())), before + count)
    return layers, records[-1]


def layers_on_onednn(arguments, problems, precision):
    text = output_of([arguments.build / "onednn_layers", arguments.threads, "bf16" if precision == "bf16" else "f32", arguments.seconds],
                     "\n".join(problems) + "\n")
    return {problem: float(microseconds) for microseconds, _, problem in (line.split(" ", 2) for line in text.splitlines())}


def measure(arguments, model, batch, precision):
    own_label, their_label = labels = ["fovea onednn", "oneDNN by itself"]
    runs = {label: [] for label in labels}
    layers = {}  # problem -> times by label, of all layers that have it
    for number in range(arguments.rounds):
        own, line = layers_on_fovea(arguments, model, batch, precision)
        theirs = layers_on_onednn(arguments, own, precision)
        for problem, (microseconds, count) in own.items():
            times = layers.setdefault(problem, {label: [] for label in labels})
            times[own_label].append(microseconds)
            times[their_label].append(count * theirs[problem])
        for label in labels:
            runs[label].append(round(sum(times[label][-1] for times in layers.values()), 3))
        print(f"{model} {precision} round {number + 1}: {runs[own_label][-1]:,.0f} and {runs[their_label][-1]:,.0f} us", flush=True)
    medians = {problem: {label: statistics.median(values) for label, values in times.items()} for problem, times in layers.items()}
    suffix = f"-{precision}" if precision != "fp32" else ""
    configuration = {"model": model, "batch": batch, "threads": arguments.threads, "precision": precision, "layers": sum(count for _, count in own.values()),
                     "us_of_layers": {problem: [round(times[label], 1) for label in labels] for problem, times in medians.items()},
                     "load_average": round(os.getloadavg()[0], 2)}
    made = record.record(f"layers/{model}-b{batch}-onednn-{arguments.threads}threads{suffix}", "us", runs, configuration,
                         {"versions": line["versions"], "commit": line["commit"]})
    made["median"] = {label: round(sum(times[label] for times in medians.values()), 3) for label in labels}
    made["ratio"] = {"of": their_label, "to": own_label, "rounds": [round(b / a, 4) for a, b in zip(*runs.values())],
                     "median": round(made["median"][their_label] / made["median"][own_label], 4)}
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--only", default="", help="part of the name of a network")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each layer and direction")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--out", default=str(ROOT / "results" / "speed-cpu.jsonl"))
    arguments = parser.parse_args()
    for model, batch in NETWORKS:
        for precision in arguments.precision.split(","):
            if arguments.only in model:
                line = measure(arguments, model, batch, precision)
                record.append(arguments.out, line)
                print(f"{line['experiment']}: ratio {line['ratio']['median']:.2f}", flush=True)


if __name__ == "__main__":
    main()
