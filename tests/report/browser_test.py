#!/usr/bin/env python3
"""Opens reports in headless Chromium, on a phone and on a desk, light and dark, and looks for what readers would trip over.

tests/report/browser_test.py --fovea build/fovea [--pictures DIR]
Exit codes: 0 all is well, 1 something is not, 2 there is no Chromium (tools/setup.sh --report installs it, CHROMIUM names another).
"""
import argparse
import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from chromium import Chromium, find_chromium

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "tests/report/comparison.json"
FIGURES = ("speedup loss-epoch loss-time accuracy-epoch accuracy-time threads batch host-memory device-memory cpu gpu power energy "
           "confusion").split()
LOOK = (Path(__file__).parent / "look.js").read_text()


def one(record):
    record["rows"] = record["rows"][:1]


def many(record):
    rows = []
    for i in range(24):
        row = copy.deepcopy(record["rows"][2])
        row.update(id=f"row-{i}", backend=f"backend{i // 12}", batch=2 ** (i % 6 + 3), threads=1 + i // 6 % 2 * 15)
        scale = 1 + i / 3
        row["speedup"].update(ratio=scale, low=scale * 0.9, high=scale * 1.1)
        for key in ("images_per_second", "ms_per_step"):
            for figure in ("median", "q1", "q3", "low", "high"):
                row[key][figure] *= scale
        rows.append(row)
    record["rows"] = rows


def nothing(record):
    for row in record["rows"]:
        for key in row:
            if key not in ("id", "backend", "status"):
                row[key] = None
        row["reason"] = "the reason why nothing is known of it"


def hostile(record):
    evil = "<img src=http://example.invalid/x onerror=console.error(1)>\"'&" + "unbreakable" * 12
    record.update(title=evil, notes=[evil], command=["fovea", evil, "a b"])
    record["environment"][evil] = evil
    record["question"]["classes"] = [f"class {i} {evil}" for i in range(10)]
    for i, row in enumerate(record["rows"]):
        row.update(backend=f"{evil}{i}", device=evil, precision=evil)


KINDS = {"full": lambda record: None, "one": one, "many": many, "nothing": nothing, "hostile": hostile}


def messages(events):
    """What the console, the log or an exception said, and every request but that for the page itself."""
    for event in events:
        what, parameters = event["method"], event["params"]
        if what in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            yield f"{what}: {json.dumps(parameters)[:300]}"
        if what == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith("data:") and not (url.startswith("file:") and url.endswith("/report.html")):
                yield f"request for {url[:200]}"


def faults_of(browser, page, kind, width, scheme):
    browser.open(page.as_uri(), width, scheme)
    yield from messages(browser.events)
    found = json.loads(browser.evaluate(LOOK))
    yield from found["faults"]
    missing = [name for name in FIGURES if name not in found["figures"]]
    if missing or len(found["figures"]) != len(FIGURES):
        yield f"figures: missing {missing}, found {found['figures']}"
    expected = {"full": 12, "nothing": 0}.get(kind)
    if expected is not None and found["pictures"] != expected:
        yield f"{found['pictures']} pictures, not {expected}"


def keyboard_faults(browser):
    """The skip link comes first and leads to the answer; the focus reaches everything, and is seen."""
    def press(key, code):
        for kind in ("rawKeyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                         **({"text": "\r"} if key == "Enter" and kind == "rawKeyDown" else {}))
    press("Tab", 9)
    if browser.evaluate("document.activeElement.className") != "skip":
        yield "the first key Tab does not lead to the skip link"
    if browser.evaluate("document.activeElement.getBoundingClientRect().left") < 0:
        yield "the skip link is not seen when it has the focus"
    wanted = browser.evaluate("document.querySelectorAll('a[href],summary,[tabindex=\"0\"]').length")
    hidden = browser.evaluate("document.querySelectorAll('details:not([open]) [tabindex=\"0\"]').length")
    for _ in range(wanted - hidden - 1):
        press("Tab", 9)
        if browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none":
            yield f"no outline around {browser.evaluate('document.activeElement.outerHTML.slice(0, 80)')}"
            break
    if browser.evaluate("document.activeElement === document.body"):
        yield "the focus leaves the page before it has been everywhere"


def print_faults(browser):
    """On paper: A4 between its margins, always light, no table cut off."""
    browser.call("Emulation.setDeviceMetricsOverride", width=718, height=1000, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    yield from json.loads(browser.evaluate("""JSON.stringify([...document.querySelectorAll('table')]
        .filter((table) => table.checkVisibility() && table.getBoundingClientRect().right > table.closest('.card').getBoundingClientRect().right)
        .map((table) => `a printed table is cut off: ${table.getBoundingClientRect().right}`))"""))
    if browser.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)":
        yield "the page is not printed on white"


def check(browser, page, kind, pictures):
    faults = []
    for width in (375, 1280):
        for scheme in ("light", "dark"):
            faults += [f"{width} px, {scheme}: {fault}" for fault in faults_of(browser, page, kind, width, scheme)]
            if pictures:
                (pictures / f"{kind}-{width}-{scheme}.png").write_bytes(browser.picture())
    faults += keyboard_faults(browser)
    faults += print_faults(browser)
    pdf = browser.pdf()
    if not pdf.startswith(b"%PDF-") or len(pdf) < 20000:
        faults.append(f"the PDF is no PDF, or has next to nothing in it ({len(pdf)} bytes)")
    if pictures:
        (pictures / f"{kind}.pdf").write_bytes(pdf)
    return faults


def planted(page):
    """The page with one fault of each kind, to see that each is found."""
    text = page.read_text()
    yield "console", text.replace("</body>", "<img src='data:,' onerror='0'></body>").replace("img-src data:", "img-src data:; script-src 'none'")
    yield "request", text.replace("</body>", "<img src='http://127.0.0.1:9/x.png'></body>").replace("img-src data:", "img-src *")
    yield "scrolls sideways", text.replace("</main>", "<div style='width:2000px'>wide</div></main>")
    yield "figures: missing", text.replace('id="figure-cpu"', 'id="figure-other"')
    yield "contrast", text.replace("--soft:#57606a", "--soft:#b0b0b0")
    yield "outside its picture", text.replace('<text class="plain"', '<text transform="translate(300)" class="plain"')
    yield "upon each other", text.replace("</svg>", '<text x="60" y="100">a text</text><text x="64" y="102">b text</text></svg>')
    yield "printed table", text.replace("width:100%;overflow-wrap:anywhere", "width:900px")
    yield "parted", text.replace("pre span{display:inline-block;max-width:100%}", "pre span{display:inline-block;width:3ch}")
    yield "scrolled away", text.replace(".rows thead th:first-child{position:sticky;", ".rows thead th:first-child{")
    yield "skip link", text.replace('class="skip"', 'class="other"')


def check_planted(browser, page):
    faults = []
    for expected, text in planted(page):
        bad = page.parent / expected.split()[0].strip(":") / "report.html"
        bad.parent.mkdir()
        bad.write_text(text)
        found = check(browser, bad, "full", None)
        if not any(expected in fault or (expected == "console" and "Log.entryAdded" in fault) for fault in found):
            faults.append(f"a planted fault was not found: {expected}; found {found}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fovea", default=ROOT / "build/fovea", type=Path)
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the pages, and PDFs")
    arguments = parser.parse_args()
    program = find_chromium()
    if not program:
        print("browser_test: there is no Chromium: `tools/setup.sh --report` installs it on Debian; elsewhere put one on the PATH, or name it "
              "by CHROMIUM", file=sys.stderr)
        return 2
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    count = 0
    with tempfile.TemporaryDirectory(prefix="fovea-browser-") as folder, Chromium(program) as browser:
        for kind, change in KINDS.items():
            record = json.loads(RECORD.read_text())
            change(record)
            place = Path(folder) / kind
            place.mkdir()
            (place / "result.json").write_text(json.dumps(record))
            subprocess.run([arguments.fovea.resolve(), "report", place, "--quiet"], check=True)
            faults = check(browser, place / "report.html", kind, arguments.pictures)
            print(f"{kind}: {len(faults)} faults")
            for fault in faults:
                print(f"  {fault}")
            count += len(faults)
        faults = check_planted(browser, Path(folder) / "full/report.html")
        print(f"planted faults that were not found: {len(faults)}")
        for fault in faults:
            print(f"  {fault}")
    return 1 if count + len(faults) else 0


if __name__ == "__main__":
    sys.exit(main())
