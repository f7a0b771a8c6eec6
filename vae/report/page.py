"""The page: its three sources, the formula as JavaScript and what is shown of the runs, put into one file.

It asks nobody for anything: its policy forbids every connection, and any script and style but the two in it.
"""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from jsgmath import __version__, formula, special
from vae.figures.output import COLOURS, csv_text
from vae.figures.runs import title
from vae.report.collect import NOISE_SEED, TERMS, Collection, Comparison, Group, Shown
from vae.report.javascript import translate
from vae.sweep.best import heading, name
from vae.sweep.choice import CONFIDENCE, Mean

SOURCES = Path(__file__).parent
FUNCTIONS = (
    formula.mean_weights,
    formula.shares,
    formula.to_mean,
    formula.from_mean,
    formula.skew,
    special.tail,
    special.log_k,
    special.g,
    special.gs,
)
FLOAT = np.finfo(float)  # JavaScript's only numbers
CONSTANTS = {"TERMS": special.series_terms(FLOAT.nmant + 1), "FLOOR": float(FLOAT.tiny**0.75)}

# Digits after the point: MMD's divergences are thousandths.
DIGITS = {"reconstruction": 2, "divergence": 3}
STUDENT = f"± is Student's {CONFIDENCE * 100:.0f} % interval of a mean over seeds."
ONE_SEED = "A number without ± is that of one seed, which says nothing of others."
BOOTSTRAP = (
    "Log evidence, in nats per image, has in brackets 95 % of the bootstrap over batches of test images, for this one "
    "model; where there are several seeds, ± over these instead."
)
NO_EVIDENCE = "python -m vae.evaluate RUN adds the log evidence."


def build(found: Collection) -> str:
    """The whole page."""
    colours = "\n".join(f"  --{divergence}: {colour};" for divergence, colour in COLOURS.items())
    style = f":root {{\n{colours}\n}}\n{source('page.css')}"
    script = f"{library()}\n{source('page.js')}"
    policy = f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; img-src data:"
    return Template(source("page.html")).substitute(
        policy=f"{policy}; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        data=json.dumps([facts(one) for one in found.comparisons], allow_nan=False).replace("<", "\\u003c"),
        runs="\n".join(section(number, one) for number, one in enumerate(found.comparisons)) + remarks(found),
        version=__version__,
        **{divergence.replace("-", "_"): swatch(divergence) for divergence in COLOURS},
    )


def library() -> str:
    """The formula as JavaScript, in the scope of one function."""
    constants = "\n".join(f"const {name} = {value!r};" for name, value in CONSTANTS.items())
    names = ", ".join(function.__name__ for function in FUNCTIONS)
    return f'"use strict";\n{constants}\n\nconst formula = (() => {{\n{translate(*FUNCTIONS)}\n\nreturn {{ {names} }};\n}})();\n'


def source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """How a policy names the one script or style that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def facts(comparison: Comparison) -> dict[str, Any]:
    """What the script draws."""
    return {
        "name": title(comparison.common.dataset),
        "groups": [
            {
                "objective": name(group.settings).replace("||", "‖"),
                "divergence": group.settings.divergence,
                "alpha": alpha(group),
                "learnt": learnt(group).value if group.settings.learn_alpha else None,
                "reconstruction": interval(over_seeds(group, "test_reconstruction")),
                "evidence": evidence(group),
                "histories": {str(one.run.settings.seed): one.history for one in group.shown},
            }
            for group in comparison.groups
        ],
    }


def alpha(group: Group) -> float | None:
    """By which the slider finds it."""
    return group.settings.alpha if group.settings.skewed and not group.settings.learn_alpha else None


def learnt(group: Group) -> Mean:
    """Where learning has brought alpha."""
    return Mean.of([one.run.alpha for one in group.shown])


def over_seeds(group: Group, column: str) -> Mean:
    return Mean.of([one.run.values[column] for one in group.shown])


def interval(mean: Mean) -> list[float]:
    """A value and its ends, which one seed does not set apart."""
    return [mean.value, *(mean.interval or (mean.value, mean.value))]


def evidence(group: Group) -> list[float] | None:
    """Log evidence and its ends: over seeds, or of the one seed by the bootstrap."""
    found = estimates(group)
    if len(found) == 1:
        return [found[0][key] for key in ("log_evidence", "low", "high")]
    return interval(Mean.of([one["log_evidence"] for one in found])) if found else None


def estimates(group: Group) -> list[dict[str, Any]]:
    """Those of a group that were made in one way, that of the first."""
    found = [one.evidence for one in group.shown if one.evidence]
    return [one for one in found if way(one) == way(found[0])]


def way(evidence: Mapping[str, Any]) -> str:
    return f"{evidence['likelihood']} likelihood, {evidence['samples']} draws"


# HTML


def section(number: int, comparison: Comparison) -> str:
    dataset = comparison.common.dataset
    seeds = sorted({one.run.settings.seed for one in comparison.shown})
    choice = "".join(f"<option>{seed}</option>" for seed in seeds)
    chooser = f'<label>Curves and pictures of seed <select class="seed">{choice}</select></label>'
    cards = "\n".join(card(index, one) for index, group in enumerate(comparison.groups) for one in group.shown)
    return f"""
