"""The documentation as a site: it builds without warnings, is complete, and needs no network."""

import json
import re
import tomllib
from html.parser import HTMLParser
from importlib import import_module
from types import ModuleType
from urllib.parse import unquote, urlparse

import pytest
from PIL import Image

import jsgmath
import jsgmath.certified
import jsgmath.families
import jsgmath.torch
from tests.docs.machinery import MACHINERY, ROOT, load


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("built") / "site"
    load("build").build(folder)
    return folder


class Page(HTMLParser):
    """A page: the files that a browser loads with it, its links, and the places in it that a link can name."""

    def __init__(self, path):
        super().__init__()
        self.assets, self.links, self.anchors = [], [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "link" and given["rel"] not in ("canonical", "prev", "next"):
            self.assets.append(given["href"])
        elif tag in ("script", "img", "iframe", "source", "video") and "src" in given:
            self.assets.append(given["src"])
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.anchors |= {given[name] for name in ("id", "name") if name in given}


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def target(site, path, url):
    """The file that a link of the page at ``path`` leads to; the server may show 404.html at any address."""
    if not url.path:
        return path
    return (site / url.path.lstrip("/") if path.name == "404.html" else path.parent / unquote(url.path)).resolve()


def test_a_page_loads_nothing_from_other_sites(site, pages):
    assert len(pages) > 15
    for path, page in pages.items():
        if path.name != "two-gaussians.html":  # which has its style inside
            assert any(asset.endswith(".css") for asset in page.assets)
        for asset in page.assets:
            if asset != "data:,":
                url = urlparse(asset)
                assert url.scheme == url.netloc == "", f"{path} loads {asset}"
                assert target(site, path, url).is_file(), f"{path} loads {asset}, which is not there"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text()), style.name


def test_every_page_of_the_documentation_is_in_the_navigation():
    def leaves(entries):
        for entry in entries:
            ((_, what),) = entry.items()
            yield from leaves(what) if isinstance(what, list) else [what]

    configuration = tomllib.loads((MACHINERY / "zensical.toml").read_text())
    listed = list(leaves(configuration["project"]["nav"]))
    docs = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(docs + load("build").ELSEWHERE)


def test_every_link_within_the_site_leads_to_a_place_in_it(site, pages):
    checked = 0
    for path, page in pages.items():
        for link in page.links:
            url = urlparse(link)
            if not url.scheme:
                found = target(site, path, url)
                assert found.is_file(), f"{path.relative_to(site)} links to {link}, which is not there"
                anchors = pages[found].anchors if found in pages else set()
                assert not url.fragment or unquote(url.fragment) in anchors, f"{path.relative_to(site)}: {link}"
                checked += 1
    assert checked > 1000


def test_the_search_finds_functions_where_the_site_is_read_from_the_disk(site, chromium):
    chromium.open(site / "index.html")
    chromium.run("document.querySelector('.md-search__button').click()")
    typed = """new Promise((resolve) => {
      const box = () => document.activeElement.shadowRoot?.querySelector("input");
      const found = () => document.activeElement.shadowRoot?.querySelector("li a");
      const again = () => {
        if (found()?.href.includes("#")) return resolve(found().href);
        if (box() && !box().value) document.execCommand("insertText", false, "bhattacharyya");
        setTimeout(again, 50);
      };
      again();
    })"""
    assert chromium.run(typed).endswith("reference/jsgmath.html#jsgmath.bhattacharyya")
    assert chromium.complaints == []


def test_the_live_page_is_light_or_dark_as_the_site_is(site, chromium):
    chromium.open(site / "live.html")
    scheme = "getComputedStyle(document.querySelector('iframe')).colorScheme"
    before = chromium.run(scheme)
    chromium.run("document.querySelector('[data-md-component=palette] label:not([hidden])').click()")
    assert {before, chromium.run(scheme)} == {"light", "dark"}
    assert chromium.complaints == []


def test_the_reference_shows_the_committed_speeds(site):
    (fastest, *_) = [
        record
        for record in json.loads((ROOT / "benchmarks" / "results" / "cpu.json").read_text())["records"]
        if "torch float32" in record["what"]
    ]
    text = (site / "reference" / "torch.html").read_text()
    assert fastest["implementation"] == "jsgmath"
    assert re.search(rf"<td>{re.escape(fastest['what'])}</td>\s*<td>{1000 * fastest['median']:.3g}</td>", text)


def test_every_function_has_its_accuracy_and_its_speed(site):
    """Every speed is a committed one, or the page says that it was not measured."""
    docstrings = load("docstrings")
    for page in ("jsgmath", "families", "torch", "certified"):
        text = (site / "reference" / f"{page}.html").read_text()
        names = [name for name in docstrings.documented() if f'id="{name}"' in text]
        parts = [(name, *name.rsplit(".", 1)) for name in names]
        found = {name: getattr(import_module(module), last) for name, module, last in parts}
        computing = {
            name: x
            for name, x in found.items()
            if x.__name__ not in docstrings.NOT_COMPUTED and not isinstance(x, ModuleType)
        }
        assert [name for name, x in computing.items() if "ccuracy" not in x.__doc__] == []
        assert text.count("<strong>Speed:</strong>") == len(computing) > 3
    assert "not measured" in text
    assert "JSG of Gamma, NumPy float64, 1000000 x 2: " in (site / "reference" / "families.html").read_text()


def test_formulas_are_shown_by_the_browser_itself(site):
    assert "<math" in (site / "index.html").read_text()
    assert "<math" in (site / "reference" / "jsgmath.html").read_text()
    for page in site.rglob("*.html"):
        text = page.read_text()
        for left_over in ("arithmatex", ":math:", ".. math::", "$$", "<merror"):
            assert left_over not in text, f"{page.name} has {left_over}"


def test_the_reference_has_every_public_name(site):
    for page, module, names in (
        ("jsgmath", jsgmath, jsgmath.__all__),
        ("families", jsgmath.families, jsgmath.families.__all__),
        ("torch", jsgmath.torch, jsgmath.torch.__all__),
        ("certified", jsgmath.certified, ("jsg", "jsg_dual", "kl", "js")),
    ):
        text = (site / "reference" / f"{page}.html").read_text()
        for name in names:
            if not isinstance(getattr(module, name), ModuleType):  # which has a page of its own
                path = "pairwise.pairwise" if name == "pairwise" else name  # its module has the same name
                assert f'id="{module.__name__}.{path}"' in text


def test_a_docstring_is_markdown_with_its_examples_and_links(site):
    text = (site / "reference" / "jsgmath.html").read_text()
    assert "<blockquote>" not in text  # what Markdown takes >>> for
    assert re.search(r'errors and accuracy are those of <a [^>]*href="#jsgmath.jsg">', text)
    assert re.search(r"<strong>References:</strong></p>\s*<ul>\s*<li>\[1\] Deasy", text)


def test_the_picture_of_the_idea_is_drawn_by_the_library(tmp_path):
    load("pictures").idea(tmp_path / "idea.png")
    with Image.open(tmp_path / "idea.png") as drawn, Image.open(ROOT / "docs" / "idea.png") as shown:
        assert drawn.size == shown.size
