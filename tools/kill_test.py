#!/usr/bin/env python3
"""Kills, stops and damages runs of `fovea train` and sees that they go on to the same bits; writes one record per kind.

tools/kill_test.py resume   kill -9 at random moments, resume until finished, compare with the run that was never stopped
tools/kill_test.py writer   kill -9 of a run that saves after every step; each time a whole checkpoint has to be there
tools/kill_test.py signals  SIGINT, SIGTERM and SIGUSR1 at random moments: exit code 75 in time, then the same as `resume`
tools/kill_test.py full     a disk (tmpfs, in a mount name space of its own) that is too small, fills up or becomes read-only
"""
import argparse
import contextlib
import csv
import json
import math
import os
import random
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import tomllib
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import record  # noqa: E402

# Everything that a step could depend on: dropout, batch norm, flips and crops, averages, a schedule with a warm-up, micro-batches, and a
# last partial batch.
NETWORK = """name = "all_at_once"
input = [28, 28, 1]
layers = [
  { conv2d = 8, kernel = 5, batch_norm = true, activation = "relu" },
  { max_pool = 2 },
  { conv2d = 16, kernel = 3, activation = "relu" },
  { dropout = 0.25 },
  { flatten = true },
  { linear = WIDTH, activation = "relu" },
  { dropout = 0.5 },
  { linear = 10 },
]
"""
SETTINGS = ["--optimizer", "adam", "--learning-rate", "0.002", "--schedule", "cosine", "--warmup-epochs", "1", "--ema-decay", "0.99",
            "--mirror", "--crop-padding", "2", "--clip-norm", "5", "--batch", "48", "--micro-batches", "2", "--valid", "0.2", "--keep",
            "best", "--label-smoothing", "0.1"]
TIMES = {"train_seconds", "images_per_second", "data_share", "seconds_to_first_step", "device_memory_bytes", "peak_memory_bytes",
         "late_allocations"}
TIME_COLUMNS = {"seconds", "images_per_second", "data_share"}


def sections_of(path):
    """Reads a checkpoint as docs/checkpoints.md describes it, without fovea. Raises ValueError where a byte is not what was written."""
    data = path.read_bytes()
    if len(data) < 32:
        raise ValueError("shorter than its header")
    magic, version, count, table_bytes, table_checksum, checksum = struct.unpack("<8sIIQII", data[:32])
    if magic != b"\x89fovea\r\n" or version != 1 or zlib.crc32(data[:28]) != checksum:
        raise ValueError("the header is damaged")
    table, at, sections = data[32:32 + table_bytes], 32 + table_bytes, {}
    if len(table) != table_bytes or zlib.crc32(table) != table_checksum:
        raise ValueError("the table is damaged")
    for _ in range(count):
        size, content_checksum, name_bytes = struct.unpack("<QII", table[:16])
        name, table = table[16:16 + name_bytes].decode(), table[16 + name_bytes:]
        sections[name], at = data[at:at + size], at + size
        if len(sections[name]) != size or zlib.crc32(sections[name]) != content_checksum:
            raise ValueError(f"section {name} is damaged")
    if table or at != len(data):
        raise ValueError("bytes that belong to no section")
    return sections


class Bench:
    """The program, a scratch folder, and the run that every other one has to equal."""

    def __init__(self, arguments, width=64, images=3000, epochs=4, save_every="7 steps"):
        self.arguments = arguments
        self.random = random.Random(arguments.seed)
        self.scratch = Path(tempfile.mkdtemp(prefix="fovea-kill-"))
        network = self.scratch / "all_at_once.toml"
        network.write_text(NETWORK.replace("WIDTH", str(width)))
        self.settings = ["--model", str(network), "--data", f"synthetic:28x28x1:10:{images}:{images // 3}", "--epochs", str(epochs),
                         "--backend", arguments.backend, "--save-every", save_every, *SETTINGS]

    def start(self, folder):
        """Starts the run in this folder, or goes on with it."""
        flags = ["--resume", str(folder)] if (folder / "config.toml").exists() else ["--out", str(folder), *self.settings]
        return subprocess.Popen([self.arguments.fovea, "train", "--quiet", *flags], stderr=subprocess.PIPE, text=True)

    def finish(self, folder):
        process = self.start(folder)
        error = process.communicate()[1]
        if process.returncode != 0:
            raise RuntimeError(f"`--resume {folder}` ended with {process.returncode}: {error}")

    def what_came_out(self, folder):
        result = json.loads((folder / "result.json").read_text())
        with open(folder / "history.csv", newline="") as file:
            history = [{key: value for key, value in row.items() if key not in TIME_COLUMNS} for row in csv.DictReader(file)]
        result["recipe"] = re.sub(r'(?m)^out = .*\n', "", result["recipe"])
        return {key: value for key, value in result.items() if key not in TIMES}, history

    def measure(self):
        """The run that is never stopped, and how long it takes."""
        begin = time.perf_counter()
        self.finish(self.scratch / "whole")
        self.seconds = time.perf_counter() - begin
        self.expected = self.what_came_out(self.scratch / "whole")
        self.result = json.loads((self.scratch / "whole" / "result.json").read_text())

    def differs(self, folder):
        came = self.what_came_out(folder)
        return "" if came == self.expected else f"{folder} differs from the run that was never stopped"

    def close(self, failures):
        if failures:
            print(f"kill_test: the folders are kept in {self.scratch}", file=sys.stderr)
        else:
            shutil.rmtree(self.scratch)


