"""The lower part of the page as HTML: a section for each comparison of runs, and the numbers as files."""

import base64
import html
from collections.abc import Iterable, Mapping
from typing import Any

from vae.files import csv_text, utf8
from vae.report.collect import TERMS, Contents, Section, ShownGroup, ShownRun, way
from vae.report.plots import by_alpha, curves_picture, log_evidence, reconstruction
from vae.runs.comparisons import heading, name
from vae.runs.groups import command, dataset_title
from vae.runs.statistics import CONFIDENCE

# Digits after the point: the divergences of MMD are thousandths.
DIGITS = {"reconstruction": 2, "divergence": 3}
STUDENT = f"± is Student's {CONFIDENCE * 100:.0f} % interval of a mean over seeds."
ONE_SEED = "A number without ± comes from one seed and says nothing about others."
BOOTSTRAP = (
    "Log evidence is in nats per image. In brackets: the 95 % bootstrap interval over batches of test images, for this "
    "one model. With several seeds, ± is the interval over the seeds instead."
)
CAPTION = "Means over all images after the last epoch, z = mean."
NO_EVIDENCE = "python -m vae.evaluate RUN adds the log evidence."
CAPTIONS = {
    "reconstructions": "Test images, and below each row its reconstruction, z = mean.",
    "traversal": "Latent traversal: each row moves one latent dimension from -2 to 2.",
}


def section_html(number: int, section: Section) -> str:
    dataset = section.common.dataset
    plots = [
        plot(by_alpha(section.groups, reconstruction, "squared error"), "Reconstruction of test images against alpha."),
        plot(by_alpha(section.groups, log_evidence, "nats per image"), "Log evidence against alpha."),
    ]
    return f"""
<section class="runs" aria-labelledby="runs-{number}">
<h2 id="runs-{number}">{escape_html(dataset_title(dataset))}</h2>
<p>{escape_html(heading(section.common).removeprefix(f"{dataset}, "))}.</p>
<div class="panels">
{"".join(plots)}
</div>
{numbers_table(section)}
{cards(section)}
</section>"""


def plot(drawn: tuple[bytes, str] | None, caption: str) -> str:
    return picture(drawn[0], "svg+xml", f"{caption} {drawn[1]}".strip()) if drawn else ""


def cards(section: Section) -> str:
    """Curves and pictures of all runs, seed by seed; those of the first seed are open."""
    found = []
    seeds = sorted({one.run.settings.seed for one in section.shown})
    for seed in seeds:
        of_seed = "\n".join(card(one) for one in section.shown if one.run.settings.seed == seed)
        opened = " open" * (seed == seeds[0])
        title = f"Curves and pictures, seed {seed}"
        found.append(f'<details{opened}><summary>{title}</summary>\n<div class="cards">\n{of_seed}\n</div></details>')
    return "\n".join(found)


def card(shown: ShownRun) -> str:
    """Curves and pictures of one run."""
    run, pictures = shown.run, dict(shown.pictures)
    learnt = f", now {run.alpha:.3f}" * run.settings.learn_alpha
    caption = "Reconstruction and divergence after each epoch."
    if "curves" in pictures:
        parts = [picture(pictures["curves"], "png", caption)]
    else:
        parts = [picture(curves_picture(shown.history, run.settings.title()), "svg+xml", caption)]
    parts += [picture(pictures[file], "png", text) for file, text in CAPTIONS.items() if file in pictures]
    if not CAPTIONS.keys() <= pictures.keys():
        parts.append(lacking(shown))
    return f"""<article class="card">
<h3>{swatch(run.settings.divergence)} {escape_html(run.settings.title())}{learnt}</h3>
{chr(10).join(parts)}
<p class="quiet">{escape_html(str(run.path))}</p>
</article>"""


def lacking(shown: ShownRun) -> str:
    """The sentence that replaces pictures that the run's folder lacks."""
    files = " and ".join(f"{file}.png" for file in CAPTIONS if file not in shown.pictures)
    again = escape_html(command(shown.run.settings))
    return f'<p class="lacking">No {files} in this folder. To train the run again: <code>{again}</code></p>'


def picture(content: bytes, kind: str, caption: str) -> str:
    data = base64.b64encode(content).decode()
    caption = escape_html(caption)
    image = f'<img alt="{caption}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def swatch(divergence: str) -> str:
    """A short line with the colour of a divergence."""
    return (
        f'<svg class="swatch" aria-hidden="true"><line class="line {divergence}" x1="1" x2="27" y1="6" y2="6"/></svg>'
    )


HEAD = ("Objective", "alpha", "seeds", *(f"{term}, {split}" for term in TERMS for split in ("train", "test")))


def numbers_table(section: Section) -> str:
    """The numbers after the last epoch, a row for each group."""
    ways = {way(one) for group in section.groups for one in group.estimates}
    head = "".join(f'<th scope="col">{text}</th>' for text in [*HEAD, *["log evidence"] * bool(ways)])
    rows = []
    for group in section.groups:
        cells = [alpha_text(group), str(len(group.shown))]
        for term in TERMS:
            cells += [group.over_seeds(f"{split}_{term}").text(DIGITS[term]) for split in ("train", "test")]
        cells += [evidence_text(group, len(ways) > 1)] * bool(ways)
        objective = f'<th scope="row">{swatch(group.settings.divergence)} {escape_html(name(group.settings))}</th>'
        rows.append(f"<tr>{objective}{''.join(f'<td>{escape_html(cell)}</td>' for cell in cells)}</tr>")
    several = {len(group.shown) > 1 for group in section.groups}
    notes = [STUDENT] * (True in several) + [ONE_SEED] * (False in several) + [BOOTSTRAP] * bool(ways)
    notes += [f"It is estimated with {'; '.join(sorted(ways))}." if ways else NO_EVIDENCE]
    dataset = escape_html(dataset_title(section.common.dataset))
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
    text = group.log_evidence.text()
    if len(found) == 1:
        text += f" ({found[0]['low']:.2f} to {found[0]['high']:.2f})"
    return text + f", {way(found[0])}" * ways_differ


def numbers_html(contents: Contents) -> str:
    """The end of the page: the numbers as files, and the runs that are not shown."""
    if not contents.sections:
        return ""
    links = [
        csv_link("runs.csv", "last epoch of every run", (one.row() for one in contents.shown)),
        csv_link("epochs.csv", "every epoch of every run", (row for one in contents.shown for row in epoch_rows(one))),
    ]
    unshown = "".join(f"<li>{escape_html(line)}</li>" for line in [*contents.damaged, *contents.left_out])
    listed = f"<h3>Not shown</h3>\n<ul>{unshown}</ul>" if unshown else ""
    return f"""
<section class="runs">
<h2>The numbers</h2>
<p>{" ".join(links)}</p>
<p class="quiet">All runs use the convention &ldquo;deasy&rdquo;; N&#8321; is q(z|x) and N&#8322; is the prior.</p>
{listed}
</section>"""


def epoch_rows(shown: ShownRun) -> Iterable[dict[str, Any]]:
    for row in shown.history:
        yield {"run": str(shown.run.path)} | {key: None if value != value else value for key, value in row.items()}


def csv_link(file: str, what: str, rows: Iterable[Mapping[str, Any]]) -> str:
    data = base64.b64encode(utf8(csv_text(list(rows)))).decode()
    return f'<a class="button" download="{file}" href="data:text/csv;charset=utf-8;base64,{data}">{file}: {what}</a>'


def escape_html(text: str) -> str:
    return html.escape(text.replace("||", "‖"))
