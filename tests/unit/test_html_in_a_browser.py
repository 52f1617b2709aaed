"""The page as a browser shows it: headless Chromium, spoken to by the DevTools protocol over a pipe."""

import dataclasses
import json
import os
import shutil
import subprocess
import time

import pytest

from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.peak import Holder
from pytest_af3mem.records.timeline import Band, Stage, Timeline
from pytest_af3mem.records.verdict import judge, not_judged

pytest.importorskip("jinja2")
pytest.importorskip("plotly")
html = pytest.importorskip("pytest_af3mem.reports.html")

GIB = 2**30
EVIL = "t.py::test_</script><script>alert(1)</script><img src=http://x.test/y onerror=alert(2)>[%{x}]"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)
FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update
    --disable-sync --disable-dev-shm-usage --remote-debugging-pipe
""".split()
PATIENCE = 20


class Browser:
    """One page of a headless Chromium that finds no host. `events` is what the page has told of itself so far."""

    def __init__(self, folder):
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()

        def connect():  # Chromium reads from file descriptor 3, and writes to 4
            os.dup2(os.dup(to_browser), 3)
            os.dup2(os.dup(from_browser), 4)

        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS, "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=connect,
            pass_fds=(3, 4, to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.events = []
        self._asked, self._unread = 0, b""
        self._session = None
        (target,) = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self._asked += 1
        request = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._write, json.dumps(request).encode() + b"\0")
        while (answer := self._message()).get("id") != self._asked:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _message(self):
        while b"\0" not in self._unread:
            received = os.read(self._read, 2**20)
            assert received, "Chromium has ended"
            self._unread += received
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, path, *, width=1400, scheme="light", until="document.querySelectorAll('.main-svg').length > 0"):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=path.as_uri())
        self.wait_for(f"document.readyState === 'complete' && ({until})")

    def wait_for(self, expression):
        ended = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < ended, f"never came true: {expression}"
            time.sleep(0.05)

    def complaints(self):
        """What the page wrote to the console, and what it threw."""
        names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event.get("method") in names]

    def requests(self):
        """The addresses that the page asked for, those within it aside."""
        sent = (event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [url for url in sent if not url.startswith("data:")]

    def close(self):
        self._session = None
        self.call("Browser.close")
        os.close(self._write)
        os.close(self._read)
        self._process.wait(PATIENCE)


TIMELINE = Timeline(
    steps=100,
    kept_bytes=GIB,
    bands=(
        Band(f"diffuser/evoformer/outer_product_mean{'x' * 80}", ((0, GIB), (40, 3 * GIB), (45, GIB)), "f32[8]", "a.py:7"),
        Band(EVIL, ((60, 2 * GIB),), EVIL, EVIL),
    ),
    stages=(Stage("embedding", 0), Stage("MSA stack", 20), Stage("diffusion", 60), Stage("distogram", 97)),
    pair_bytes=2**25,
)

if CHROMIUM is None:
    pytest.skip("needs Chromium or Chrome to look at the page", allow_module_level=True)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium):
    chromium.events.clear()
    return chromium


@pytest.fixture
def page(tmp_path, a_measurement, a_peak):
    """A page with everything that one can have: steps and gaps, two targets, budgets, components, failures, odd names."""
    measurements = []
    for target in ("a100-40gb", "l4-24gb"):
        for bucket in (256, 512, 1024, 1280, 2048):
            held = [2**16 * bucket, 2**12 * bucket**2, 2**11 * bucket**2]
            names = ("weights", EVIL, "diffuser/evoformer/msa_stack/outer_product_mean" + "x" * 80)
            kinds = ("parameter", "temporary", "temporary")
            holders = tuple(Holder(name, kind, size) for name, kind, size in zip(names, kinds, held, strict=True))
            size = {"tokens": bucket - 10, "bucket": bucket, "target": target}
            software = {"xla_flags": "x" * 80 + target}
            peak = a_peak(**size, total_bytes=sum(held), holders=holders, software=software, timeline=TIMELINE)
            measurements.append(
                a_measurement(**size, test=f"{EVIL}[{bucket}{'x' * 80}]", peak=peak, verdict=judge(peak, 20 * GIB))
            )
    lost = not_judged("the worker died (SIGKILL)", "[5120 tokens]", 20 * GIB)
    measurements.append(a_measurement(tokens=5120, bucket=5120, target="l4-24gb", peak=None, verdict=lost))
    baseline = {"baseline": Entry.of(EVIL, measurements[3].peak), "baseline_timeline": TIMELINE}
    measurements[4] = dataclasses.replace(measurements[4], **baseline)
    path = tmp_path / "page.html"
    path.write_text(html.render(measurements, buckets=(256, 512, 768, 1024, 1280, 2048)))
    return path


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page(browser, page, width, scheme):
    browser.open(page, width=width, scheme=scheme)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    drawn = {name: browser.evaluate(f"document.querySelectorAll('#{name} {nodes}').length") for name, nodes in DRAWN.items()}
    assert all(drawn.values()), drawn
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("Math.max(...[...document.querySelectorAll('.main-svg')].map(svg => svg.clientWidth))") <= width
    ink = browser.evaluate("getComputedStyle(document.body).color")
    assert browser.evaluate("getComputedStyle(document.querySelector('#curve .xtick text')).fill") == ink
    assert (ink == "rgb(232, 234, 237)") is (scheme == "dark")
    assert browser.evaluate("document.querySelectorAll('img, iframe, object').length") == 0


DRAWN = {"curve": ".scatterlayer .js-line", "composition": ".barlayer .point path"}


LARGEST = "[...document.querySelectorAll('details')].at(-1).querySelectorAll('.timeline')"  # the one bucket that is open


@pytest.mark.parametrize("width", [1180, 420])
def test_labels_of_memory_over_program_order_are_whole(browser, page, width):
    browser.open(page, width=width)
    assert browser.evaluate(f"{LARGEST}.length") == 3  # before and now of one target, and the other target
    names = "[...document.querySelectorAll('.strips')].at(-1).innerText"
    shown = "1 MSA stack diffusion" if width == 420 else "embedding MSA stack diffusion 4"
    assert browser.evaluate(names).split() == shown.split()
    cut = """[...document.querySelectorAll('details[open] :is(.strips b, .ticks span, .at-peak span)')].filter((label) => {
        const one = label.getBoundingClientRect();
        const room = label.closest('.strips > span')?.getBoundingClientRect() ?? { left: 0, right: innerWidth };
        return one.width && (one.left < room.left || one.right > room.right);
    }).map((label) => label.textContent)"""
    assert browser.evaluate(cut) == []


def test_any_step_is_reached_by_the_keyboard(browser, page):
    browser.open(page, width=420)
    told = f"{LARGEST}[0].querySelector('output').innerText.split('\\n')"
    at_peak = browser.evaluate(told)
    assert at_peak[0] == "step 41 of 100, MSA stack: 4.00 GiB (128.0 pair tensors) alive"
    assert at_peak[1].startswith("3.00 GiB (96.0 pair tensors) diffuser/evoformer/outer_product_mean")
    assert at_peak[1].endswith("its largest array f32[8], a.py:7")
    browser.evaluate(f"{LARGEST}[0].querySelector('input').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="End", code="End", windowsVirtualKeyCode=35)
    assert browser.evaluate(told)[0] == "step 100 of 100, distogram: 4.00 GiB (128.0 pair tensors) alive"
    assert browser.evaluate(f"{LARGEST}[0].querySelector('input').getAttribute('aria-valuetext')") == browser.evaluate(told)[0]


def test_plots_follow_the_colors_of_the_system(browser, page):
    browser.open(page, scheme="light")
    fill = "getComputedStyle(document.querySelector('#curve .xtick text')).fill"
    light = browser.evaluate(fill)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.wait_for(f"{fill} !== '{light}'")
    browser.call("Emulation.setEmulatedMedia", media="print")  # on paper in dark colors on white, and as wide as a sheet
    browser.wait_for(f"{fill} === '{light}'")
    browser.wait_for("document.querySelector('#curve .main-svg').clientWidth === 680")


def test_without_scripts_the_page_says_so(browser, page):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page, until="true")
        assert "The plots need JavaScript" in browser.evaluate("document.body.innerText")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_these_tests_can_fail(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<img src='http://x.test/y.png'><script>console.warn('careful'); nothing()</script>")
    browser.open(path, until="true")
    assert browser.requests() == [path.as_uri(), "http://x.test/y.png"]
    assert {"careful", "nothing is not defined"} <= set(words(browser.complaints()))


def words(complaints):
    for one in complaints:
        yield from (argument.get("value") for argument in one.get("args", ()))
        yield one.get("exceptionDetails", {}).get("exception", {}).get("description", "").partition(": ")[2].partition("\n")[0]