def whole_checkpoint(folder, failures):
    """Notes what cannot be read; returns whether there is a checkpoint at all."""
    found = False
    for name in ("last.ckpt", "previous.ckpt"):
        if (folder / name).exists():
            found = True
            try:
                sections_of(folder / name)
            except ValueError as error:
                failures.append(f"{folder / name}: {error}")
    return found


def resume(bench, count, failures):
    bench.measure()
    kills, saved, longest = [], 0, bench.seconds
    for run in range(count):
        folder, killed = bench.scratch / f"run{run}", 0
        while killed < 1 + run % 3:  # one to three times
            process = bench.start(folder)
            time.sleep(bench.random.uniform(0, longest))
            if process.poll() is not None:
                if process.returncode != 0:
                    failures.append(f"{folder}: exit code {process.returncode}: {process.communicate()[1]}")
                if killed > 0 or process.returncode != 0:
                    break
                longest *= 0.9  # a run that nothing killed shows nothing
                shutil.rmtree(folder)
                continue
            process.kill()
            process.wait()
            killed += 1
            saved += whole_checkpoint(folder, failures)
        bench.finish(folder)
        kills.append(killed)
        if difference := bench.differs(folder):
            failures.append(difference)
        else:
            shutil.rmtree(folder)
    return {"runs": count, "kills": sum(kills), "kills_with_a_checkpoint": saved, "seconds_of_the_whole_run": round(bench.seconds, 3)}


def writer(bench, count, failures):
    folder, kills, without_last = bench.scratch / "loop", 0, 0
    while kills < count:
        process = bench.start(folder)
        time.sleep(bench.random.uniform(0.02, bench.arguments.longest))
        if process.poll() is not None:
            error = process.communicate()[1]
            if process.returncode != 0:
                failures.append(f"kill {kills}: --resume ended with {process.returncode}: {error}")
            shutil.rmtree(folder)
            continue
        process.kill()
        process.wait()
        kills += 1
        if whole_checkpoint(folder, failures) and not (folder / "last.ckpt").exists():
            without_last += 1
    if (folder / "config.toml").exists():
        process = bench.start(folder)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        if process.wait() not in (0, 75):
            failures.append(f"the last --resume ended with {process.returncode}")
    return {"kills": kills, "kills_between_two_renames": without_last}


def signals(bench, count, failures):
    bench.measure()
    seconds, writes, run = [], [], 0
    while len(seconds) < count and not failures:
        run += 1
        folder = bench.scratch / f"run{run}"
        process = bench.start(folder)
        while not (folder / "log.txt").exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(bench.random.uniform(0, bench.seconds))
        begin = time.perf_counter()
        process.send_signal((signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)[run % 3])
        error = process.communicate()[1]
        took = time.perf_counter() - begin
        if process.returncode == 75:
            seconds.append(took)
            writes += [float(text) for text in re.findall(r"MiB in ([0-9.]+) s", (folder / "log.txt").read_text())][-1:]
            whole_checkpoint(folder, failures)
        elif process.returncode != 0:  # 0: the signal came when nothing was left to do
            failures.append(f"{folder}: exit code {process.returncode} after a signal: {error}")
        bench.finish(folder)
        if difference := bench.differs(folder):
            failures.append(difference)
        else:
            shutil.rmtree(folder)
    settings = tomllib.loads(bench.result["recipe"])
    step = bench.result["train_seconds"] / settings["epochs"] / math.ceil(bench.result["train_images"] / settings["batch"])
    return {"signals": run, "stopped_with_75": len(seconds), "seconds_of_a_write_median": round(statistics.median(writes), 4),
            "seconds_of_a_write_longest": round(max(writes), 4), "seconds_median": round(statistics.median(seconds), 4),
            "seconds_longest": round(max(seconds), 4), "seconds_of_a_step": round(step, 4)}


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def fill(folder, left):
    """Takes all room but so many bytes, as far as the run has not taken that."""
    file_system = os.statvfs(folder)
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as filler:
        filler.write(bytes(max(0, file_system.f_bavail * file_system.f_frsize - left)))


