"""Which alpha is best, and how much of that may be chance: means over seeds, and differences seed by seed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from scipy.stats import sem, t

from vae.runs.groups import SeedGroup

CONFIDENCE = 0.95
SPLITS = {"train": "train_reconstruction", "test": "test_reconstruction"}


@dataclass(frozen=True)
class SeedMean:
    """Of a number that each seed has."""

    value: float
    half_width: float | None
    """Of Student's interval; one seed has none."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "SeedMean":
        """The mean of the values.

        >>> SeedMean.of([1.0, 2.0, 3.0]).text()  # 4.303 / sqrt(3)
        '2.00 ± 2.48'
        """
        if len(values) == 1:
            return cls(values[0], None)
        # Not scipy's t.interval, which is nan for equal values, nor ttest_1samp, which warns of them.
        half_width = t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * sem(values)
        return cls(statistics.fmean(values), float(half_width))

    def text(self, digits: int = 2, width: int = 0) -> str:
        return f"{self.value:{width}.{digits}f}" + (
            "" if self.half_width is None else f" ± {self.half_width:.{digits}f}"
        )

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.half_width is None else (self.value - self.half_width, self.value + self.half_width)


@dataclass(frozen=True)
class AlphaGrid:
    """A skewed divergence of one weight at several alphas, all with the same seeds."""

    groups: dict[float, SeedGroup]
    """By alpha, in its order; each in the order of its seeds."""

    left_out: list[str]
    """What could not be compared because the seeds differ."""

    @property
    def alphas(self) -> list[float]:
        return list(self.groups)

    @property
    def seeds(self) -> list[int]:
        return self.groups[self.alphas[0]].seeds

    def best(self, split: str) -> float:
        """The alpha of the least mean error; of two equals the smaller."""
        return min(self.groups, key=lambda alpha: self.groups[alpha].mean(SPLITS[split]))

    def difference(self, alpha: float, other: float, split: str) -> SeedMean:
        """Seed by seed, for runs of one seed share first weights, order of the images and noise."""
        pairs = zip(*(self.groups[one].column(SPLITS[split]) for one in (alpha, other)), strict=True)
        return SeedMean.of([one - two for one, two in pairs])

    def as_good(self, split: str) -> list[float] | None:
        """The alphas that cannot be told from the best one; one seed says nothing of them."""
        if len(self.seeds) == 1:
            return None
        differences = {alpha: self.difference(alpha, self.best(split), split) for alpha in self.groups}
        return [alpha for alpha, found in differences.items() if found.value <= (found.half_width or 0)]

    def regret(self) -> SeedMean:
        """What the alpha chosen by training images loses on test images to the one that these choose."""
        return self.difference(self.best("train"), self.best("test"), "test")

    def remarks(self) -> list[str]:
        """What to know of the choice."""
        if len(self.groups) == 1:
            return ["one alpha alone, so nothing was chosen", *self.left_out]
        train, test = (self.best(split) for split in SPLITS)
        chosen = (
            "train and test choose the same"
            if train == test
            else f"train chooses {train:g}, test {test:g}, than which it is worse on test by {self.regret().text()}"
        )
        said = [f"of {', '.join(f'{alpha:g}' for alpha in self.groups)} {chosen}"]
        ends = {self.alphas[0]: "least", self.alphas[-1]: "largest"}
        said += [
            f"{alpha:g} is the {ends[alpha]} that was tried, and the best may lie beyond"
            for alpha in dict.fromkeys((train, test))
            if alpha in ends and 0 < alpha < 1
        ]
        return said + self.left_out


def share(groups: dict[float, SeedGroup]) -> AlphaGrid:
    """The most alphas that have a seed in common, with all seeds that these have in common: the rest has no pairs."""
    every = sorted({seed for group in groups.values() for seed in group.seeds})
    having = {seed: [alpha for alpha in groups if seed in groups[alpha].seeds] for seed in every}
    shared = {seed: [one for one in every if set(having[seed]) <= set(having[one])] for seed in every}
    first = max(every, key=lambda seed: (len(having[seed]), len(shared[seed]), -seed))
    alphas, seeds = having[first], shared[first]
    left_out = [
        f"alpha {alpha:g} is left out, for it lacks seeds that the others share"
        for alpha in groups
        if alpha not in alphas
    ]
    left_out += [
        f"seed {seed} is left out, for only alpha {listed(having[seed], list(groups))} has it"
        for seed in every
        if seed not in seeds and set(having[seed]) & set(alphas)
    ]
    kept = {
        alpha: SeedGroup(tuple(run for run in groups[alpha].runs if run.settings.seed in seeds)) for alpha in alphas
    }
    return AlphaGrid(kept, left_out)


def listed(alphas: Sequence[float], grid: Sequence[float]) -> str:
    """Alphas in a few words: where three or more are neighbours in the grid, the first and the last.

    >>> listed([0.1, 0.3, 0.4, 0.6, 0.8], [0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
    '0.1, 0.3 to 0.8'
    """
    stretches = [
        [f"{alpha:g}" for _, alpha in stretch]
        for _, stretch in groupby(enumerate(alphas), key=lambda pair: grid.index(pair[1]) - pair[0])
    ]
    return ", ".join(f"{one[0]} to {one[-1]}" if len(one) > 2 else ", ".join(one) for one in stretches)
