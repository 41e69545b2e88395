#!/usr/bin/env python3
"""Gives bad input to the program, case by case, and writes a record: what each took of time and memory, beside what it must say.

tools/bad_input.py [--build FOLDER] [--out FILE]

The cases are those of tests/cli/bad_*_test.cpp, which ask for the exit code, the message, little memory and nothing left behind.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import record  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
GROUPS = {"data sets": "BadData", "models": "BadModel", "checkpoints": "BadCheckpoint", "networks, recipes and commands": "BadText"}


def cases_of(build):
    """Every case with what the test has measured of it."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "tests.json"
        ran = subprocess.run([build / "cli_tests", "--gtest_brief=1", "--gtest_filter=*/Bad*", f"--gtest_output=json:{output}"], cwd=ROOT)
        if ran.returncode != 0:
            sys.exit("bad_input: a case failed: no record")
        suites = json.loads(output.read_text())["testsuites"]
    return [{"group": suite["name"].split("/")[1], **case} for suite in suites for case in suite["testsuite"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build", metavar="FOLDER")
    parser.add_argument("--out", metavar="FILE", help="where the record goes, such as results/input.jsonl")
    arguments = parser.parse_args()
    cases = cases_of(arguments.build.resolve())
    counts = {what: sum(case["group"] == group for case in cases) for what, group in GROUPS.items()}
    seconds = [int(case["cpu_ms"]) / 1000 for case in cases]
    peaks = [int(case["peak_mib"]) for case in cases]
    print(f"{len(cases)} cases, each refused as it should be, in at most {max(seconds):.2f} s of the processor and {max(peaks)} MiB")
    if arguments.out:
        limits = (ROOT / "tests/cli/limited_run.h").read_text()
        configuration = {"command": "tools/bad_input.py", "cases": len(cases), "cases_by_kind": counts,
                         "address_space_gib": int(re.search(r"address_space = int64_t\{(\d+)\} << 30", limits)[1]),
                         "peak_mib": max(peaks), "slowest_seconds": max(seconds), "slowest": cases[seconds.index(max(seconds))]["name"]}
        record.append(arguments.out, record.record("input/bad", "failures", {"fovea": [0]}, configuration,
                                                   {"versions": {}, "commit": record.commit_of(ROOT)}))


if __name__ == "__main__":
    main()
