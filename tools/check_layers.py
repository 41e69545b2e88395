#!/usr/bin/env python3
"""Checks the order of the folders, the chains of the backends, file sizes, file names and the number of #if.

tools/check_layers.py              checks the tree this script lies in; exit code 1 when something is found
tools/check_layers.py --self-test  plants one violation of each kind in a temporary tree and expects each to be found
"""
import re
import sys
import tempfile
from pathlib import Path

ORDER = "base tensor data graph model device backend comm plan io train fovea study report cli".split()
PARENT = {"eigen": "reference", "openmp": "eigen", "onednn": "openmp", "cudnn": "cuda"}
REGISTRY = "fovea/backend/registry.cpp"
CODE = {".h", ".cpp", ".cu", ".cuh"}
SCRIPTS = {".py", ".sh", ".cmake"}
MAX_LINES = 500
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^>"]+)[>"]')
CONDITION = re.compile(r"\s*#\s*if")
HOST_OR_DEVICE = ("fovea/base/philox.h", "#ifdef __CUDACC__")  # one header for both compilers: not counted


def ancestors(engine):
    chain = [engine]
    while chain[-1] in PARENT:
        chain.append(PARENT[chain[-1]])
    return chain


def place_of(name):
    """The folder of a file, by its path from the root; the public interface, fovea/fovea.h, counts as one."""
    return name.split("/")[1].split(".")[0]


def check_include(file, target):
    """What is wrong with `file` including `target` (both from the root) and the remedy, or None."""
    here, there = file.split("/"), target.split("/")
    if here[0] != "fovea":
        return None
    if there[0] == "tests":
        return f"includes the test file `{target}`", "move what both need into a folder of fovea/"
    place, target_place = place_of(file), place_of(target)
    if target_place not in ORDER:
        return f"includes `{target}` from a folder that is not in the order", "put the folder into docs/design.md and ORDER"
    if ORDER.index(target_place) > ORDER.index(place):
        return (f"`{place}` includes `{target}`, but `{target_place}` comes later in the order",
                f"move the code to `{target_place}` or what it needs to `{place}` or above")
    if there[1] != "backend" or len(there) < 4 or file == REGISTRY:
        return None
    if here[1] != "backend" or len(here) < 4:
        return (f"includes `{target}` of the engine `{there[2]}`; only {REGISTRY} may",
                "go through fovea/backend/backend.h and fovea/backend/registry.h")
    if there[2] not in ancestors(here[2]):
        return (f"engine `{here[2]}` includes `{target}`, but may use only {' <- '.join(reversed(ancestors(here[2])))}",
                "move what both need to an engine further up the chain or to backend/ itself")
    return None


def find_cycles(includes):
    """includes: {file: {target: line}}. Yields (file, line, [cycle]) once for each include that closes a cycle."""
    state = {}

    def visit(file, path):
        state[file] = "open"
        for target, line in includes[file].items():
            if state.get(target) == "open":
                yield file, line, path[path.index(target):] + [target]
            elif target in includes and target not in state:
                yield from visit(target, path + [target])
        state[file] = "done"

    for file in includes:
        if file not in state:
            yield from visit(file, [file])


def check_name(name, lines, found):
    vague = [part for part in re.split(r"[/_.]", name.lower()) if part in VAGUE]
    if vague:
        found.append((name, 1, f"the name says `{vague[0]}`, which says nothing", "name it after what it holds"))
    if len(lines) > MAX_LINES:
        found.append((name, MAX_LINES + 1, f"{len(lines)} lines, allowed are {MAX_LINES}", "split it by what it does"))


def read_includes(root, name, lines, found):
    targets = {}
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match[1]
        if target.startswith(("fovea/", "tests/")):
            targets[target] = number
            problem = check_include(name, target)
            if problem:
                found.append((name, number, *problem))
        elif (root / name).parent.joinpath(target).is_file():
            found.append((name, number, f"includes `{target}` by a relative path", "write it from the root: fovea/..."))
    return targets


