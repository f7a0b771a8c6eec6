"""Tests the tests: breaks the mathematics at every place, one at a time, and checks that some test fails.

python -m verification.mutants                 prints the fate of every mutant; exit status 1 if one survives
python -m verification.mutants full pairs      the same for these modules, without the equivalent mutants
python -m verification.mutants 'pairs.f: x'    the same for the mutants of this function and statement
python -m verification.mutants test_limits     the same, tried by the tests of this file alone
python -m verification.mutants formula first   the same, tried by the tests of FIRST alone

Mutants are made from the syntax trees of the modules that compute a divergence.  Each arithmetic operation, sign,
comparison, condition and number is replaced by a wrong one.  Each name that belongs to one of the two Gaussians is
replaced by the name for the other.  Code that only raises errors is not changed; tests/ covers it.  A mutant is killed
if a test of this folder fails.  It survives if all tests pass; tests marked slow do not run.
"""

import ast
import gc
import importlib
import inspect
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import pytest

from verification.equivalent import EQUIVALENT

ROOT = Path(__file__).parents[1]
MODULES = {
    "formula": "formula",
    "special": "special",
    "exact": "reduction/exact",
    "pairs": "reduction/pairs",
    "diagonal": "reduction/diagonal",
    "reduction": "reduction/__init__",
    "working": "working",
    "divergences": "divergences",
    "gradients": "gradients",
    "twofold": "reduction/twofold",
    "scaling": "reduction/scaling",
    "full": "reduction/full",
}
# In these modules only operations and signs are changed: most numbers and names there choose an axis of a matrix.
DENSE = ("twofold", "scaling", "full")
# These functions propose a W, whose effect on both Gaussians is measured.  A worse W costs more steps, but no digits.
PROPOSALS = ("full.Transformed.correction", "full.diagonalised", "full._diagonaliser")
# These tests kill all mutants of the scalar formula and of diagonal Gaussians, the fastest of them in milliseconds.
FIRST = (
    "test_the_gradient_is_the_derivative_of_the_definition",
    "test_in_double_precision_alone_one_dimension_is_the_definition_to_a_few_ulps",
    "test_a_diagonal_divergence_is_the_textbook_definition",
    "test_a_mixed_divergence_is_the_textbook_definition",
    "test_the_kernels_keep_every_digit_of_the_working_precision",
    "test_kernels_by_the_split_are_g_and_gs",
    "test_the_economised_tail_leaves_g_and_gs_their_digits",
    "test_economised_coefficients_are_nearly_the_best",
    "test_the_economised_exponential_keeps_its_digits",
    "test_log_variances_are_reduced_to_the_scalars_of_the_formula",
    "test_log_ratios_are_clamped_and_displacements_are_not",
    "test_beyond_the_exponent_range_a_logarithm_is_that_of_the_other_ratio",
    "test_displacements_and_their_units_stay_finite",
    "test_splitting_changes_nothing",
    "test_the_series_is_as_long_as_it_must_be",
    "test_the_shipped_series_is_that_of_the_logarithm",
    "test_the_reduction_of_diagonal_gaussians_adds_no_error",
    "test_float32_arguments_are_used_exactly",
    "test_eqs_3_and_4_are_the_two_kls_to_the_standard_normal",
    "test_rounding_errors_of_the_kernels_stay_below_the_bound",
    "test_a_quarter_of_the_bound_is_attained",
)

OPPOSITES = (
    (ast.Add, ast.Sub),
    (ast.Mult, ast.Div),
    (ast.BitAnd, ast.BitOr),
    (ast.And, ast.Or),
    (ast.Lt, ast.GtE),
    (ast.LtE, ast.Gt),
    (ast.Eq, ast.NotEq),
    (ast.Is, ast.IsNot),
    (ast.In, ast.NotIn),
)
WRONG = {ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult} | dict(OPPOSITES) | {second: first for first, second in OPPOSITES}


