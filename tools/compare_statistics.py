#!/usr/bin/env python3
"""Shows how far the verdicts of `fovea compare` can be trusted, and what measuring costs; appends records to a file.

tools/compare_statistics.py [planted|equal|overhead]... [--build DIR] [--backend NAME] [--threads N] [--rounds N] [--backends NAMES] [--epochs N]
                            [--out FILE]

planted   a backend against itself, every kernel of the second row 5 % slower: 10 comparisons, of which at least 9 must say `slower`
equal     a backend against itself: 20 comparisons, of which at most 1 may see a difference
overhead  `fovea train` on each of some backends, then `fovea compare` of all, in turns: seconds of training, at most 2 % more in the comparison

DIR (default: build) has `fovea` and the test program `planted_slowdown` (-DFOVEA_TESTS=ON). Without a kind all three are run. The exit code is
1 where one of these figures is missed; the record is kept all the same.
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
MODEL, DATA, BATCH = "lenet5", "synthetic:28x28x1:10:6400:64", 64
RUNS = {"planted": 10, "equal": 20}
SLOWER_BY = 0.05
MOST_OVERHEAD = 1.02
DEFAULT_BACKENDS = "eigen,openmp"


def output_of(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"compare_statistics: `{' '.join(map(str, command))}` ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def program_of(result):
    return {"versions": {"fovea": result["version"], "compiler": result["environment"]["compiler"], "build": result["environment"]["build"]},
            "commit": result["commit"]}


def program(arguments):
    """Version and commit, as a comparison has them."""
    with tempfile.TemporaryDirectory() as folder:
        output_of([arguments.build / "fovea", "compare", "--model", MODEL, "--data", "synthetic:28x28x1:10:128:64", "--epochs", 1, "--quiet",
                   "--backends", "eigen", "--out", folder])
        return program_of(json.loads((Path(folder) / "result.json").read_text()))


def judge(arguments, kind):
    """Record and whether the figure is met."""
    share = SLOWER_BY if kind == "planted" else 0
    text = output_of([arguments.build / "planted_slowdown", arguments.backend, arguments.threads, share, RUNS[kind], MODEL, DATA, BATCH])
    runs = [json.loads(line) for line in text.splitlines()]
    different = sum(run["verdict"] != "no significant difference" for run in runs)
    seen = sum(run["verdict"] == "slower" for run in runs)
    figure = {"seen": seen} if kind == "planted" else {"called_different": different}
    configuration = {"backend": arguments.backend, "threads": arguments.threads, "model": MODEL, "data": DATA, "batch": BATCH,
                     "slower_by": share, "comparisons": len(runs), **figure,
                     "intervals": [[run["low"], run["high"]] for run in runs], "pairs": [run["pairs"] for run in runs]}
    label = f"fovea {arguments.backend}" + (f", kernels {share:.0%} slower" if share else ", again")
    line = record.record(f"compare/{kind}", "ratio", {label: [run["ratio"] for run in runs]}, configuration, program(arguments))
    return line, seen >= 9 if kind == "planted" else different <= 1


def train_seconds(folder):
    return json.loads((Path(folder) / "result.json").read_text())["train_seconds"]


def overhead(arguments, _):
    common = ["--model", MODEL, "--data", "digits", "--batch", BATCH, "--epochs", arguments.epochs, "--save-every", "never", "--quiet", "--threads",
              arguments.threads]
    backends = arguments.backends.split(",")
    runs = {"fovea train": [], "fovea compare": []}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for backend in backends:
                output_of([arguments.build / "fovea", "train", *common, "--backend", backend, "--out", Path(folder) / backend])
            output_of([arguments.build / "fovea", "compare", *common, "--backends", arguments.backends, "--extra-seconds", 0,
                       "--out", Path(folder) / "compare"])
            runs["fovea train"].append(round(sum(train_seconds(Path(folder) / backend) for backend in backends), 4))
            rows = [path for path in (Path(folder) / "compare").iterdir() if (path / "config.toml").exists()]
            runs["fovea compare"].append(round(sum(map(train_seconds, rows)), 4))
            result = json.loads((Path(folder) / "compare" / "result.json").read_text())
    ratio = statistics.median(b / a for a, b in zip(runs["fovea train"], runs["fovea compare"]))
    least = min(runs["fovea compare"]) / min(runs["fovea train"])
    configuration = {"backends": backends, "threads": arguments.threads, "model": MODEL, "data": "digits", "batch": BATCH, "epochs": arguments.epochs,
                     "what": "seconds of training, of all these backends", "median_of_ratios": round(ratio, 4),
                     "ratio_of_the_shortest": round(least, 4)}
    experiment = "compare/overhead" + ("" if arguments.backends == DEFAULT_BACKENDS else "-" + "-".join(backends))
    line = record.record(experiment, "s of training", runs, configuration, program_of(result))
    if result["environment"]["gpu"] and {"cuda", "cudnn"} & set(backends):
        line["machine"]["gpu"] = result["environment"]["gpu"]["name"]
    return line, ratio <= MOST_OVERHEAD


KINDS = {"planted": judge, "equal": judge, "overhead": overhead}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", choices=[*KINDS, []])
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--backend", default="eigen", help="that planted and equal compare with itself (default: eigen)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8, help="of overhead")
    parser.add_argument("--backends", default=DEFAULT_BACKENDS, help=f"of overhead (default: {DEFAULT_BACKENDS})")
    parser.add_argument("--epochs", type=int, default=3, help="of overhead")
    parser.add_argument("--out", default=str(ROOT / "results" / "compare.jsonl"))
    arguments = parser.parse_args()
    missed = []
    for kind in arguments.kinds or KINDS:
        line, met = KINDS[kind](arguments, kind)
        record.append(arguments.out, line)
        print(f"{kind}: {'met' if met else 'MISSED'}", flush=True)
        if not met:
            missed.append(kind)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
