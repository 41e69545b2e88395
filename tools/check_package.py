#!/usr/bin/env python3
"""Checks that the programs and libraries of an unpacked fovea need nothing that a bare Debian 12 or Ubuntu 24.04 lacks.

tools/check_package.py FOLDER       libraries that are neither on every such system nor where who needs them looks; versions of symbols too new
tools/check_package.py --self-test  expects each kind of fault to be found
"""
import re
import subprocess
import sys
from pathlib import Path

# What a system with apt has in any case.
EVERYWHERE = re.compile(r"(ld-linux-x86-64\.so\.2|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so\.\d+)$")
# The newest that Debian 12 has: glibc 2.36, libstdc++ and libgcc of gcc 12. Ubuntu 24.04 has newer ones of each.
NEWEST = {"GLIBC": (2, 36), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "GCC": (12, 0, 0)}
VERSION = re.compile(r"\s0x\w+ 0x\w+ \d+ ([A-Z]+)_([0-9.]+)$")


def read(file):
    """The names of the needed libraries, where they are searched and (family, version) of the needed symbols."""
    said = subprocess.run(["objdump", "-p", file], capture_output=True, text=True, check=True).stdout
    return parse(said)


def parse(said):
    lines = said.splitlines()
    needed = [line.split()[1] for line in lines if line.split()[:1] == ["NEEDED"]]
    searched = [folder for line in lines if line.split()[:1] == ["RUNPATH"] for folder in line.split()[1].split(":")]
    required = "\n".join(lines).partition("Version References:")[2].splitlines()
    found = [VERSION.search(line) for line in required]
    return needed, searched, [(match[1], tuple(int(part) for part in match[2].split("."))) for match in found if match]


def faults(name, needed, versions, has):
    """has: whether a library lies where the system will look for it on behalf of this one."""
    for library in needed:
        if not EVERYWHERE.match(library) and not has(library):
            yield f"{name} needs {library}, which is neither on every system nor where {name} looks"
    for family, version in sorted(set(versions)):
        if family in NEWEST and version > NEWEST[family]:
            text = ".".join(map(str, version))
            yield f"{name} needs {family}_{text}, newer than {'.'.join(map(str, NEWEST[family]))} of Debian 12: build on Debian 12"


def self_test():
    said = ("  NEEDED               libfmt.so.9\n  NEEDED               libfovea.so.0.1\n  NEEDED               libstdc++.so.6\n"
            "  RUNPATH              $ORIGIN/../lib:/opt\n"
            "Version definitions:\n1 0x01 0x0d696910 GLIBC_9.9\nVersion References:\n  required from libc.so.6:\n"
            "    0x06969194 0x00 03 GLIBC_2.38\n    0x09691a75 0x00 02 GLIBC_2.2.5\n  required from libstdc++.so.6:\n"
            "    0x0297f869 0x00 10 GLIBCXX_3.4.31\n    0x0297f868 0x00 11 GLIBCXX_3.4.30\n")
    needed, searched, versions = parse(said)
    there = {("$ORIGIN/../lib", "libfovea.so.0.1"), ("$ORIGIN/elsewhere", "libfmt.so.9")}
    found = list(faults("x", needed, versions, lambda library: any((folder, library) in there for folder in searched)))
    expected = ["libfmt.so.9", "GLIBC_2.38", "GLIBCXX_3.4.31"]
    wrong = len(found) != len(expected) or any(words not in fault for words, fault in zip(expected, found))
    print(f"package: self-test {'FAILED: ' + str(found) if wrong else 'passed'}")
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    folder = Path(sys.argv[1])
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.open("rb").read(4) == b"\x7fELF"]
    if not files:
        print(f"package: {folder} holds no program")
        return 1
    found, newest = [], {}
    for path in files:
        if path.is_symlink():
            continue
        needed, searched, versions = read(path)
        places = [Path(place.replace("$ORIGIN", str(path.parent))) for place in searched if place.startswith("$ORIGIN")]
        found += faults(path.relative_to(folder).as_posix(), needed, versions, lambda name: any((place / name).exists() for place in places))
        for family, version in versions:
            newest[family] = max(newest.get(family, version), version)
    print("\n".join(found + [f"package: {len(files)} programs, libraries and links to them; the newest symbols that they need: " +
                             ", ".join(f"{family}_{'.'.join(map(str, newest[family]))}" for family in NEWEST if family in newest)]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
