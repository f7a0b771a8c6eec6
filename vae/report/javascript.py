"""Translates the functions of the formula from Python to JavaScript, so that both compute the same.

The translator knows only what `jsgmath/formula.py` and `jsgmath/special.py` use and what means the same in both
languages: sums, products and quotients of numbers, comparisons, calls by position, tuples, ``if`` with a truth value,
``for`` over ``range(n)``. Anything else is an error.
"""

import ast
import inspect
from collections.abc import Callable

OPERATORS = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.BitAnd: "&",
    ast.USub: "-",
    ast.Lt: "<",
    ast.Gt: ">",
}


class Unknown(ValueError):
    """Syntax that has no translation."""


def translate(*functions: Callable) -> str:
    """The functions as JavaScript with the same names. They may call each other and their arguments.

    >>> def skew(w1, w2, kl1, kl2):
    ...     return w1 * kl1 + w2 * kl2
    >>> print(translate(skew))
    function skew(w1, w2, kl1, kl2) {
      return ((w1 * kl1) + (w2 * kl2));
    }

    Raises:
        Unknown: a function uses syntax that is not translated.
    """
    names = {function.__name__ for function in functions}
    return "\n\n".join(Translator(names).function(definition(function)) for function in functions)


def definition(function: Callable) -> ast.FunctionDef:
    (found,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function))).body
    if not isinstance(found, ast.FunctionDef) or found.decorator_list:
        raise Unknown(f"{ast.unparse(found)} is not a plain function")
    return found


class Translator:
    """Translates one function, which may use the given names of other functions."""

    def __init__(self, names: set[str]):
        self.names = set(names)

    def function(self, found: ast.FunctionDef) -> str:
        parameters = [argument.arg for argument in found.args.args]
        if ast.unparse(found.args) != ", ".join(parameters).strip():
            raise Unknown(f"{found.name}({ast.unparse(found.args)}) has parameters that are not plain names")
        stored = [one.id for one in ast.walk(found) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
        local = sorted(set(stored) - set(parameters))
        self.names |= {*parameters, *local}
        body = found.body[1:] if ast.get_docstring(found) is not None else found.body
        lines = [f"let {', '.join(local)};"] * bool(local) + self.block(body)
        return "\n".join([f"function {found.name}({', '.join(parameters)}) {{", *indented(lines), "}"])

    def block(self, statements: list[ast.stmt]) -> list[str]:
        return [line for statement in statements for line in self.statement(statement)]

    def statement(self, found: ast.stmt) -> list[str]:
        match found:
            case ast.Assign(targets=[target], value=value):
                return [f"{self.expression(target)} = {self.expression(value)};"]
            case ast.Return(value=ast.expr() as value):
                return [f"return {self.expression(value)};"]
            case ast.If(test=ast.Name() as test):
                return [
                    f"if ({self.expression(test)}) {{",
                    *indented(self.block(found.body)),
                    "} else {",
                    *indented(self.block(found.orelse)),
                    "}",
                ]
            case ast.For(
                target=ast.Name(id=i),
                iter=ast.Call(func=ast.Name(id="range"), args=[count], keywords=[]),
                orelse=[],
            ):
                head = f"for ({i} = 0; {i} < {self.expression(count)}; {i}++) {{"
                return [head, *indented(self.block(found.body)), "}"]
        raise unknown(found)

    def expression(self, found: ast.expr) -> str:
        match found:
            case ast.Name(id=name) if name in self.names:
                return name
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and abs(value) < 2**53:
                return repr(value)
            case ast.Tuple(elts=parts):
                return f"[{', '.join(map(self.expression, parts))}]"
            case ast.UnaryOp(op=operator, operand=operand) if type(operator) in OPERATORS:
                return f"({OPERATORS[type(operator)]}{self.expression(operand)})"
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
                return f"({self.expression(left)} {OPERATORS[type(operator)]} {self.expression(right)})"
            case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in OPERATORS:
                return f"({self.expression(left)} {OPERATORS[type(operator)]} {self.expression(right)})"
            case ast.Call(func=function, args=arguments, keywords=[]):
                return f"{self.expression(function)}({', '.join(map(self.expression, arguments))})"
        raise unknown(found)


def indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def unknown(found: ast.AST) -> Unknown:
    return Unknown(f"{ast.unparse(found)!r} has no translation ({type(found).__name__})")
