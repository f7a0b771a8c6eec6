"""The report of `benchmarks.gpu`: the targets, whether they are met, and the tables of all measurements."""

from typing import NamedTuple

from benchmarks.cases import Case
from benchmarks.output import Ratio, milliseconds, ratio, table

PEERS = ("textbook", "Liger-style", "torch.compile")
STEP = "forward+backward"


class Records:
    """The measurements, selected by the values of their keys."""

    def __init__(self, records):
        self.records = records

    def all(self, **wanted):
        return [r for r in self.records if all(r.get(key) == value for key, value in wanted.items())]

    def one(self, **wanted):
        found = self.all(**wanted)
        return found[0] if found else None

    def peer(self, ours, peer):
        """The same measurement of another implementation; for torch.compile, of the fastest mode that was tried."""
        same = {key: ours[key] for key in ("kind", "rows", "n", "dtype", "what", "timing")}
        found = [r for r in self.all(**same) if r["implementation"].startswith(peer)]
        return min(found, key=lambda r: r["median"], default=None)

    def bandwidth(self, record):
        """The bytes that must be moved divided by the time, as a fraction of the same for the copy."""
        copy = self.one(kind="copy")
        scale = record["floor_bytes"] / copy["floor_bytes"]
        return Ratio(*(scale * x for x in ratio(copy, record)))


class Target(NamedTuple):
    """A row of the table of targets; ``got`` is None if it was not measured."""

    what: str
    wanted: str
    got: object
    met: bool | None

    @classmethod
    def at_least(cls, what, wanted, got):
        return cls(what, f">= {wanted:g}", got, None if got is None else _middle(got) >= wanted)

    @classmethod
    def at_most(cls, what, wanted, got, unit=""):
        return cls(what, f"<= {wanted:g}{unit}", got, None if got is None else _middle(got) <= wanted)


def _middle(got):
    return got.median if isinstance(got, Ratio) else got


def targets(results):
    """Yields the targets, in the order in which they were set."""
    records = Records(results["records"])
    for r in records.all(implementation="jsgmath", what=STEP, timing="cold", dtype="fp32"):
        if r["kind"] in ("standard", "diagonal"):
            yield Target.at_least(f"{title(r)}: fraction of copy bandwidth", 0.92, records.bandwidth(r))
            yield from (against(records, r, peer, wanted) for peer, wanted in zip(PEERS, (25, 2, 1.4), strict=True))
    for r in records.all(implementation="jsgmath", what=STEP, timing="cold", dtype="bf16"):
        yield Target.at_least(f"{title(r)}: fraction of copy bandwidth", 0.88, records.bandwidth(r))
    for r in records.all(implementation="jsgmath", what="launches of forward", n=20):
        yield Target.at_most(f"{title(r)}: launches of forward", 1, r["count"])
    for what, timing, wanted in (("forward", "graph", 3), ("forward", "host", 15), (STEP, "host", 30)):
        for r in records.all(implementation="jsgmath", what=what, timing=timing, n=20):
            where = {"graph": "inside a graph", "host": "host time"}[timing]
            yield Target.at_most(f"{title(r)}: {what}, {where}", wanted, micro(r), " us")
    for r in records.all(implementation="jsgmath", kind="sample"):
        yield Target.at_least(f"{title(r)}: fraction of copy bandwidth", 0.85, records.bandwidth(r))
        yield against(records, r, "torch.compile", 2)
        # The results are z and two gradients.  The values add a sixtieth at n = 20; a stored eps would add a third.
        peak = r["peak_bytes"] and r["peak_bytes"] / r["results_bytes"]
        yield Target.at_most(f"{title(r)}: peak memory divided by that of the results", 1.05, peak)
    for r in records.all(implementation="jsgmath", kind="full"):
        if r["n"] == 8:
            pairs = Ratio(*(r["rows"] / r[q] for q in ("q80", "median", "q20")))
            yield Target.at_least(f"{title(r)}: pairs/s", 1e9, pairs)
        wanted = 20 if r["n"] <= 16 else 5 if r["n"] <= 32 else 1.5
        yield against(records, r, "textbook", wanted)
    for r in records.all(implementation="jsgmath", what="kernels compiled for other alphas"):
        yield Target.at_most("22 other alphas: kernels compiled", 0, r["count"])


def against(records, ours, peer, wanted):
    other = records.peer(ours, peer)
    name = other["implementation"] if other else peer
    return Target.at_least(f"{title(ours)}: times faster than {name}", wanted, other and ratio(other, ours))


def micro(record):
    return Ratio(*(1e6 * record[q] for q in ("q20", "median", "q80")))


def title(record):
    return str(Case(*(record[name] for name in Case._fields)))


def text(results):
    """The whole report, as the command prints it."""
    records = Records(results["records"])
    copy = records.one(kind="copy")
    speed = Ratio(*(copy["floor_bytes"] / copy[q] / 1e12 for q in ("q80", "median", "q20")))
    facts = "".join(f"{name}: {value}\n" for name, value in results["facts"].items())
    rows = [(t.what, t.got if t.got is not None else "not measured", t.wanted, verdict(t)) for t in targets(results)]
    left_out = [(r["case"], r["implementation"], r["reason"]) for r in results["left_out"]]
    return "\n".join(
        [
            facts,
            f"A copy on the device reads and writes {speed} TB/s.\n",
            "Numbers are medians, with the 20 % and 80 % quantiles in brackets.\n",
            table(("what", "ours", "target", "met"), rows),
            table(("what", "implementation", "ms", "of copy", "peak B / result B", "times ours"), timed(records)),
            table(("what", "implementation", "counted", "number"), counted(records)),
            table(("left out", "implementation", "why"), left_out) if left_out else "Nothing was left out.\n",
        ]
    )


def verdict(target):
    return {None: "not measured", True: "yes", False: "NO"}[target.met]


def timed(records):
    for r in records.all():
        if "median" not in r or r["kind"] == "copy":
            continue
        same = {key: r[key] for key in ("kind", "rows", "n", "dtype", "what", "timing")}
        ours = records.one(implementation="jsgmath", **same)
        peak = f"{r['peak_bytes'] / r['results_bytes']:.3g}" if r.get("peak_bytes") and r["results_bytes"] else ""
        yield (
            f"{title(r)}: {r['what']}, {r['timing']}",
            r["implementation"],
            milliseconds(r),
            records.bandwidth(r) if "floor_bytes" in r else "",
            peak,
            "" if r is ours or ours is None else ratio(r, ours),
        )


def counted(records):
    for r in records.all():
        if "count" in r:
            number = "not counted" if r["count"] is None else r["count"]
            yield title(r), r["implementation"], r["what"], number
