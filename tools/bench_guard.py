#!/usr/bin/env python3
"""What it costs that every update first looks for NaN and infinity in the gradients: two programs, one built from the commit before that,
train the same network in turns. The overhead is the median of (after - before) / before over the pairs.

tools/bench_guard.py --before OTHER/fovea --after build/fovea --backend eigen --out results/guard.jsonl
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import record  # noqa: E402

SHAPES = {"lenet5": "28x28x1", "cifar_cnn": "32x32x3", "resnet20": "32x32x3", "mlp": "28x28x1"}


def seconds_of(program, arguments, model, images):
    """Of training: processor time on the host, where other programs may run; time by the clock on a device."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "train", "--quiet", "--model", model, "--data", f"synthetic:{SHAPES[model]}:10:{images}:100", "--batch",
                   str(arguments.batch), "--backend", arguments.backend, "--threads", str(arguments.threads), "--epochs",
                   str(arguments.epochs), "--save-every", "never", "--out", folder + "/run"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = json.loads(Path(folder, "run", "result.json").read_text())
    if arguments.backend in ("cuda", "cudnn"):
        return result["train_seconds"], result
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result


def measure(arguments, model):
    images = arguments.images or {"lenet5": 6400, "cifar_cnn": 1280, "resnet20": 256, "mlp": 12800}[model]
    seconds, overheads = {"before": [], "after": []}, []
    seconds_of(arguments.before, arguments, model, images)  # warms up
    for pair in range(arguments.pairs):
        for which in ("before", "after") if pair % 2 == 0 else ("after", "before"):
            spent, result = seconds_of(getattr(arguments, which), arguments, model, images)
            seconds[which].append(round(spent, 4))
        overheads.append(seconds["after"][-1] / seconds["before"][-1] - 1)
    configuration = {"backend": arguments.backend, "threads": arguments.threads, "batch": arguments.batch, "images": images,
                     "epochs": arguments.epochs, "overhead_median": round(statistics.median(overheads), 4),
                     "overhead_quartiles": [round(quartile, 4) for quartile in statistics.quantiles(overheads, n=4)[::2]],
                     "overhead_of_the_fastest": round(min(seconds["after"]) / min(seconds["before"]) - 1, 4)}
    line = record.record(f"guard/{model}-b{arguments.batch}-{arguments.backend}-{arguments.threads}threads", "s of a pair", seconds, configuration,
                         result)
    line["machine"] = {**line["machine"], **result["machine"]}
    low, high = configuration["overhead_quartiles"]
    print(f"{model} on {arguments.backend}: {100 * configuration['overhead_median']:+.2f} % (half of the pairs: {100 * low:+.2f} to "
          f"{100 * high:+.2f} %)")
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="PROGRAM")
    parser.add_argument("--after", default="build/fovea", metavar="PROGRAM")
    parser.add_argument("--backend", default="openmp", metavar="NAME")
    parser.add_argument("--models", default="lenet5,cifar_cnn,resnet20", help=f"of {', '.join(SHAPES)} (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--images", type=int, help="per epoch (default: a fraction of a second of work on a processor)")
    parser.add_argument("--pairs", type=int, default=31)
    parser.add_argument("--out", metavar="FILE", help="where the records go, such as results/guard.jsonl")
    arguments = parser.parse_args()
    for model in arguments.models.split(","):
        line = measure(arguments, model)
        if arguments.out:
            record.append(arguments.out, line)


if __name__ == "__main__":
    main()
