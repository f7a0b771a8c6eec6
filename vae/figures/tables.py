"""Table 1: the reconstruction of test images, our numbers above the paper's, as Markdown and as LaTeX."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vae.figures.output import Result
from vae.runs import paper
from vae.runs.groups import DatasetChoice, SeedGroup, dataset_title, on, read_runs, trained
from vae.runs.statistics import share
from vae.style import LABELS
from vae.training.settings import Settings

TRAIN, TEST = "train_reconstruction", "test_reconstruction"

HEADING = (
    "Reconstruction of test images: squared differences summed over the pixels of an image, z = mean, averaged over "
    "the images; mean ± sd over seeds; a single seed has no sd. Bold is our lowest number if its mean + sd is below "
    "the mean - sd of all others. The paper's numbers come from one seed, epochs not stated (its code's default is 30)."
)
NOTES = {
    "mmd": "We compare draws of z with the prior, as InfoVAE does; the paper's code compares the mean and the "
    "log-variance with draws of N(0, I).",
    "half": "At alpha = 0.5 the two conventions of the mean coincide, and the paper's code has two runs of each on "
    "MNIST: 9.87 and 9.71 for JSG, 7.56 and 8.26 for JSG*. Single runs that differ by less may differ by chance.",
    "best": "In brackets: alpha, chosen by the reconstruction of training images with the seeds that all alphas have; "
    "the paper chose it by that of test images.",
    "tested": "The paper tested on its training images; we use separate test images.",
    "printed": "The paper prints 5.54, which is the dual's run at alpha = 0.1.",
    "drawn": "We draw these images with the factors of dSprites; the paper's numbers are those of dSprites.",
}
DATASET_NOTES = {"dsprites": ["tested"], "dsprites-synth": ["drawn", "tested"], "chairs": ["tested"]}


@dataclass(frozen=True)
class Line:
    """One line of the table: one objective, or the best of several that differ in alpha."""

    name: str
    objectives: Sequence[Settings]
    notes: Sequence[str] = ()

    @property
    def best(self) -> bool:
        return len(self.objectives) > 1


LINES = (
    Line("KL(q‖p)", [trained("kl-qp")]),
    Line("KL(p‖q)", [trained("kl-pq")]),
    Line("beta-VAE, beta = 4", [trained("kl-qp", weight=4.0)]),
    Line("MMD, lambda = 500", [trained("mmd", weight=500.0)], ["mmd"]),
    Line("JSG, alpha = 0.5", [trained("jsg", alpha=0.5)], ["half"]),
    Line("JSG, best alpha", [trained("jsg", alpha=alpha) for alpha in paper.ALPHAS], ["best"]),
    Line("JSG*, best alpha", [trained("jsg-dual", alpha=alpha) for alpha in paper.ALPHAS], ["best"]),
)
WANTED = list(dict.fromkeys(objective for line in LINES for objective in line.objectives))


class Notes:
    """Footnotes, with letters in the order of their first use."""

    def __init__(self):
        self.used: list[str] = []

    def mark(self, *notes: str) -> str:
        """The letters of the notes, between two carets."""
        self.used += [note for note in notes if note not in self.used]
        letters = sorted("abcdef"[self.used.index(note)] for note in notes)
        return f"^{','.join(letters)}^" if letters else ""

    def texts(self) -> list[str]:
        return [f"({letter}) {NOTES[note]}" for letter, note in zip("abcdef", self.used, strict=False)]


@dataclass(frozen=True)
class TableCell:
    """The numbers of a line for one data set, ours and the paper's, with their settings."""

    line: Line
    choice: DatasetChoice
    candidates: Sequence[tuple[Settings, SeedGroup]]
    """The settings that were trained, with their runs."""

    theirs: tuple[Settings, float] | None

    @property
    def ours(self) -> tuple[Settings, SeedGroup] | None:
        """The candidate with the best reconstruction of training images; test images have no influence on it.

        Alphas are compared by the seeds that they share, so that none is chosen for its seeds.
        """
        by_alpha = {settings.alpha: (settings, group) for settings, group in self.candidates}
        if not by_alpha:
            return None
        return by_alpha[share({alpha: by_alpha[alpha][1] for alpha in sorted(by_alpha)}).best("train")]

    def row(self) -> dict[str, Any]:
        """The cell's row in the CSV file."""
        settings, group = self.ours or (None, None)
        paper_settings, number = self.theirs or (None, None)
        return {
            "dataset": self.choice.dataset,
            "line": self.line.name,
            "alpha": settings.alpha if settings and settings.skewed else None,
            "epochs": group and self.choice.epochs,
            "seeds": group and len(group.runs),
            TRAIN: group and group.mean(TRAIN),
            TEST: group and group.mean(TEST),
            f"{TEST}_sd": group and group.sd(TEST),
            "paper_alpha": paper_settings.alpha if paper_settings and paper_settings.skewed else None,
            f"{TEST}_paper": number,
        }

    def tried(self) -> list[str]:
        """A sentence with our alphas, if they are not those of the paper."""
        alphas = sorted(settings.alpha for settings, _ in self.candidates)
        if not self.line.best or not alphas or alphas == list(paper.ALPHAS):
            return []
        name = self.line.name.removesuffix(", best alpha")
        return [
            f"{dataset_title(self.choice.dataset)}, {name}: the best of alpha {', '.join(f'{a:g}' for a in alphas)}."
        ]

    def text(self, column: Sequence["TableCell"]) -> str:
        """Our number for the column; two pairs of asterisks make it bold."""
        if self.ours is None:
            return "-"
        settings, group = self.ours
        sd = group.sd(TEST)
        said = f"{group.mean(TEST):.2f}" + ("" if sd is None else f" ± {sd:.2f}")
        others = [cell.ours[1] for cell in column if cell.ours and cell.ours[0] != settings]
        if others and all(clearly_below(group, other) for other in others):
            said = f"**{said}**"
        if any(len(other.runs) != len(group.runs) for other in others):
            said += f", n = {len(group.runs)}"
        return said + (f" ({settings.alpha:g})" if self.line.best else "")

    def paper_text(self, notes: Notes) -> str:
        if self.theirs is None:
            return "-"
        settings, number = self.theirs
        if not self.line.best:
            return f"{number:.2f}"
        dataset = paper.COUNTERPARTS.get(settings.dataset, settings.dataset)
        misprinted = (dataset, settings.divergence) == ("dsprites", "jsg")
        return f"{number:.2f} ({settings.alpha:g})" + (notes.mark("printed") if misprinted else "")


