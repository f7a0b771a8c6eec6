"""The best alpha and its uncertainty: means over seeds and differences seed by seed."""

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
    """The mean of one number per seed."""

    value: float
    half_width: float | None
    """Half the width of Student's interval; None for one seed."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "SeedMean":
        """The mean of the values.

        >>> SeedMean.of([1.0, 2.0, 3.0]).text()  # 4.303 / sqrt(3)
        '2.00 ± 2.48'
        """
        if len(values) == 1:
            return cls(values[0], None)
        # For equal values scipy's t.interval is NaN and ttest_1samp warns, so neither is used.
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
    """The runs of a skewed divergence with one weight at several alphas, all with the same seeds."""

    groups: dict[float, SeedGroup]
    """The groups by alpha, both in ascending order; each group is sorted by seed."""

    left_out: list[str]
    """A phrase for each alpha or seed that cannot be compared, because the seeds differ."""

    @property
    def alphas(self) -> list[float]:
        return list(self.groups)

    @property
    def seeds(self) -> list[int]:
        return self.groups[self.alphas[0]].seeds

    def best(self, split: str) -> float:
        """The alpha with the smallest mean error; the smaller alpha if two are equal."""
        return min(self.groups, key=lambda alpha: self.groups[alpha].mean(SPLITS[split]))

    def difference(self, alpha: float, other: float, split: str) -> SeedMean:
        """The mean difference seed by seed, as runs of one seed share initial weights, order of images and noise."""
        pairs = zip(*(self.groups[one].column(SPLITS[split]) for one in (alpha, other)), strict=True)
        return SeedMean.of([one - two for one, two in pairs])

    def as_good(self, split: str) -> list[float] | None:
        """The alphas whose difference from the best is within its interval; None for one seed."""
        if len(self.seeds) == 1:
            return None
        differences = {alpha: self.difference(alpha, self.best(split), split) for alpha in self.groups}
        return [alpha for alpha, found in differences.items() if found.value <= (found.half_width or 0)]

    def regret(self) -> SeedMean:
        """The test error of the alpha chosen by training images, minus that of the alpha chosen by test images."""
        return self.difference(self.best("train"), self.best("test"), "test")

    def remarks(self) -> list[str]:
        """Phrases about the choice of alpha."""
        if len(self.groups) == 1:
            return ["there is only one alpha, so nothing was chosen", *self.left_out]
        train, test = (self.best(split) for split in SPLITS)
        chosen = (
            "train and test choose the same"
            if train == test
            else f"train chooses {train:g} and test {test:g}; {train:g} is worse on test by {self.regret().text()}"
        )
        said = [f"of {', '.join(f'{alpha:g}' for alpha in self.groups)} {chosen}"]
        ends = {self.alphas[0]: "smallest", self.alphas[-1]: "largest"}
        beyond = {self.alphas[0]: "smaller", self.alphas[-1]: "larger"}
        said += [
            f"{alpha:g} is the {ends[alpha]} alpha tried, so the best may be {beyond[alpha]}"
            for alpha in dict.fromkeys((train, test))
            if alpha in ends and 0 < alpha < 1
        ]
        return said + self.left_out


def share(groups: dict[float, SeedGroup]) -> AlphaGrid:
    """Keeps the largest set of alphas that share a seed, and all seeds that they share; differences need pairs."""
    every = sorted({seed for group in groups.values() for seed in group.seeds})
    having = {seed: [alpha for alpha in groups if seed in groups[alpha].seeds] for seed in every}
    shared = {seed: [one for one in every if set(having[seed]) <= set(having[one])] for seed in every}
    first = max(every, key=lambda seed: (len(having[seed]), len(shared[seed]), -seed))
    alphas, seeds = having[first], shared[first]
    left_out = [
        f"alpha {alpha:g} is left out, as it lacks seeds that the others share"
        for alpha in groups
        if alpha not in alphas
    ]
    left_out += [
        f"seed {seed} is left out, as it has only alpha {listed(having[seed], list(groups))}"
        for seed in every
        if seed not in seeds and set(having[seed]) & set(alphas)
    ]
    kept = {
        alpha: SeedGroup(tuple(run for run in groups[alpha].runs if run.settings.seed in seeds)) for alpha in alphas
    }
    return AlphaGrid(kept, left_out)


def listed(alphas: Sequence[float], grid: Sequence[float]) -> str:
    """Lists alphas; of three or more neighbours in the grid, only the first and the last.

    >>> listed([0.1, 0.3, 0.4, 0.6, 0.8], [0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
    '0.1, 0.3 to 0.8'
    """
    stretches = [
        [f"{alpha:g}" for _, alpha in stretch]
        for _, stretch in groupby(enumerate(alphas), key=lambda pair: grid.index(pair[1]) - pair[0])
    ]
    return ", ".join(f"{one[0]} to {one[-1]}" if len(one) > 2 else ", ".join(one) for one in stretches)