class Mutant(NamedTuple):
    """A function with other ``code``, in which ``after`` replaces ``before``."""

    place: str
    function: str
    before: str
    after: str
    statement: str
    code: CodeType

    @property
    def name(self):
        """Identifies the mutant, independently of the number of its line."""
        return f"{self.function}: {self.statement}"

    @property
    def module(self):
        return self.function.partition(".")[0]

    def install(self):
        module, *path = self.function.split(".")
        function = importlib.import_module(f"jsgmath.{MODULES[module].removesuffix('/__init__').replace('/', '.')}")
        for name in path:
            function = inspect.getattr_static(function, name)
            # A property, a cached property, a class method and a decorated function contain what they call.
            inside = ("fget", "func", "__func__", "__wrapped__")
            function = next((getattr(function, x) for x in inside if hasattr(function, x)), function)
        function.__code__ = self.code  # this changes the object that all importers share


def mutants_of(module, source):
    """Every `Mutant` of the functions in the source of a module."""
    found = []
    tree = ast.parse(source)
    fields = {node.target.id for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)}
    kinds = (ast.BinOp, ast.AugAssign, ast.UnaryOp) if module in DENSE else ast.AST
    for path, function in functions(tree, module):
        if path in PROPOSALS:
            continue
        names = fields | {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        names |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        for node, statement in list(nodes(ast.Module(function.body))):
            if not isinstance(node, kinds) or (
                module in DENSE and isinstance(getattr(node, "operand", None), ast.Constant)
            ):
                continue
            for wrong in wrongs(node, names):
                Replace(node, ast.copy_location(wrong, node)).visit(function)
                compiled = compile(ast.fix_missing_locations(ast.Module([function], [])), f"mutated {module}", "exec")
                code = next(c for c in compiled.co_consts if isinstance(c, CodeType) and c.co_name == function.name)
                place = f"{module}.py:{node.lineno}:{node.col_offset + 1}"
                texts = [first_line(tree) for tree in (node, wrong, wrong if node is statement else statement)]
                found.append(Mutant(place, path, *texts, code))
                Replace(wrong, node).visit(function)
    return found


def functions(tree, path):
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield f"{path}.{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{path}.{node.name}")


def nodes(tree, statement=None):
    """Yields statements and expressions with the statement that contains them, except code that only raises errors."""
    for child in ast.iter_child_nodes(tree):
        if not only_raises(child):
            inner = child if isinstance(child, ast.stmt) else statement
            if isinstance(child, ast.stmt | ast.expr):
                yield child, inner
            yield from nodes(child, inner)


def only_raises(node):
    """Whether the node raises, calls something without using its result, or decides whether to do so."""
    match node:
        case ast.If(body=body, orelse=[]) | ast.For(body=body, orelse=[]):
            return all(map(only_raises, body))
    return isinstance(node, ast.Raise | ast.Expr)


def wrongs(node, names):
    """Yields the wrong nodes that can replace ``node``; ``names`` are the names that are known there."""
    match node:
        case ast.BinOp(left, ast.MatMult(), right):
            yield ast.BinOp(ast.Attribute(left, "T", ast.Load()), ast.MatMult(), right)
        case ast.BinOp(left, op, right):
            yield ast.BinOp(left, WRONG[type(op)](), right)
        case ast.AugAssign(target, op, value):
            yield ast.AugAssign(target, WRONG[type(op)](), value)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.BoolOp(op, values):
            yield ast.BoolOp(WRONG[type(op)](), values)
        case ast.Compare(left, ops, values):
            for i, op in enumerate(ops):
                yield ast.Compare(left, [*ops[:i], WRONG[type(op)](), *ops[i + 1 :]], values)
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            yield ast.Constant(value + 1)
        case ast.Name(name, ast.Load()) if other(name) in names:
            yield ast.Name(other(name), ast.Load())
        case ast.Attribute(value, name, ast.Load()) if other(name) in names:
            yield ast.Attribute(value, other(name), ast.Load())


def other(name):
    """The same name for the other Gaussian: ``k2`` for ``k1``, ``N1`` for ``N2``."""
    return name[:-1] + {"1": "2", "2": "1"}.get(name[-1], "?")


def first_line(tree):
    return ast.unparse(tree).partition("\n")[0]


class Replace(ast.NodeTransformer):
    """Replaces one node of a tree by another."""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return self.new if node is self.old else self.generic_visit(node)