def clearly_below(one: SeedGroup, other: SeedGroup) -> bool:
    """Whether mean + sd of one is below mean - sd of the other; False if either has a single seed, and so no sd."""
    sd, other_sd = one.sd(TEST), other.sd(TEST)
    return sd is not None and other_sd is not None and one.mean(TEST) + sd < other.mean(TEST) - other_sd


def table1(folder: Path) -> Result:
    """Table 1: the reconstruction of test images for each objective."""
    selection = read_runs(folder).select(WANTED, paper.DATASETS, other_alphas=True)
    if not selection.choices:
        return Result(None, (), f"Table 1. {HEADING}", selection.missing)
    columns = [[cell(line, choice) for line in LINES] for choice in selection.choices]
    notes = Notes()
    lines = text_lines(columns, notes)
    tried = [sentence for column in columns for one in column for sentence in one.tried()]
    remarks = [*notes.texts(), " ".join([*tried, selection.notes])]
    return Result(
        None,
        [one.row() for column in columns for one in column],
        " ".join([f"Table 1. {HEADING}", *remarks]),
        selection.missing,
        {"md": markdown(lines, remarks), "tex": latex(lines, remarks)},
    )


def cell(line: Line, choice: DatasetChoice) -> TableCell:
    wanted = [on(choice.dataset, objective) for objective in line.objectives]
    candidates = [(one, group) for one, group in choice.groups.items() if one in wanted]
    if line.best:  # Alphas other than the paper's compete too, except 0 and 1, which are the KLs.
        inside = [(one, group) for one, group in choice.groups.items() if 0 < one.alpha < 1]
        candidates = [(one, group) for one, group in inside if replace(one, alpha=wanted[0].alpha) == wanted[0]]
    theirs = [(one, number) for one in wanted if (number := paper.published(TEST, one)) is not None]
    return TableCell(line, choice, candidates, min(theirs, key=lambda pair: pair[1], default=None))


