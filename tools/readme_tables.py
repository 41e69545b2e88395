#!/usr/bin/env python3
"""Writes the tables of results in README.md, docs/results.md and docs/comparison.md, between their markers, from the records in results/ (docs/results.md).

tools/readme_tables.py           replaces what stands between the markers
tools/readme_tables.py --check   changes nothing; exit code 1 if one of them says something else than the records
Of several records of one experiment on one machine the last one counts.
"""
import json
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README, RESULTS, COMPARISON = ROOT / "README.md", ROOT / "docs" / "results.md", ROOT / "docs" / "comparison.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
KEYS = {"schema_version", "experiment", "unit", "median", "runs", "configuration", "machine", "versions", "commit", "date"}


def fail(place, message):
    sys.exit(f"readme_tables: {place}: {message}")


def read_record(line, place):
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        fail(place, f"not JSON: {error}")
    if missing := KEYS - record.keys():
        fail(place, f"the record lacks {', '.join(sorted(missing))}")
    if record["schema_version"] != 1:
        fail(place, f"the record has schema_version {record['schema_version']}, this tool reads 1")
    if record["median"].keys() != record["runs"].keys() or not all(record["runs"].values()):
        fail(place, "`median` and `runs` name different things, or a list of values is empty")
    if record["unit"] == "images/s" and "ratio" not in record:
        fail(place, "a speed without a `ratio` to a peer measured in the same run")
    return record


def read_records(folder):
    records = {}
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            record = read_record(line, f"{path.relative_to(ROOT)}:{number}")
            records[record["experiment"], json.dumps(record["machine"], sort_keys=True)] = record
    return [records[key] for key in sorted(records)]


def machine_of(record):
    machine = record["machine"]
    return machine["device"] if "device" in machine else f"{machine['cpu']}, {machine['cores']} cores" + (f", {machine['gpu']}" if "gpu" in machine else "")


def origin_of(record):
    return [f"{record['date']}, `{record['commit']}`"]


def of(count, word):
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def rows_of_accuracy(record):
    setting = record["configuration"]
    which = "best epoch" if setting["value"] == "best_valid_accuracy" else "last epoch"
    for label, values in record["runs"].items():
        yield [f"{setting['model']} on {setting['data']}, {of(setting['epochs'], 'epoch')}, {which}", label,
               f"{100 * statistics.fmean(values):.2f} %", f"{100 * min(values):.2f} – {100 * max(values):.2f} %", str(len(values)),
               machine_of(record), *origin_of(record)]


def where_of(record):
    setting = record["configuration"]
    where = "one GPU" if setting.get("launches_per_step") else of(setting["threads"], "thread")
    return where + (f", {setting['precision']}" if setting.get("precision", "fp32") != "fp32" else "")


def network_of(record):
    return f"{record['configuration']['model']}, batch {record['configuration']['batch']:,}"


def speed_of(record):
    return record["median"][record["ratio"]["of"]]


def rows_of_speed(record):
    ratio, median = record["ratio"], record["median"]
    yield [f"{network_of(record)}, {where_of(record)}",
           f"{median[ratio['of']]:,.0f} ({ratio['of']})", f"{median[ratio['to']]:,.0f} ({ratio['to']}, {record['versions']['torch']})",
           f"**{ratio['median']:.2f}**", f"{min(ratio['rounds']):.2f} – {max(ratio['rounds']):.2f}", str(len(ratio["rounds"])),
           machine_of(record), *origin_of(record)]


def rows_of_time(record):
    for label, values in record["runs"].items():
        yield [record["experiment"], label, f"{record['median'][label]:,.3g} s", str(len(values)), machine_of(record), *origin_of(record)]


def rows_of_scaling(record):
    setting, ratio, median = record["configuration"], record["ratio"], record["median"]
    few, many = setting["threads"]
    grown = {what: median[f"{what} on {many}"] / median[f"{what} on {few}"] for what in ("images/s", "FLOP/s of the roof")}
    yield [f"{setting['model']}, batch {setting['batch']:,}, {setting['backend']}, {few} to {many} threads",
           f"{grown['images/s']:.2f} times", f"{grown['FLOP/s of the roof']:.2f} times", f"**{ratio['median']:.2f}**",
           f"{min(ratio['rounds']):.2f} – {max(ratio['rounds']):.2f}", str(len(ratio["rounds"])), machine_of(record), *origin_of(record)]


