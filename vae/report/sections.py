"""The lower part of the page as HTML: for each comparison its charts, cards and table, and the numbers as files."""

import base64
import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

from vae.files import csv_text
from vae.report.collect import TERMS, Collection, Section, Shown, ShownGroup, way
from vae.report.paint import NOISE_SEED
from vae.runs.comparisons import heading, name
from vae.runs.groups import dataset_title
from vae.runs.statistics import CONFIDENCE

# Digits after the point: MMD's divergences are thousandths.
DIGITS = {"reconstruction": 2, "divergence": 3}
STUDENT = f"± is Student's {CONFIDENCE * 100:.0f} % interval of a mean over seeds."
ONE_SEED = "A number without ± is that of one seed, which says nothing of others."
BOOTSTRAP = (
    "Log evidence, in nats per image, has in brackets 95 % of the bootstrap over batches of test images, for this one "
    "model; where there are several seeds, ± over these instead."
)
CAPTION = "After the last epoch, means over images. Marked: the runs nearest to the slider's alpha."
NO_EVIDENCE = "python -m vae.evaluate RUN adds the log evidence."


def section(number: int, comparison: Section) -> str:
    dataset = comparison.common.dataset
    seeds = sorted({one.run.settings.seed for one in comparison.shown})
    choice = "".join(f"<option>{seed}</option>" for seed in seeds)
    chooser = f'<label>Curves and pictures of seed <select class="seed">{choice}</select></label>'
    cards = "\n".join(card(index, one) for index, group in enumerate(comparison.groups) for one in group.shown)
    return f"""
<section class="runs" data-comparison="{number}" aria-labelledby="runs-{number}">
<h2 id="runs-{number}">{escape_html(dataset_title(dataset))}</h2>
<p>{escape_html(heading(comparison.common).removeprefix(f"{dataset}, "))}. Curves by epoch: test images full,
training images dashed. <span class="nearest"></span></p>
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
{numbers_table(comparison)}
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
<h3>{swatch(settings.divergence)} {escape_html(settings.title())}{now}</h3>
<svg class="chart history" role="img" aria-label="Reconstruction and divergence by epoch; the table has the last"></svg>
{pictures}
<p class="quiet">{escape_html(str(shown.run.path))}, seed {settings.seed}</p>
</article>"""


def lacking(why: str) -> str:
    """The sentence in place of the pictures; a command in it is set as one."""
    said = re.sub(r"(python -m .*)", r"<code>\1</code>", escape_html(why))
    return f'<p class="lacking">No pictures: {said}</p>'


def picture(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    caption = escape_html(caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def swatch(divergence: str) -> str:
    """The line of a divergence as it is in the charts."""
    return (
        f'<svg class="swatch" aria-hidden="true"><line class="line {divergence}" x1="1" x2="27" y1="6" y2="6"/></svg>'
    )


HEAD = ("Objective", "alpha", "seeds", *(f"{term}, {split}" for term in TERMS for split in ("train", "test")))


def numbers_table(comparison: Section) -> str:
    """Of the last epoch."""
    ways = {way(one) for group in comparison.groups for one in group.estimates}
    head = "".join(f'<th scope="col">{text}</th>' for text in [*HEAD, *["log evidence"] * bool(ways)])
    rows = []
    for index, group in enumerate(comparison.groups):
        cells = [alpha_text(group), str(len(group.shown))]
        for term in TERMS:
            cells += [group.over_seeds(f"{split}_{term}").text(DIGITS[term]) for split in ("train", "test")]
        cells += [evidence_text(group, len(ways) > 1)] * bool(ways)
        objective = f'<th scope="row">{swatch(group.settings.divergence)} {escape_html(name(group.settings))}</th>'
        rows.append(
            f'<tr data-group="{index}">{objective}{"".join(f"<td>{escape_html(cell)}</td>" for cell in cells)}</tr>'
        )
    several = {len(group.shown) > 1 for group in comparison.groups}
    notes = [STUDENT] * (True in several) + [ONE_SEED] * (False in several) + [BOOTSTRAP] * bool(ways)
    notes += [f"It is estimated by {'; '.join(sorted(ways))}." if ways else NO_EVIDENCE]
    dataset = escape_html(dataset_title(comparison.common.dataset))
    return f"""<p class="quiet">{CAPTION}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Table of {dataset}">
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{chr(10).join(rows)}
</tbody>
</table>
</div>
<p class="quiet">{escape_html(" ".join(notes))}</p>"""


def alpha_text(group: ShownGroup) -> str:
    if group.learnt:
        return f"{group.learnt.text(3)} (learnt)"
    return "" if group.alpha is None else f"{group.alpha:g}"


def evidence_text(group: ShownGroup, ways_differ: bool) -> str:
    found = group.estimates
    if not group.log_evidence:
        return ""
    said = group.log_evidence.text()
    if len(found) == 1:
        said += f" ({found[0]['low']:.2f} to {found[0]['high']:.2f})"
    return said + f", {way(found[0])}" * ways_differ


def remarks(found: Collection) -> str:
    """Below all runs: the numbers as files, and what is not shown."""
    if not found.comparisons:
        return ""
    links = [
        csv_link("runs.csv", "last epoch of every run", (one.row() for one in found.shown)),
        csv_link("epochs.csv", "every epoch of every run", (row for one in found.shown for row in epochs(one))),
    ]
    unshown = "".join(f"<li>{escape_html(line)}</li>" for line in [*found.damaged, *found.left_out])
    listed = f"<h3>Not shown</h3>\n<ul>{unshown}</ul>" if unshown else ""
    return f"""
<section class="runs">
<h2>The numbers</h2>
<p>{" ".join(links)}</p>
<p class="quiet">Runs were trained by the convention &ldquo;deasy&rdquo;, N&#8321; being q(z|x) and N&#8322; the prior.
Samples are of torch's normal draws from seed {NOISE_SEED}.</p>
{listed}
</section>"""


def epochs(shown: Shown) -> Iterable[dict[str, Any]]:
    for split, rows in shown.history.items():
        for epoch, *values in rows:
            yield {"run": str(shown.run.path), "epoch": epoch, "split": split} | dict(zip(TERMS, values, strict=True))


def csv_link(file: str, what: str, rows: Iterable[Mapping[str, Any]]) -> str:
    data = base64.b64encode(csv_text(list(rows)).encode()).decode()
    return f'<a class="button" download="{file}" href="data:text/csv;charset=utf-8;base64,{data}">{file}: {what}</a>'


def escape_html(text: str) -> str:
    return html.escape(text.replace("||", "‖"))
