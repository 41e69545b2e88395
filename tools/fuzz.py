#!/usr/bin/env python3
"""Fuzzes every reader with libFuzzer under AddressSanitizer and UBSan, one after the other, and writes a record of each.

tools/fuzz.py [TARGET...] [--minutes N] [--build FOLDER] [--out FILE]

Needs clang. TARGET: idx, cifar, model, recipe, safetensors, checkpoint, tuning (default: all). N: minutes of processor time for each (default: 10).
What a target comes upon is kept in FOLDER/found, and inputs that reach new code in FOLDER/corpus, from where the next call goes on.
Exit code 1 if anything was found.
"""
import argparse
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import record  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {"idx": [], "cifar": [], "model": ["models"], "recipe": ["recipes"], "safetensors": [], "checkpoint": [], "tuning": []}
MOST_MIB = 256
LONGEST_INPUT = 8192
SECONDS_PER_INPUT = 10
CLANG = os.environ.get("CXX", "clang++")


def build(folder):
    if not (folder / "CMakeCache.txt").exists():
        subprocess.run(["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DFOVEA_TESTS=ON",
                        "-DFOVEA_FUZZ=ON", "-DFOVEA_CUDA=OFF", f"-DCMAKE_CXX_COMPILER={CLANG}"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "--target", "fuzzers"], check=True, stdout=subprocess.DEVNULL)


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fuzz(target, minutes, folder):
    """Runs of libFuzzer, until they have taken so much of the processor or one of them has found something."""
    corpus, found = folder / "corpus" / target, folder / "found" / target
    for path in (corpus, found):
        path.mkdir(parents=True, exist_ok=True)
    kept = [ROOT / "tests/fuzz/corpus" / target, *(ROOT / name for name in TARGETS[target])]
    begin, inputs, peak = processor_seconds(), 0, 0
    findings = set(found.iterdir())
    new = set()
    while (left := 60 * minutes - (processor_seconds() - begin)) >= 1 and not new:
        ran = subprocess.run([folder / f"fuzz_{target}", f"-max_total_time={int(left)}", f"-rss_limit_mb={MOST_MIB}",
                              f"-timeout={SECONDS_PER_INPUT}", f"-max_len={LONGEST_INPUT}", "-print_final_stats=1",
                              f"-artifact_prefix={found}/", corpus, *kept], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env=os.environ | {"ASAN_OPTIONS": "quarantine_size_mb=16"})
        log = ran.stderr.decode(errors="replace")
        figures = {key: int(value) for key, value in re.findall(r"^stat::(\w+): +(\d+)$", log, re.MULTILINE)}
        inputs += figures.get("number_of_executed_units", 0)
        peak = max(peak, figures.get("peak_rss_mb", 0))
        new = set(found.iterdir()) - findings
        if ran.returncode != 0 and not new:
            sys.exit(f"fuzz: {target} ended with exit code {ran.returncode}:\n{log[-4000:]}")
    seconds = processor_seconds() - begin
    print(f"{target}: {len(new)} findings, {inputs} inputs in {seconds:.0f} s, at most {peak} MiB", flush=True)
    for file in sorted(new):
        print(f"  {file}; `{folder / ('fuzz_' + target)} {file}` shows it")
    return {"findings": len(new), "inputs": inputs, "processor_seconds": round(seconds), "peak_mib": peak}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10, metavar="N")
    parser.add_argument("--build", type=Path, default=ROOT / "build-fuzz", metavar="FOLDER")
    parser.add_argument("--out", metavar="FILE", help="where the record goes, such as results/input.jsonl")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    folder = arguments.build.resolve()
    build(folder)
    commit = record.commit_of(ROOT)
    version = subprocess.run([CLANG, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    findings = 0
    for target in arguments.targets or TARGETS:
        ran = fuzz(target, arguments.minutes, folder)
        findings += ran["findings"]
        if arguments.out:
            configuration = {"command": f"tools/fuzz.py {target} --minutes {arguments.minutes:g}", "sanitizers": "address, undefined",
                             "memory_limit_mib": MOST_MIB, "longest_input": LONGEST_INPUT, "seconds_per_input": SECONDS_PER_INPUT} | ran
            record.append(arguments.out, record.record(f"input/fuzz-{target}", "findings", {"fovea": [ran["findings"]]}, configuration,
                                                       {"versions": {"clang": version}, "commit": commit}))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