def text_lines(columns: Sequence[Sequence[TableCell]], notes: Notes) -> list[list[str]]:
    """The lines of the table; the first two are its head."""
    choices = [column[0].choice for column in columns]
    lines = [
        ["", "", *(dataset_title(one.dataset) + notes.mark(*DATASET_NOTES.get(one.dataset, ())) for one in choices)],
        ["", "", *(one.extent() for one in choices)],
    ]
    for cells in zip(*columns, strict=True):
        line = cells[0].line
        ours = [one.text(column) for one, column in zip(cells, columns, strict=True)]
        lines.append([line.name + notes.mark(*line.notes), "ours", *ours])
        lines.append(["", "paper", *(one.paper_text(notes) for one in cells)])
    return lines


def markdown(lines: Sequence[Sequence[str]], remarks: Sequence[str]) -> str:
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    rule = "|---|---|" + "---:|" * (len(lines[0]) - 2)
    text = "\n\n".join(["\n".join([head, rule, *body]), HEADING, *remarks])
    return re.sub(r"\^([\w,]+)\^", r"<sup>\1</sup>", text.replace("JSG*", r"JSG\*")) + "\n"


LATEX = r"""%% Compiles as it stands. For \input, the other document needs \usepackage{booktabs,standalone}.
\documentclass{article}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs}
\begin{document}
\begin{table}
  \centering
  \caption{%(heading)s}
  \footnotesize
  \setlength{\tabcolsep}{4pt}
  \begin{tabular}{ll%(columns)s}
    \toprule
%(body)s
    \bottomrule
  \end{tabular}
  \begin{flushleft}
    %(remarks)s
  \end{flushleft}
\end{table}
\end{document}
"""
SYMBOLS = {
    **{symbol: f"\\{symbol}" for symbol in "&%$#_{}"},
    "q‖p": r"$q\,\Vert\,p$",
    "p‖q": r"$p\,\Vert\,q$",
    "JSG*": LABELS["jsg-dual"],
    "JSG": LABELS["jsg"],
    **{letter: rf"$\{letter}$" for letter in ("alpha", "beta", "lambda")},
    "±": r"$\pm$",
    " - ": " $-$ ",
}


def latex(lines: Sequence[Sequence[str]], remarks: Sequence[str]) -> str:
    rows = ["    " + " & ".join(map(escape_latex, line)) + r" \\" for line in lines]
    head, *pairs = ["\n".join(rows[start : start + 2]) for start in range(0, len(rows), 2)]
    return LATEX % {
        "heading": escape_latex(HEADING),
        "columns": "r" * (len(lines[0]) - 2),
        "body": "\n".join([head, "    \\midrule", "\n    \\addlinespace\n".join(pairs)]),
        "remarks": "\\\\\n    ".join(map(escape_latex, remarks)),
    }


def escape_latex(text: str) -> str:
    """Converts plain text, with the marks of bold and of notes, to LaTeX."""
    text = re.sub("|".join(map(re.escape, SYMBOLS)), lambda found: SYMBOLS[found[0]], text)
    return re.sub(r"\^([\w,]+)\^", r"\\textsuperscript{\1}", re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", text))
