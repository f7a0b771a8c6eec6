"""The page in a real browser: the same numbers as in Python, no network, keys, mouse, fingers, small and
dark screens."""

import json
import math
import re
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest

import jsgmath
from jsgmath import Gaussian
from tests.vae.runs.add_run import add_run
from vae.figures import fig1
from vae.report.__main__ import main

RESULTS = Path(__file__).parents[3] / "results" / "runs"
# A few runs of one seed, of both data sets; test_report.py shows all runs.
RUNS = sorted(path for path in RESULTS.iterdir() if "seed" not in path.name)[::4]
ALPHAS = [0.0, 1e-12, 1e-6, 0.1, 0.3, 0.5, 0.7, 0.9, 1 - 1e-9, 1.0]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert main([*map(str, RUNS), "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, one_drawing):
    """Three seeds of four alphas and of a KL."""
    folder = tmp_path_factory.mktemp("seeds")
    for seed in (1, 2, 3):
        for alpha in (0.1, 0.3, 0.5, 0.7):
            add_run(folder, 10 + seed / 10 + alpha, alpha=alpha, seed=seed)
        add_run(folder, 13 + seed / 10, divergence="kl-qp", seed=seed)
    with one_drawing():
        assert main([str(folder), "-o", str(folder / "report.html")]) == 0
    return folder / "report.html"


def pairs():
    """Equal, near-equal and very different Gaussians: mean and variance of both."""
    ratios = [1.0, 1 + 1e-9, 1 - 1e-9, 1 + 1e-5, 0.34, 0.9, 1.1, 2.9, 3.1, 100.0, 1e6, 1e-6]
    return [(0.25, var, 0.25 + apart, var * ratio)
            for var in (1.0, 0.07)
            for ratio in ratios
            for apart in (0.0, 1e-9, 0.3, -4.0)]  # fmt: skip


def numbers(chromium, function, *arguments):
    """The values of a function of the page for all pairs, alphas and conventions."""
    names = "mean1", "var1", "mean2", "var2"
    given = json.dumps([dict(zip(names, pair, strict=True)) for pair in pairs()])
    return np.array(
        chromium.run(f"{given}.map(pair => {json.dumps(arguments)}.map(more => {function}(pair, ...more)))")
    )


def gaussians():
    mean1, var1, mean2, var2 = np.array(pairs()).T[..., None, None]
    return Gaussian(mean=mean1, var=var1), Gaussian(mean=mean2, var=var2)


@pytest.mark.parametrize("convention", ["deasy", "nielsen"])
@pytest.mark.parametrize(("function", "reference"), [("jsg", jsgmath.jsg), ("jsgDual", jsgmath.jsg_dual)])
def test_the_values_of_the_page_are_those_of_python(chromium, page, function, reference, convention):
    chromium.open(page)
    found = numbers(chromium, f"jsgmath.{function}", *([alpha, convention] for alpha in ALPHAS))
    # 20 operations on doubles that do not cancel leave 1e-14; the page promises 1e-12.
    np.testing.assert_allclose(found, reference(*gaussians(), ALPHAS, convention=convention), rtol=1e-13)
    assert (found[0] == 0).all()


def test_the_kls_and_the_geometric_mean_of_the_page_are_those_of_python(chromium, page):
    chromium.open(page)
    N1, N2 = gaussians()
    for name, reference in (("klForward", jsgmath.kl(N1, N2)), ("klBackward", jsgmath.kl(N2, N1))):
        np.testing.assert_allclose(numbers(chromium, f"jsgmath.{name}", []), reference, rtol=1e-13)
    for convention, weight in (("deasy", 0.7), ("nielsen", 0.3)):
        function = "((...given) => Object.values(jsgmath.geometricMean(...given)))"
        found = numbers(chromium, function, [0.3, convention])
        mean = jsgmath.geometric_mean(N1, N2, weight)
        np.testing.assert_allclose(found, np.stack([mean.mean, mean.var], -1)[..., 0, :], rtol=1e-13)


def test_the_curves_over_x_are_those_of_figure_1(chromium, page):
    chromium.open(page)
    names = {"n1": "p", "n2": "q", "geometricMean": "geometric_mean", "mixture": "arithmetic_mean", "jsg": "jsg",
             "jsgDual": "jsg-dual"}  # fmt: skip
    for (mean1, var1), (mean2, var2) in fig1.PAIRS:
        pair = {"mean1": mean1, "var1": var1, "mean2": mean2, "var2": var2}
        curves = f"Object.values(jsgmath.integrands({json.dumps(pair)}, 0.5, 'deasy'))"
        found = chromium.run(f"{curves}.map(curve => {json.dumps(fig1.X.tolist())}.map(curve))")
        wanted = fig1.densities(Gaussian(mean=[mean1], var=[var1]), Gaussian(mean=[mean2], var=[var2]), fig1.X)
        for values, name in zip(found, names.values(), strict=True):
            # Logs of densities up to 50, whose differences are multiplied by densities below 1.
            np.testing.assert_allclose(values, wanted[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("alpha", "convention"), [(0.3, "deasy"), (0.8, "nielsen")])
def test_the_areas_below_the_integrands_are_the_divergences(chromium, page, alpha, convention):
    chromium.open(page, hash=f"#alpha={alpha}&convention={convention}")
    pair = "{ mean1: -1, var1: 0.4, mean2: 1, var2: 1.5 }"
    for integrand, value in (("jsg", jsgmath.jsg), ("jsgDual", jsgmath.jsg_dual)):
        curve = f"jsgmath.integrands({pair}, {alpha}, '{convention}').{integrand}"
        # The trapezoidal rule is exact to the last digits for what falls off like a Gaussian on both sides.
        area = chromium.run(f"[...Array(4001).keys()].reduce((sum, i) => sum + {curve}(i / 100 - 20) / 100, 0)")
        N1, N2 = Gaussian(mean=[-1.0], var=[0.4]), Gaussian(mean=[1.0], var=[1.5])
        assert area == pytest.approx(value(N1, N2, alpha, convention=convention), rel=1e-12)


def text(chromium, selector):
    return chromium.run(f"document.querySelector({selector!r}).textContent")


def value(chromium, divergence="jsg"):
    return float(text(chromium, f"#value-{divergence}").replace("\N{MINUS SIGN}", "-"))


def test_the_page_shows_the_numbers_that_python_computes(chromium, page):
    chromium.open(page, hash="#mean1=0.5&var1=2&mean2=-1&var2=0.3&alpha=0.4&convention=nielsen")
    N1, N2 = Gaussian(mean=[0.5], var=[2.0]), Gaussian(mean=[-1.0], var=[0.3])
    shown = {
        "jsg": jsgmath.jsg(N1, N2, 0.4, convention="nielsen"),
        "jsg-dual": jsgmath.jsg_dual(N1, N2, 0.4, convention="nielsen"),
        "kl-qp": jsgmath.kl(N1, N2),
        "kl-pq": jsgmath.kl(N2, N1),
    }
    for name, wanted in shown.items():
        assert value(chromium, name) == pytest.approx(wanted, rel=5e-6)  # six digits
    expression, _, said = text(chromium, "#python").partition(" = ")
    assert eval(expression, {"jsg": jsgmath.jsg, "Gaussian": Gaussian}) == pytest.approx(float(said), rel=1e-13)
    csv = chromium.run("decodeURIComponent(document.querySelector('#curves-csv').href).split(',').slice(1).join()")
    rows = np.genfromtxt(csv.splitlines(), delimiter=",", names=True)
    assert len(rows) == 201
    np.testing.assert_allclose(rows["jsg"], jsgmath.jsg(N1, N2, rows["alpha"], convention="nielsen"), rtol=1e-13)
    np.testing.assert_allclose(rows["kl_n2_n1"], jsgmath.kl(N2, N1), rtol=1e-13)


# No network


def test_the_page_sends_no_request_and_its_policy_forbids_them(chromium, page):
    chromium.open(page)
    chromium.drag("#handle-mean1", 30)
    assert [one for one in chromium.requests if not one.startswith("data:")] == [page.as_uri()]
    assert chromium.complaints == []
    blocked = chromium.run(
        """new Promise(done => {
          const seen = [];
          addEventListener("securitypolicyviolation", ({ effectiveDirective }) => {
            seen.push(effectiveDirective);
            if (seen.length === 4) done(seen);
          });
          fetch("http://127.0.0.1:9/").catch(() => {});
          new Image().src = "http://127.0.0.1:9/";
          const script = document.createElement("script");
          script.textContent = "1";
          document.body.append(script);
          const style = document.createElement("style");
          style.textContent = "p { color: red }";
          document.body.append(style);
        })"""
    )
    assert set(blocked) == {"connect-src", "img-src", "script-src-elem", "style-src-elem"}


def test_the_page_contains_no_other_address(page):
    written = re.sub(r"base64,[\w+/=]+", "", page.read_text())
    assert set(re.findall(r"\w+://[^\s\"'<]*", written)) == {"http://www.w3.org/2000/svg"}  # a name, no address


# Controls


def aria(chromium, handle):
    return float(chromium.run(f"document.querySelector('#handle-{handle}').getAttribute('aria-valuenow')"))


def test_the_handles_are_sliders_for_the_keyboard(chromium, page):
    chromium.open(page)
    for handle, start, keys in (
        ("mean1", -1, {"ArrowRight": 0.05, "ArrowLeft": 0, "PageUp": 0.5, "Home": -3, "End": 5}),
        # Where the standard deviation of N1 is drawn to the left, the left key makes it larger.
        ("spread1", math.sqrt(0.4), {"ArrowLeft": 0.05, "ArrowRight": 0, "ArrowUp": 0.05, "ArrowDown": 0}),
        ("spread2", math.sqrt(1.5), {"ArrowRight": 0.05, "ArrowLeft": 0, "PageDown": -0.5}),
    ):
        chromium.run(f"document.querySelector('#handle-{handle}').focus()")
        assert aria(chromium, handle) == pytest.approx(start, abs=0.005)
        for key, moved in keys.items():
            before = value(chromium)
            chromium.press(key)
            assert aria(chromium, handle) == pytest.approx(start + moved, abs=0.0101)  # rounded twice to hundredths
            assert value(chromium) != before


def test_the_tab_key_reaches_all_controls_and_shows_the_focus(chromium, page):
    chromium.open(page)
    reached, outlined = [], []
    for _ in range(14):
        chromium.press("Tab")
        reached.append(chromium.run("document.activeElement.id"))
        outlined.append(chromium.run("getComputedStyle(document.activeElement).outlineStyle"))
    assert reached[:9] == ["alpha", "handle-mean1", "handle-spread1", "handle-mean2", "handle-spread2", "mean1", "var1",
                           "mean2", "var2"]  # fmt: skip
    assert set(outlined) == {"solid"}


@pytest.mark.parametrize("finger", [False, True], ids=["mouse", "finger"])
def test_gaussians_are_dragged(chromium, page, finger):
    width = 390 if finger else 1200
    chromium.open(page, width)
    plot = chromium.run("document.querySelector('#densities').getBoundingClientRect().width")
    nats = (plot - 44 - 8) / 12  # the axis from -6 to 6 between its margins
    before = value(chromium)
    chromium.drag("#handle-mean2 .grip", nats, finger=finger)
    assert aria(chromium, "mean2") == pytest.approx(2, abs=0.03)  # a pixel or so
    assert value(chromium) > before
    chromium.drag("#handle-spread1 .grip", -nats / 2, finger=finger)
    assert aria(chromium, "spread1") == pytest.approx(math.sqrt(0.4) + 0.5, abs=0.03)
    chromium.drag("#handle-spread1 .grip", 10 * nats, finger=finger)
    assert aria(chromium, "spread1") == 0.2
    assert text(chromium, "#python").startswith("jsg(Gaussian(mean=[-1], var=[0.04]), Gaussian(mean=[")


def test_numbers_can_be_typed_and_nonsense_is_refused(chromium, page):
    chromium.open(page)
    before = value(chromium)
    for typed, wanted in (("-0.5", -0.5), ("7", -0.5)):
        chromium.run("document.querySelector('#mean1').focus(); document.querySelector('#mean1').select()")
        chromium.send("Input.insertText", text=typed)
        assert aria(chromium, "mean1") == wanted
    assert value(chromium) != before
    chromium.press("Tab")
    assert chromium.run("document.querySelector('#mean1').value") == "-0.5"


def test_the_address_keeps_what_is_set(chromium, page):
    chromium.open(page, hash="#mean1=2&var1=-1&alpha=nan&convention=other&var2=1e9")
    assert aria(chromium, "mean1") == 2
    assert aria(chromium, "spread1") == 0.2  # the least
    assert aria(chromium, "spread2") == 3
    assert chromium.run("document.querySelector('#alpha').value") == "0.3"
    assert chromium.run("document.querySelector('[name=convention]:checked').value") == "deasy"
    chromium.run("document.querySelector('[value=nielsen]').click()")
    chromium.run("document.querySelector('#alpha').focus()")
    chromium.press("ArrowRight")
    chromium.run("new Promise(done => setTimeout(done, 400))")
    kept = {key: one for key, (one,) in parse_qs(chromium.run("location.hash.slice(1)")).items()}
    assert kept == {"mean1": "2", "var1": "0.04", "mean2": "1", "var2": "9", "alpha": "0.31", "convention": "nielsen"}
    said = text(chromium, "#status")
    assert said.startswith("alpha 0.31: JSG ")
    assert text(chromium, "#value-jsg") in said


# Runs


CARDS = "[...document.querySelectorAll('.card')].filter(card => card.checkVisibility()).length"


def test_every_plot_and_picture_is_drawn(chromium, page):
    chromium.open(page)
    # Two plots for each data set, and the curves of each run; the committed runs have no other pictures.
    widths = chromium.run("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert len(widths) == 2 * 2 + len(RUNS)
    assert min(widths) > 0
    assert chromium.complaints == []


def test_the_cards_of_the_first_seed_are_open_and_those_of_the_others_are_not(chromium, seeds):
    chromium.open(seeds)
    assert chromium.run("[...document.querySelectorAll('details')].map(one => one.open)") == [True, False, False]
    assert chromium.run(CARDS) == 5
    chromium.run("document.querySelectorAll('summary')[2].click()")
    assert chromium.run(CARDS) == 10


def test_without_javascript_tables_plots_and_all_runs_are_there(chromium, page):
    chromium.open(page, script=False)
    assert chromium.run(CARDS) == len(RUNS)
    assert chromium.run("document.querySelector('noscript p').checkVisibility()")
    assert chromium.run("document.querySelectorAll('tbody tr').length") == len(RUNS)


# Screens


@pytest.mark.parametrize("name", ["page", "seeds"])
@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_overflows_a_small_screen(chromium, request, name, width):
    chromium.open(request.getfixturevalue(name), width, 740)
    assert chromium.run("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
    out = chromium.run(
        """[...document.querySelectorAll("body *")].filter(one => !one.closest(".scroll, .unseen")
          && one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML)"""
    )
    assert out == []


def test_a_single_run_fills_the_page(chromium, tmp_path):
    add_run(tmp_path, 10.0)
    assert main([str(tmp_path), "-o", str(tmp_path / "report.html")]) == 0
    chromium.open(tmp_path / "report.html", 1300, 740)
    width = "document.querySelector('{}').getBoundingClientRect().width"
    assert chromium.run(width.format(".card")) == chromium.run(width.format(".cards")) > 1000


def luminance(colour):
    """WCAG 2's relative luminance of ``rgb(...)``."""
    levels = [int(level) / 255 for level in re.findall(r"\d+", colour)[:3]]
    linear = [level / 12.92 if level <= 0.03928 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_contrast_on_light_and_dark_pages(chromium, page, dark):
    chromium.open(page, dark=dark)
    found = chromium.run(
        """[...document.querySelectorAll("body *")].filter(one => one.checkVisibility() && one.textContent.trim()
            && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())).map(one => {
          let under = one;
          while (getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
          const style = getComputedStyle(one);
          return [one.namespaceURI.endsWith("svg") ? style.fill : style.color, getComputedStyle(under).backgroundColor];
        })"""
    )
    pairs_found = {tuple(one) for one in found}
    assert len(pairs_found) >= 4
    assert all((luminance(under) < 0.1) == dark for _, under in pairs_found)
    for over, under in pairs_found:
        high, low = sorted([luminance(over), luminance(under)], reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (over, under)
