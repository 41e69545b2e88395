#!/usr/bin/env python3
"""Checks that no inline function compiled for AVX2 or AVX-512 can be linked in place of the one that every processor can run.

usage: tools/check_isa.py BUILD         over all objects of a build folder
       tools/check_isa.py --self-test   over planted leaks
The linker keeps one of several weak definitions of a name. So in objects compiled for an instruction set of their own (-march, -mavx2)
every weak function must have a name of its own: the namespaces `v3`, `v4`, `Eigen_v3` and Highway's `N_AVX2` are such names, and a name
must not come back in an object for another set. In objects that hold code for several sets (Highway, target_clones) what has no such
name must do without the instructions of any of them.
Exit codes: 0 no leak, 1 leaks, 2 usage or nothing to check.
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FLAG = re.compile(r"(?<!\S)-m(?:arch=\S+|avx\S*|sse[34]\S*|ssse3|fma|bmi2?|f16c)")
EVERYWHERE = {"-march=x86-64"}
NAMED = re.compile(r"\b(?:\w+_)?v[234]\b|\bN_[A-Z0-9_]+\b")
SEVERAL = re.compile(r"\bN_AVX[A-Z0-9_]*\b|\.arch_|\[clone \.?(?:arch_|avx)")
# What the first x86-64 processors do not know: VEX and EVEX, masks, BMI, SSSE3 to SSE4.2.
NEWER = re.compile(
    r"v[a-z]|k(mov|and|or|xn?or|not|test|shift|unpck|add)|andn$|bextr|bls[ir]|blsmsk|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|popcnt|lzcnt"
    r"|crc32|movbe|ad[co]x$|pshufb|pmulhrsw|palign|pabs|psign|ph(add|sub|minpos)|pmaddubsw|round[ps][sd]|p?blend|dpp[sd]|insertps|extractps"
    r"|pinsr[bdq]|pextr[bdq]|pmov[sz]x|pm(in|ax)(s[bd]|u[wd])|pmuldq|pmulld|ptest|pcmp(eq|gt)q|packusdw|mpsadbw|lddqu|aes|pclmul")


def output_of(*command, text=None):
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def functions_of(path):
    """({mangled: demangled} of the weak functions, whether the object holds code for several instruction sets)."""
    symbols = [line.split() for line in output_of("nm", "--defined-only", path).splitlines()]
    names = [parts[-1] for parts in symbols]
    plain = output_of("c++filt", text="\n".join(names)).splitlines()
    weak = {name: shown for parts, name, shown in zip(symbols, names, plain) if parts[-2] == "W"}
    return weak, any(SEVERAL.search(shown) for shown in plain)


def newer_instructions(path, names):
    """{mangled: instruction} of those functions among `names` that hold one which not every processor knows."""
    found, current = {}, None
    for line in output_of("objdump", "-d", "--no-show-raw-insn", path).splitlines():
        header = re.match(r"[0-9a-f]+ <(.+)>:$", line)
        if header:
            current = header[1].removesuffix(".cold")
            continue
        instruction = re.match(r"\s+[0-9a-f]+:\s+(\S+)", line)
        if instruction and current in names and current not in found and NEWER.match(instruction[1]):
            found[current] = instruction[1]
    return found


def check(objects):
    """objects: [(path, flags)]. All leaks as (path, function, what), and how many objects are for other or several sets."""
    leaks, owners, own, several = [], {}, 0, 0
    for path, flags in objects:
        weak, mixed = functions_of(path)
        own, several = own + bool(flags), several + (mixed and not flags)
        if flags:
            leaks += [(path, shown, f"is weak and compiled with {flags}") for shown in weak.values() if not NAMED.search(shown)]
        elif mixed:
            unnamed = {name: shown for name, shown in weak.items() if not NAMED.search(shown)}
            leaks += [(path, unnamed[name], f"is weak and holds `{instruction}`")
                      for name, instruction in newer_instructions(path, unnamed).items()]
        for name, shown in weak.items():
            other, place = owners.setdefault(name, (flags, path))
            if other != flags and NAMED.search(shown):
                leaks.append((path, shown, f"is also defined in {place}, compiled with {other or 'no flags'} instead of {flags or 'none'}"))
    return leaks, own, several


def flags_of(command):
    return " ".join(sorted(set(FLAG.findall(command)) - EVERYWHERE))


def objects_of(build):
    entries = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    objects = [(Path(entry["directory"], re.search(r" -o (\S+)", entry["command"])[1]), flags_of(entry["command"])) for entry in entries]
    return [(path, flags) for path, flags in objects if path.is_file()]


# name: (flags, source, the functions that must be reported). All include <vector> as code of the time would.
PLANTED = {
    "inline": ("-march=x86-64-v4", "inline __attribute__((noinline)) int leak(int x) { return x + 1; }\n"
               "int use(int x) { return leak(x); }", ["leak(int)"]),
    "template": ("-mavx2", "template <class T> __attribute__((noinline)) T twice(T x) { return x + x; }\n"
                 "namespace a::v3 { float f(float x) { return twice(x); } }", ["float twice<float>(float)"]),
    "named": ("-march=x86-64-v3", "namespace a::v3 { inline __attribute__((noinline)) int f(int x) { return x + 1; }\n"
              "int g(int x) { return f(x); } }", []),
    "stolen": ("-march=x86-64-v4", "namespace a::v3 { inline __attribute__((noinline)) int f(int x) { return x + 1; }\n"
               "int h(int x) { return f(x); } }", ["a::v3::f(int)"]),
    "several": ("", '#pragma GCC push_options\n#pragma GCC target("avx2")\n'
                "inline __attribute__((noinline)) float product(float x) { return x * 3; }\n"
                "namespace N_AVX2 { inline __attribute__((noinline)) float own(float x) { return x * 2; }\n"
                "float f(float x) { return own(x) + product(x); } }\n#pragma GCC pop_options\n"
                "inline __attribute__((noinline)) float plain(float x) { return x * 5; }\n"
                "float g(float x) { return plain(x); }", ["product(float)"]),
    "baseline": ("", "inline __attribute__((noinline)) int fine(int x) { return x + 1; }\nint k(int x) { return fine(x); }", []),
}


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        objects, expected = [], []
        for name, (flags, source, functions) in PLANTED.items():
            path = Path(folder, name + ".o")
            path.with_suffix(".cpp").write_text(source + "\n", encoding="utf-8")
            subprocess.run(["c++", "-O2", "-c", *flags.split(), path.with_suffix(".cpp"), "-o", path], check=True)
            objects.append((path, flags_of(flags)))
            expected += [(path, function) for function in functions]
        found = [(path, function) for path, function, _ in check(objects)[0]]
    if found != expected:
        print(f"isa: the self-test expected {expected}, but found {found}")
        return 1
    print(f"isa: the self-test found each of {len(expected)} planted leaks and no other")
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 2
    objects = objects_of(Path(sys.argv[1]))
    leaks, own, several = check(objects)
    for path, function, what in leaks:
        print(f"{path}: `{function}` {what}\n  help: move it into the namespace of its instruction set, or do without it there")
    print(f"isa: {len(leaks)} leaks in {len(objects)} objects, {own} of them for one instruction set and {several} for several")
    return 2 if not objects else 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