def check_conditions(conditions, total, found):
    if len(conditions) <= max(1, (total - 1) // 1000):
        return
    for name, number in conditions:
        found.append((name, number, f"one of {len(conditions)} #if in {total} lines; allowed are fewer than 1 in 1000 (or 1)",
                      "choose at run time, by file (CMake) or by template instead"))


def check(root):
    """All violations below `root`, as (file, line, what, remedy)."""
    found, includes, conditions, total = [], {}, [], 0
    files = [path for top in ("fovea", "tests", "tools") for path in sorted((root / top).rglob("*")) if path.suffix in CODE | SCRIPTS]
    for path in files:
        name = path.relative_to(root).as_posix()
        lines = path.read_text(encoding="utf-8").splitlines()
        check_name(name, lines, found)
        if path.suffix not in CODE:
            continue
        folder = place_of(name)
        if name.startswith("fovea/") and folder not in ORDER:
            found.append((name, 1, f"`{folder}` is not in the order of the folders", "put it into docs/design.md and ORDER"))
            continue
        includes[name] = read_includes(root, name, lines, found)
        total += len(lines)
        conditions += [(name, number) for number, line in enumerate(lines, 1)
                       if CONDITION.match(line) and (name, line.strip()) != HOST_OR_DEVICE]
    for name, number, cycle in find_cycles(includes):
        found.append((name, number, f"closes a cycle of includes: {' -> '.join(cycle)}", "move what they share into a file of its own"))
    check_conditions(conditions, total, found)
    return found, len(files)


# Each planted file with the words expected in the message about it; None: the file is in order and must stay unmentioned.
PLANTED = [
    ("fovea/base/up.h", '#include "fovea/graph/op.h"', "comes later in the order"),
    ("fovea/train/outside.cpp", '#include "fovea/fovea.h"', "comes later in the order"),
    ("fovea/fovea.h", '#include "fovea/train/any.h"', None),
    ("fovea/train/engine.cpp", '#include "fovea/backend/eigen/gemm.h"', "only fovea/backend/registry.cpp may"),
    ("fovea/backend/backend.cpp", '#include "fovea/backend/eigen/gemm.h"', "only fovea/backend/registry.cpp may"),
    ("fovea/backend/reference/child.cpp", '#include "fovea/backend/eigen/gemm.h"', "engine `reference` includes"),
    ("fovea/backend/cuda/other_chain.cu", '#include "fovea/backend/eigen/gemm.h"', "engine `cuda` includes"),
    ("fovea/backend/openmp/parent.cpp", '#include "fovea/backend/reference/plain.h"', None),
    ("fovea/backend/cudnn/parent.cpp", '#include "fovea/backend/cuda/launch.h"', None),
    (REGISTRY, '#include "fovea/backend/cuda/a.h"\n#include "fovea/backend/eigen/gemm.h"', None),
    ("fovea/cli/late.cpp", '#include "fovea/plan/plan.h"', None),
    ("fovea/plan/tested.cpp", '#include "tests/close.h"', "includes the test file"),
    ("fovea/plan/lost.cpp", '#include "fovea/kernels/a.h"', "from a folder that is not in the order"),
    ("fovea/extra/a.h", "", "is not in the order of the folders"),
    ("fovea/plan/beside.cpp", '#include "lonely.h"', "by a relative path"),
    ("fovea/plan/lonely.h", "", None),
    ("fovea/io/a.h", '#include "fovea/io/b.h"', None),
    ("fovea/io/b.h", '#include "fovea/io/a.h"', "fovea/io/a.h -> fovea/io/b.h -> fovea/io/a.h"),
    ("fovea/io/long.cpp", "\n" * (MAX_LINES + 1), "501 lines"),
    ("fovea/io/full.cpp", "\n" * MAX_LINES, None),
    ("fovea/io/string_utils.h", "", "says `utils`"),
    ("fovea/study/choice.cpp", "#ifdef A", "#if in"),
    ("fovea/study/second_choice.cpp", "  #  if B", "#if in"),
    (HOST_OR_DEVICE[0], HOST_OR_DEVICE[1], None),
    ("tests/any.cpp", '#include "fovea/cli/a.h"\n#include "fovea/backend/cuda/a.h"\n#include "tests/close.h"', None),
]


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text, _ in PLANTED:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n" if text.strip() else text, encoding="utf-8")
        found, _ = check(root)
    wrong = []
    for name, _, expected in PLANTED:
        said = [what for file, _, what, _ in found if file == name]
        if [expected is None or expected in what for what in said] != ([] if expected is None else [True]):
            wrong.append(f"self-test: {name}: expected {expected!r}, found {said}")
    print("\n".join(wrong) if wrong else f"layers: the self-test found each of {len(found)} planted violations and no other")
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if sys.argv[1:]:
        print(__doc__)
        return 2
    found, count = check(Path(__file__).resolve().parent.parent)
    for name, number, what, remedy in found:
        print(f"{name}:{number}: {what}\n  help: {remedy}")
    print(f"layers: {len(found)} violations in {count} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
