#!/usr/bin/env python3
"""Has TensorBoard's own reader read the event files of a report, and compares every scalar with the record that they are from.

tests/report/tensorboard_test.py --fovea build/fovea [--packages .tensorboard]
Exit codes: 0 all are there, 1 one is not, 2 there is no TensorBoard (tools/setup.sh --report fetches it).
"""
import argparse
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "tests/report/comparison.json"
EPOCH = {"loss/train": "train_loss", "loss/validation": "valid_loss", "accuracy/train": "train_accuracy", "accuracy/validation": "valid_accuracy",
         "seconds/epoch": "seconds"}
SAMPLE = {"utilisation/cpu": "cpu", "utilisation/gpu": "gpu", "memory/host_bytes": "host_bytes", "memory/device_bytes": "device_bytes",
          "power/cpu_watts": "cpu_watts", "power/gpu_watts": "gpu_watts"}


def single(value):
    """Rounded to single precision, as event files hold it."""
    return struct.unpack("f", struct.pack("f", value))[0]


def expected_of(row, run):
    """(step, value) by tag."""
    scalars = {"images_per_second": [(0, row["images_per_second"]["median"])], "milliseconds/step": list(enumerate(run["step_ms"], 1))}
    for tag, key in EPOCH.items():
        scalars[tag] = [(epoch["epoch"], epoch[key]) for epoch in run["epochs"]]
    for tag, key in SAMPLE.items():
        scalars[tag] = [(i, sample[key]) for i, sample in enumerate(run["samples"], 1)]
    known = {tag: [(step, single(value)) for step, value in points if value is not None] for tag, points in scalars.items()}
    return {tag: points for tag, points in known.items() if points}


def faults_of(reader, folder, row, run):
    events = reader(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    expected, found = expected_of(row, run), events.Tags()["scalars"]
    if sorted(found) != sorted(expected):
        yield f"{folder}: tags {sorted(found)}, not {sorted(expected)}"
        return
    for tag, points in expected.items():
        read = [(event.step, event.value) for event in events.Scalars(tag)]
        if read != points:
            yield f"{folder}: {tag} is {read[:3]}..., not {points[:3]}..."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fovea", default=ROOT / "build/fovea", type=Path)
    parser.add_argument("--packages", default=ROOT / ".tensorboard", type=Path, help="the folder that holds TensorBoard's packages")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.packages))
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        print(f"tensorboard_test: {error}: `tools/setup.sh --report` fetches it into .tensorboard/", file=sys.stderr)
        return 2
    record, count, faults = json.loads(RECORD.read_text()), 0, []
    with tempfile.TemporaryDirectory(prefix="fovea-tensorboard-") as folder:
        (Path(folder) / "result.json").write_text(json.dumps(record))
        subprocess.run([arguments.fovea.resolve(), "report", folder, "--quiet"], check=True)
        for row in record["rows"]:
            for run in row["runs"]:
                count += 1
                faults += faults_of(EventAccumulator, Path(folder) / "tensorboard" / row["id"] / f"seed{run['seed']}", row, run)
    for fault in faults:
        print(fault)
    print(f"{count} runs read by TensorBoard, {len(faults)} faults")
    return 1 if faults or not count else 0


if __name__ == "__main__":
    sys.exit(main())