def full(bench, count, failures):
    """`unshare -rm` has given this process its own mounts."""
    bench.measure()
    disk, whole = bench.scratch / "disk", bench.scratch / "whole"
    disk.mkdir()
    saved = (whole / "last.ckpt").stat().st_size
    refused = ended = 0
    for run in range(count):
        trouble = ("small", "full", "read-only")[run % 3]
        mount("-t", "tmpfs", "-o", f"size={2 * saved if trouble == 'small' else 20 * saved}", "none", str(disk))
        folder = disk / "run"
        process = bench.start(folder)
        if trouble != "small":
            while not (folder / "last.ckpt").exists() and process.poll() is None:
                time.sleep(0.001)
            time.sleep(bench.random.uniform(0, bench.seconds / 4))
        if trouble == "full":
            fill(disk, bench.random.randrange(saved))
        if trouble == "read-only":
            process.kill()
            process.communicate()
            mount("-o", "remount,ro", str(disk))
            process = bench.start(folder)
        error = process.communicate()[1]
        words = {"small": "MiB for its checkpoints", "full": "No space left on device", "read-only": "Read-only file system"}[trouble]
        if process.returncode == 4 and words in error and str(folder) in error:
            refused += trouble == "small"
            ended += trouble != "small"
        elif process.returncode != 0 or trouble == "small":
            failures.append(f"{trouble} disk: exit code {process.returncode}: {error}")
        if trouble != "small" and not whole_checkpoint(folder, failures):
            failures.append(f"{trouble} disk: no checkpoint is left")
        mount("-o", f"remount,rw,size={40 * saved}", str(disk))
        (disk / "filler").unlink(missing_ok=True)
        bench.finish(folder)
        if difference := bench.differs(folder):
            failures.append(difference)
        subprocess.run(["umount", str(disk)], check=True)
    return {"disks": count, "refused_before_the_first_step": refused, "ended_with_4": ended}


def in_own_mounts():
    if os.environ.get("FOVEA_OWN_MOUNTS") != "1":
        os.environ["FOVEA_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "--map-root-user", "--mount", sys.executable, *sys.argv])


KINDS = {"resume": (resume, 50, {}), "full": (full, 30, {"save_every": "1 step"}), "signals": (signals, 50, {}),
         "writer": (writer, 400, {"width": 512, "images": 20000, "epochs": 50, "save_every": "1 step"})}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--fovea", default="build/fovea", metavar="PROGRAM")
    parser.add_argument("--backend", default="openmp", metavar="NAME")
    parser.add_argument("--count", type=int, metavar="N", help="runs or kills (default: what the record has to show)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--longest", type=float, default=0.5, metavar="S", help="writer: between two kills")
    parser.add_argument("--out", metavar="FILE", help="where the record goes, such as results/survival.jsonl")
    arguments = parser.parse_args()
    if arguments.kind == "full":
        in_own_mounts()
    run, count, sizes = KINDS[arguments.kind]
    count = arguments.count or count
    failures, bench = [], Bench(arguments, **sizes)
    figures = run(bench, count, failures)
    bench.close(failures)
    print(f"{arguments.kind} on {arguments.backend}: " + ", ".join(f"{key} {value}" for key, value in figures.items()) +
          f", failures {len(failures)}")
    for failure in failures:
        print(f"  {failure}", file=sys.stderr)
    if arguments.out:
        version = subprocess.run([arguments.fovea, "--version"], capture_output=True, text=True).stdout
        program = {"versions": {"fovea": version.split()[1]}, "commit": version.split("(")[1].split(",")[0]}
        line = record.record(f"survival/{arguments.kind}-{arguments.backend}", "failures", {"fovea": [len(failures)]},
                             {"seed": arguments.seed, **figures}, program)
        record.append(arguments.out, line)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