def rows_of_ablation(record):
    setting, median = record["configuration"], record["median"]
    slowdown = setting["slowdown"]
    cells = [f"{median['everything']:,.3g} ms"]
    cells += [f"{slowdown[f'without {what}']:.2f}" if f"without {what}" in slowdown else "" for what in ABLATED]
    yield [f"{setting['model']}, batch {setting['batch']:,}, {setting['backend']}, {setting['precision']}", *cells,
           str(len(record["runs"]["everything"])), machine_of(record), *origin_of(record)]


def rows_of_verdicts(record):
    setting, [(label, ratios)] = record["configuration"], record["runs"].items()
    outcome = ("`slower`", setting["seen"]) if setting["slower_by"] else ("a difference", setting["called_different"])
    yield [f"{label}, beside itself", f"{outcome[0]} in {outcome[1]} of {len(ratios)}", f"{statistics.median(ratios):.3f}",
           f"{min(ratios):.3f} – {max(ratios):.3f}", str(len(ratios)), machine_of(record), *origin_of(record)]


def rows_of_overhead(record):
    ratios = [b / a for a, b in zip(*record["runs"].values())]
    backends = " and ".join(record["configuration"]["backends"])
    yield [f"seconds of training in `fovea compare`, beside `fovea train`: {backends}", "", f"{statistics.median(ratios):.3f}",
           f"{min(ratios):.3f} – {max(ratios):.3f}", str(len(ratios)), machine_of(record), *origin_of(record)]


def overview(records):
    """A line for each network and batch, a column for each kind of machine: the fastest backend there, and how far it is ahead."""
    speeds = [record for record in records if record["unit"] == "images/s"]
    cells = {}
    for record in sorted(speeds, key=speed_of):
        if where_of(record) in OVERVIEW:
            cells.setdefault(network_of(record), {})[where_of(record)] = f"{speed_of(record):,.0f}, **{record['ratio']['median']:.2f}x**"
    rows = [[network, *(by.get(where, "") for where in OVERVIEW)] for network, by in sorted(cells.items(), key=lambda item: natural(item[0]))]
    return markdown(["images/s, and times the peer's", *(f"{where}:" for where in OVERVIEW)], rows) if rows else ""


def compared(folder):
    """The rows of the comparisons in results/reports/, each the result.json of a `fovea compare` with a recipe of recipes/reports/."""
    rows = []
    for path in sorted(folder.glob("*/result.json")):
        comparison = json.loads(path.read_text(encoding="utf-8"))
        if comparison.get("schema") != "fovea.comparison/1":
            fail(path.relative_to(ROOT), f"not a comparison of schema fovea.comparison/1: {comparison.get('schema')}")
        question = comparison["question"]
        what = f"{path.parent.name}: {question['model']} on {question['data'].split(' (')[0]}, batch {question['batches'][0]:,}, " \
               f"{of(question['epochs'], 'epoch')}, {comparison['date'][:10]}, `{comparison['commit']}`"
        for row in comparison["rows"]:
            rows.append([what, *cells_of_row(row)])
            what = ""
    return markdown(COMPARED, rows) if rows else ""


def cells_of_row(row):
    backend = row["backend"] + (f", {of(row['threads'], 'thread')}" if row["threads"] else "")
    if row["status"] != "ran":
        return [backend, f"{row['status']}: {row['reason']}", *[""] * (len(COMPARED) - 3)]
    if others := {name: steps for name, steps in row["providers"].items() if name != row["backend"]}:
        own = sum(row["providers"].values()) - sum(others.values())
        backend += f" ({own or 'no'} own steps, " + ", ".join(f"{steps} of {name}" for name, steps in others.items()) + ")"
    speedup, seconds, accuracy = row["speedup"], row["s_per_epoch"]["median"], row["test_accuracy"]["mean"]
    memory = row["peak_host_bytes"] if row["peak_device_bytes"] is None else row["peak_device_bytes"]
    interval = "" if speedup["low"] is None else f" ({speedup['low']:.2f} – {speedup['high']:.2f})"
    return [backend, row["device"].split(",")[0], "–" if seconds is None else f"{seconds:,.3g}",
            "–" if speedup["ratio"] is None else "1" if speedup["against"] == row["id"] else f"{speedup['ratio']:.2f}{interval}",
            "–" if accuracy is None else f"{100 * accuracy:.2f} %", "–" if memory is None else f"{memory / 2**20:,.0f}",
            millijoules_of(row["energy"])]