class Trial:
    """A pytest plugin that runs the tests first with the original code and then, in a fork, with every mutant."""

    def __init__(self, mutants, chosen):
        self.mutants, self.chosen, self.wrong = mutants, chosen, 0
        self.seconds, self.kills = Counter(), Counter()

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if item.originalname in self.chosen or not self.chosen]

    def pytest_runtestloop(self, session):
        if session.testsfailed or self.first_red(session.items):
            return True  # pytest's exit status reports the failure
        gc.freeze()
        waiting, running = list(self.mutants), {}
        print()
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                process, *trial = self.start(waiting.pop(0), session.items)
                running[process] = trial
            process, status = os.wait()
            mutant, answer = running.pop(process)
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
                self.report(mutant, "the alarm, because it does not end")
                continue
            if status:
                raise RuntimeError(f"the tests ended without a verdict on {mutant.place} {mutant.name}")
            with open(answer, encoding="utf-8") as file:
                self.report(mutant, file.read())
        return True

    def first_red(self, items):
        """The name of the first test that fails, or an empty string."""
        self.red = False
        for item in items:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            if self.red:
                return item.nodeid
        return ""

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        self.red |= report.failed

    def start(self, mutant, items):
        """Starts a process that finds the test that kills the mutant; tests that killed similar mutants run first."""

        def order(item):
            kills = self.kills[mutant.function, item.nodeid], self.kills[mutant.module, item.nodeid]
            return *(-count for count in kills), item.originalname not in FIRST, self.seconds[item.nodeid]

        answer, end = os.pipe()
        if process := os.fork():
            os.close(end)
            return process, mutant, answer
        status = 1
        try:
            signal.alarm(300)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            mutant.install()
            os.write(end, self.first_red(sorted(items, key=order)).encode())
            status = 0
        finally:
            os._exit(status)

    def report(self, mutant, killer):
        self.kills[mutant.function, killer] += 1
        self.kills[mutant.module, killer] += 1
        reason = EQUIVALENT.get(mutant.name)
        self.wrong += bool(killer) == bool(reason)
        fate = "survived" if reason else "SURVIVED"
        if killer:
            fate = "KILLED, though listed as equivalent," if reason else "killed"
        by = f"by {killer.rpartition('/')[2]}" if killer else reason or mutant.name
        print(f"{mutant.place} {mutant.function}: {mutant.before} -> {mutant.after}    {fate} {by}", flush=True)


def text_of(module):
    return (ROOT / "jsgmath" / f"{MODULES[module]}.py").read_text(encoding="utf-8")


def main(arguments):
    chosen = FIRST if "first" in arguments else ()
    files = [name for name in arguments if name.startswith("test_")]
    names = [name for name in arguments if name not in (*files, "first")]
    modules = sorted({name.partition(".")[0] for name in names} or MODULES)
    made = [m for name in modules for m in mutants_of(name, text_of(name))]
    mutants = made
    if names:
        mutants = [m for m in made if m.name in names or (m.module in names and m.name not in EQUIVALENT)]
    # The compiled core does not see the broken Python text, so NumPy computes; this precedes the import of jsgmath.
    os.environ["JSGMATH_NATIVE"] = "0"
    left_out = ("test_mutants", "test_ulps")  # test_ulps is about other libraries too
    paths = sorted((ROOT / "verification").glob("test_*.py"))
    tests = [str(path) for path in paths if path.stem in files or (not files and path.stem not in left_out)]
    options = ["-s", "-qq", "--no-header", "-p", "no:cacheprovider", "--assert=plain", "--tb=line", "-m", "not slow"]
    trial = Trial(mutants, chosen)
    if status := pytest.main([*options, "--hypothesis-profile=mutants", *tests], plugins=[trial]):
        return status
    missing = {name for name in EQUIVALENT if name.partition(".")[0] in modules} - {mutant.name for mutant in made}
    for name in missing:
        print(f"the mutant {name!r} does not exist; remove it from equivalent.py")
    equivalent = sum(mutant.name in EQUIVALENT for mutant in mutants)
    print(f"{len(mutants)} mutants, {equivalent} equivalent; {trial.wrong} with an unexpected fate")
    return 1 if trial.wrong or missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
