#!/usr/bin/env python3
"""Measures how training speed grows with threads, beside how the processor's own multiply-adds grow, and appends a record to a file.

tools/bench_scaling.py [--backend openmp] [--threads 1,16] [--model cifar_cnn] [--batch 1024] [--rounds R] [--seconds S] [--fovea FILE]
                       [--out FILE]

In each round the roof (fovea machine) and the training of random pixels are measured on the fewest threads and on the most, in turns. The
value of a round is (speed on the most / speed on the fewest) / (roof on the most / roof on the fewest): 1 is what the processor allows.
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

import record

ROOT = Path(__file__).resolve().parent.parent
SHAPES = {"lenet5": "28x28x1:10", "cifar_cnn": "32x32x3:10"}


def output_of(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench_scaling: `{' '.join(map(str, command))}` ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def pinned(threads, command):
    return ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[-threads:])), *command]


def roof(arguments, threads):
    lines = output_of(pinned(threads, [arguments.fovea, "machine", "--threads", threads, "--json"])).splitlines()
    return json.loads(lines[0])["flops_per_second"]  # the processor stands first


def train(arguments, threads, images):
    with tempfile.TemporaryDirectory() as folder:
        output_of(pinned(threads, [arguments.fovea, "train", "--model", arguments.model, "--data",
                                   f"synthetic:{SHAPES[arguments.model]}:{images}:{arguments.batch}", "--batch", arguments.batch,
                                   "--epochs", 2, "--optimizer", "adam", "--learning-rate", 0.001, "--backend", arguments.backend,
                                   "--threads", threads, "--out", folder, "--quiet"]))
        with open(Path(folder) / "history.csv", newline="") as file:
            speed = float(list(csv.DictReader(file))[-1]["images_per_second"])
        return speed, json.loads((Path(folder) / "result.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="openmp")
    parser.add_argument("--threads", default="1,16", help="the fewest and the most (default: 1,16)")
    parser.add_argument("--model", default="cifar_cnn", choices=sorted(SHAPES))
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="that an epoch takes")
    parser.add_argument("--fovea", default=str(ROOT / "build" / "fovea"))
    parser.add_argument("--out", default=str(ROOT / "results" / "speed-cpu.jsonl"))
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.threads.split(",")]
    if len(counts) != 2 or not 0 < counts[0] < counts[1]:
        parser.error(f"--threads is `{arguments.threads}`, but must be the fewest and the most, such as 1,16")
    images = {}
    for count in counts:
        speed, _ = train(arguments, count, 2 * arguments.batch)
        images[count] = max(2, round(arguments.seconds * speed / arguments.batch)) * arguments.batch
    runs = {f"{what} on {count}": [] for what in ("images/s", "FLOP/s of the roof") for count in counts}
    shares = []
    for _ in range(arguments.rounds):
        for count in counts:
            runs[f"FLOP/s of the roof on {count}"].append(roof(arguments, count))
            speed, result = train(arguments, count, images[count])
            runs[f"images/s on {count}"].append(speed)
        speed, limit = ([runs[f"{what} on {count}"][-1] for count in counts] for what in ("images/s", "FLOP/s of the roof"))
        shares.append(round((speed[1] / speed[0]) / (limit[1] / limit[0]), 4))
        print(f"images/s {speed[0]:,.0f} and {speed[1]:,.0f} ({speed[1] / speed[0]:.2f}), roof {limit[1] / limit[0]:.2f}: {shares[-1]}",
              flush=True)
    name = f"scaling/{arguments.model}-b{arguments.batch}-{arguments.backend}-{counts[0]}to{counts[1]}threads"
    configuration = {"model": arguments.model, "batch": arguments.batch, "backend": arguments.backend, "threads": counts,
                     "data": "random pixels (synthetic)", "optimizer": "adam", "dtype": "f32",
                     "images": list(images.values()), "load_average": round(os.getloadavg()[0], 2)}
    line = record.record(name, "per second", runs, configuration, result)
    line["ratio"] = {"of": "speed-up of training", "to": "speed-up of the roof", "rounds": shares,
                     "median": round(statistics.median(shares), 4)}
    record.append(arguments.out, line)
    print(f"{name}: median {line['ratio']['median']:.2f}")


if __name__ == "__main__":
    main()