def millijoules_of(energy):
    gross, net = energy["gross_joules_per_image"], energy["net_joules_per_image"]
    return "–" if gross is None else f"{1e3 * gross:.2f}, {1e3 * net:.2f}"


def natural(text):
    return [int(part.replace(",", "")) if part[:1].isdigit() else part for part in re.split(r"(\d[\d,]*)", text)]


OVERVIEW = ["one GPU, bf16", "16 threads, bf16", "16 threads", "1 thread"]
COMPARED = ["`fovea compare`", "by", "on", "s/epoch:", "speed-up (95 %):", "test accuracy:", "memory, MiB:", "mJ/image, gross and net:"]
ABLATED = ["replay", "claims", "dependent launches", "across"]
ACCURACY = [  # unit, rows of a record, headings; a heading that ends in ":" is of numbers; in README.md, behind the overview
    ("share", rows_of_accuracy, ["Test accuracy", "by", "mean:", "lowest – highest:", "seeds:", "machine", "measured"]),
]
TABLES = [  # in docs/results.md
    ("images/s", rows_of_speed, ["Training speed, images/s", "of", "beside", "ratio:", "lowest – highest:", "rounds:", "machine", "measured"]),
    ("per second", rows_of_scaling,
     ["Scaling", "images/s", "multiply-adds in registers", "share:", "lowest – highest:", "rounds:", "machine", "measured"]),
    ("s", rows_of_time, ["Time", "of", "median:", "runs:", "machine", "measured"]),
    ("ms of a step", rows_of_ablation,
     ["Training step", "everything on:", *(f"without {what}:" for what in ABLATED), "rounds:", "machine", "measured"]),
]
VERDICTS = ["What was compared", "verdict", "median ratio:", "lowest – highest:", "runs:", "machine", "measured"]
TRUST = [  # in docs/comparison.md
    ("ratio", rows_of_verdicts, VERDICTS),
    ("s of training", rows_of_overhead, VERDICTS),
]
UNTABLED = {"us", "failures", "findings", "s of a pair"}  # too many for a README, or such that say 0


def markdown(headings, rows):
    lines = ["| " + " | ".join(heading.rstrip(":") for heading in headings) + " |",
             "|" + "|".join(" ---: " if heading.endswith(":") else " --- " for heading in headings) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]) + "\n"


def tables(records, wanted):
    known = {unit for unit, *_ in ACCURACY + TABLES + TRUST} | UNTABLED
    for record in records:
        if record["unit"] not in known:
            fail(record["experiment"], f"no table for the unit `{record['unit']}`; known are {', '.join(sorted(known))}")
    parts = []
    for unit, rows_of, headings in wanted:
        rows = [row for record in records if record["unit"] == unit for row in rows_of(record)]
        if rows:
            parts.append(markdown(headings, rows))
    return "\n".join(parts)


def with_tables(name, text, generated):
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        fail(name, f"needs one {BEGIN} and, behind it, one {END}")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{generated}{END}{rest.split(END)[1]}"


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__)
        sys.exit(2)
    records = read_records(ROOT / "results")
    generated = {README: "\n".join([overview(records), tables(records, ACCURACY), compared(ROOT / "results" / "reports")]), RESULTS: tables(records, TABLES),
                 COMPARISON: tables(records, TRUST)}
    for file, its_tables in generated.items():
        text = file.read_text(encoding="utf-8")
        wanted = with_tables(file.name, text, its_tables)
        if sys.argv[1:] != ["--check"]:
            file.write_text(wanted, encoding="utf-8")
        elif text != wanted:
            fail(file.name, "the tables differ from the records in results/; `tools/readme_tables.py` writes them anew")


if __name__ == "__main__":
    main()