<section class="runs" data-comparison="{number}" aria-labelledby="runs-{number}">
<h2 id="runs-{number}">{escape(title(dataset))}</h2>
<p>{escape(heading(comparison.common).removeprefix(f"{dataset}, "))}. Curves by epoch: test images full, training images
dashed. <span class="nearest"></span></p>
{chooser * (len(seeds) > 1)}
<div class="panels">
<figure class="over"><figcaption>Reconstruction of test images by alpha</figcaption>
<svg class="chart reconstruction-by-alpha" role="img"></svg></figure>
<figure class="over"><figcaption>Log evidence by alpha, nats per image</figcaption>
<svg class="chart evidence-by-alpha" role="img"></svg></figure>
</div>
<div class="cards">
{cards}
</div>
{table(comparison)}
</section>"""


def card(index: int, shown: Shown) -> str:
    """Curves and pictures of one run."""
    settings = shown.run.settings
    now = f", now {shown.run.alpha:.3f}" * settings.learn_alpha
    pictures = lacking(shown.lacking)
    if shown.pictures:
        rows = ", ".join(f"z{row} {nats:.2f}" for row, nats in shown.pictures.activity)
        pictures = "\n".join(
            [
                picture(
                    shown.pictures.reconstructions, "Test images, and below each row its reconstruction, z = mean."
                ),
                picture(
                    shown.pictures.traversal,
                    "Traversal: each row moves one latent dimension from -2 to 2. By their mean KL(q‖p) in nats, from "
                    f"the top: {rows}.",
                ),
                picture(shown.pictures.samples, "Samples: draws of the prior, the same ones for every run."),
            ]
        )
    return f"""<article class="card" data-group="{index}" data-seed="{settings.seed}">
<h3>{swatch(settings.divergence)} {escape(settings.title())}{now}</h3>
<svg class="chart history" role="img" aria-label="Reconstruction and divergence by epoch; the table has their ends"></svg>
{pictures}
<p class="quiet">{escape(str(shown.run.path))}, seed {settings.seed}</p>
</article>"""


def lacking(why: str) -> str:
    """The sentence in place of the pictures; a command in it is set as one."""
    said, found, command = why.partition("python -m ")
    return f'<p class="lacking">No pictures: {escape(said)}<code>{escape(found + command)}</code></p>'


def picture(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    caption = escape(caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def swatch(divergence: str) -> str:
    """The line of a divergence as it is in the charts."""
    return (
        f'<svg class="swatch" aria-hidden="true"><line class="line {divergence}" x1="1" x2="27" y1="6" y2="6"/></svg>'
    )


HEAD = ("Objective", "alpha", "seeds", *(f"{term}, {split}" for term in TERMS for split in ("train", "test")))


def table(comparison: Comparison) -> str:
    """Of the last epoch."""
    ways = {way(one) for group in comparison.groups for one in estimates(group)}
    head = "".join(f'<th scope="col">{text}</th>' for text in [*HEAD, *["log evidence"] * bool(ways)])
    rows = []
    for index, group in enumerate(comparison.groups):
        cells = [alpha_text(group), str(len(group.shown))]
        for term in TERMS:
            cells += [over_seeds(group, f"{split}_{term}").text(DIGITS[term]) for split in ("train", "test")]
        cells += [evidence_text(group, len(ways) > 1)] * bool(ways)
        objective = f'<th scope="row">{swatch(group.settings.divergence)} {escape(name(group.settings))}</th>'
        rows.append(f'<tr data-group="{index}">{objective}{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>')
    several = {len(group.shown) > 1 for group in comparison.groups}
    notes = [STUDENT] * (True in several) + [ONE_SEED] * (False in several) + [BOOTSTRAP] * bool(ways)
    notes += [f"It is estimated by {'; '.join(sorted(ways))}." if ways else NO_EVIDENCE]
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="Table of {escape(title(comparison.common.dataset))}">
<table>
<caption>After the last epoch, means over images. Marked: the runs nearest to the slider's alpha.</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{chr(10).join(rows)}
</tbody>
</table>
</div>
<p class="quiet">{escape(" ".join(notes))}</p>"""


def alpha_text(group: Group) -> str:
    if group.settings.learn_alpha:
        return f"{learnt(group).text(3)} (learnt)"
    return f"{group.settings.alpha:g}" if group.settings.skewed else ""


def evidence_text(group: Group, ways_differ: bool) -> str:
    found = estimates(group)
    if not found:
        return ""
    said = Mean.of([one["log_evidence"] for one in found]).text()
    if len(found) == 1:
        said += f" ({found[0]['low']:.2f} to {found[0]['high']:.2f})"
    return said + f", {way(found[0])}" * ways_differ


def remarks(found: Collection) -> str:
    """Below all runs: the numbers as files, and what is not shown."""
    if not found.comparisons:
        return ""
    links = [
        download("runs.csv", "last epoch of every run", (one.row() for one in found.shown)),
        download("epochs.csv", "every epoch of every run", (row for one in found.shown for row in epochs(one))),
    ]
    unshown = "".join(f"<li>{escape(line)}</li>" for line in [*found.damaged, *found.left_out])
    listed = f"<h3>Not shown</h3>\n<ul>{unshown}</ul>" if unshown else ""
    return f"""
<section class="runs">
<h2>The numbers</h2>
<p>{" ".join(links)}</p>
<p class="quiet">Runs were trained by the convention &ldquo;deasy&rdquo;, N&#8321; being q(z|x) and N&#8322; the prior. Samples are of
torch's normal draws from seed {NOISE_SEED}.</p>
{listed}
</section>"""


def epochs(shown: Shown) -> Iterable[dict[str, Any]]:
    for split, rows in shown.history.items():
        for epoch, *values in rows:
            yield {"run": str(shown.run.path), "epoch": epoch, "split": split} | dict(zip(TERMS, values, strict=True))


def download(file: str, what: str, rows: Iterable[Mapping[str, Any]]) -> str:
    data = base64.b64encode(csv_text(list(rows)).encode()).decode()
    return f'<a class="button" download="{file}" href="data:text/csv;charset=utf-8;base64,{data}">{file}: {what}</a>'


def escape(text: str) -> str:
    return html.escape(text.replace("||", "‖"))
