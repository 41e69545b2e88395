#!/usr/bin/env python3
"""Turns what was measured into a record: one line of JSON behind the others of a file in results/ (docs/results.md).

tools/record.py runs EXPERIMENT FOLDER... --out FILE [--value KEY]
    KEY (default: test_accuracy) of the result.json in each FOLDER, of runs that differ in seed, out and data folder alone
tools/record.py time EXPERIMENT --out FILE [--rounds N] -- COMMAND...
    wall-clock seconds of COMMAND, N times (default: 1); a COMMAND that fails gives no record
tools/record.py comparison FOLDER --out FOLDER
    the result.json of a `fovea compare`, less what names folders of one machine
tools/record.py fresh EXPERIMENT LOG --out FILE
    the seconds of each stage in the LOG of a tools/fresh.sh that passed
"""
import argparse
import datetime
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

SCHEMA_VERSION = 1
UNITS = {"test_accuracy": "share", "train_accuracy": "share", "best_valid_accuracy": "share", "images_per_second": "images/s",
         "train_seconds": "s", "seconds_to_first_step": "s", "peak_memory_bytes": "bytes"}
VARYING = {"seed", "out", "data"}


def machine():
    """What the numbers depend on and a reader may know."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory_gib": round(memory / 2**30, 1)}


def commit_of(folder):
    def git(*arguments):
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    head = git("rev-parse", "--short=12", "HEAD")
    if head.returncode != 0:
        return "unknown"
    return head.stdout.strip() + ("+" if git("diff", "--quiet", "HEAD").returncode != 0 else "")


def record(experiment, unit, runs, configuration, program):
    """runs: values by label, in the order in which they were measured. program: its `versions` and `commit`."""
    return {"schema_version": SCHEMA_VERSION, "experiment": experiment, "unit": unit,
            "median": {label: round(statistics.median(values), 6) for label, values in runs.items()}, "runs": runs,
            "configuration": configuration, "machine": machine(), "versions": program["versions"], "commit": program["commit"],
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")}


def append(path, line):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(f"{path}: {line['experiment']}: " +
          ", ".join(f"{label} {value:.6g}" for label, value in line["median"].items()) + f" {line['unit']}")


def settings_of(result):
    """The recipe of a run, less what names folders of one machine."""
    settings = tomllib.loads(result["recipe"])
    settings["data"] = settings["data"].split(":")[0]
    del settings["out"]
    return settings


def record_runs(arguments):
    results = [json.loads((Path(folder) / "result.json").read_text()) for folder in arguments.folders]
    settings = [settings_of(result) for result in results]
    alike = [{key: value for key, value in one.items() if key not in VARYING} for one in settings]
    if any(one != alike[0] for one in alike) or any(result["commit"] != results[0]["commit"] for result in results):
        sys.exit("record: the runs differ in more than seed, out and data; make a record of each kind")
    configuration = alike[0] | {"backend": results[0]["backend"], "threads": results[0]["threads"], "data": settings[0]["data"],
                                "seeds": [one["seed"] for one in settings],
                                "train_images": results[0]["train_images"], "test_images": results[0]["test_images"],
                                "validation": results[0]["validation"]}
    runs = {f"fovea {results[0]['backend']}": [result[arguments.value] for result in results]}
    line = record(arguments.experiment, UNITS[arguments.value], runs, configuration | {"value": arguments.value}, results[0])
    line["machine"] = results[0]["machine"]  # where the runs were made, which need not be here
    return line


def told(command):
    """A command without what names folders of one machine."""
    words = [Path(command[0]).name if "/" in command[0] and not command[0].startswith("./") else command[0]]
    for before, word in zip(command, command[1:]):
        if word not in ("--out", "--overwrite") and before != "--out":
            words.append(re.sub(r"(^|[:=])/\S*", r"\1DIR", word))
    return shlex.join(words)


def result_of(command):
    """What a training says of its program and device, where the command names a folder for it."""
    folder = dict(zip(command, command[1:])).get("--out")
    result = Path(folder) / "result.json" if folder else None
    return json.loads(result.read_text()) if result and result.exists() else None


def record_time(arguments):
    seconds = []
    for _ in range(arguments.rounds):
        begin = time.perf_counter()
        if code := subprocess.run(arguments.command).returncode:
            sys.exit(f"record: `{shlex.join(arguments.command)}` ended with exit code {code}: no record")
        seconds.append(round(time.perf_counter() - begin, 2))
    command = told(arguments.command)
    program = result_of(arguments.command) or {"versions": {}, "commit": commit_of("."), "machine": machine()}
    return record(arguments.experiment, "s", {command: seconds}, {"command": command}, program) | {"machine": program["machine"]}


def record_comparison(arguments):
    comparison = json.loads((Path(arguments.folder) / "result.json").read_text())
    comparison["command"] = shlex.split(told(comparison["command"]))
    comparison["question"]["data"] = comparison["question"]["data"].split(" (")[0]
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(comparison, ensure_ascii=False, indent=1) + "\n")
    print(f"{folder}/result.json: {shlex.join(comparison['command'])}")


def record_fresh(arguments):
    text = Path(arguments.log).read_text()
    if "fresh.sh: passed" not in text:
        sys.exit(f"record: {arguments.log} is not the log of a tools/fresh.sh that passed")
    stages = re.findall(r"^(\S.*?) +exit (\d+) +(\d+) s$", text[text.index("== summary"):], re.MULTILINE)
    runs = {stage: [int(seconds)] for stage, code, seconds in stages if code == "0" and re.search(r"\./(demo|check)$", stage)}
    return record(arguments.experiment, "s", runs, {"command": "tools/fresh.sh"},
                  {"versions": {}, "commit": re.search(r"^== clone (\w+)", text, re.MULTILINE)[1]})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    comparison = kinds.add_parser("comparison")
    comparison.set_defaults(action=None)
    comparison.add_argument("folder", metavar="FOLDER")
    comparison.add_argument("--out", required=True, metavar="FOLDER", help="a folder in results/reports/")
    for kind, action in (("runs", record_runs), ("time", record_time), ("fresh", record_fresh)):
        one = kinds.add_parser(kind)
        one.set_defaults(action=action)
        one.add_argument("experiment", help="such as accuracy/lenet5-mnist-eigen")
        one.add_argument("--out", required=True, metavar="FILE", help="a file in results/")
        if kind == "runs":
            one.add_argument("folders", nargs="+", metavar="FOLDER")
            one.add_argument("--value", default="test_accuracy", choices=UNITS)
        elif kind == "time":
            one.add_argument("--rounds", type=int, default=1)
            one.add_argument("command", nargs="+", metavar="COMMAND")
        else:
            one.add_argument("log", metavar="LOG")
    arguments = parser.parse_args()
    if arguments.action is None:
        record_comparison(arguments)
    else:
        append(arguments.out, arguments.action(arguments))


if __name__ == "__main__":
    main()
