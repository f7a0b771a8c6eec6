"""The formula's functions in other languages: translated from their Python text, so that the text exists once.

The translator knows only what `jsgmath/formula.py` and its like use and what all languages share: sums, products and
quotients of numbers, comparisons, calls by position, tuples, ``if`` of a truth value, ``for`` over ``range(n)``, and
the function ``where``. Any other syntax is an error.
"""

import ast
import inspect
from collections.abc import Callable

OPERATORS: dict[type, str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.BitAnd: "&",
    ast.USub: "-",
    ast.Lt: "<",
    ast.Gt: ">",
    ast.Eq: "==",
}


Function = Callable[..., object] | ast.FunctionDef


class Unknown(ValueError):
    """Syntax that has no translation."""


def javascript(*functions: Function) -> str:
    """The functions as JavaScript of the same names; they may call one another and what they are given.

    >>> def skew(w1, w2, kl1, kl2):
    ...     return w1 * kl1 + w2 * kl2
    >>> print(javascript(skew))
    function skew(w1, w2, kl1, kl2) {
      return ((w1 * kl1) + (w2 * kl2));
    }

    Raises:
        Unknown: a function uses what is not translated.
    """
    return _translated(JavaScript, functions)


def cpp(*functions: Function) -> str:
    """The functions as C++ templates, for numbers of any type; what returns a tuple calls ``many`` to make it.

    >>> print(cpp(*ast.parse("def halves(x, y): return x / 2, y / 2").body))
    template <class T0, class T1>
    INLINE auto halves(T0 x, T1 y) {
      return many((x / whole<2>), (y / whole<2>));
    }

    Raises:
        Unknown: a function uses what is not translated.
    """
    return _translated(Cpp, functions)


def _translated(language: type["Translator"], functions: tuple[Function, ...]) -> str:
    definitions = [definition(function) for function in functions]
    names = {found.name for found in definitions} | {"where"}
    return "\n\n".join(language(names).function(found) for found in definitions)


def definition(function: Function) -> ast.FunctionDef:
    """The syntax tree of a function."""
    if isinstance(function, ast.FunctionDef):
        return function
    (found,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function))).body
    if not isinstance(found, ast.FunctionDef) or found.decorator_list:
        raise Unknown(f"{ast.unparse(found)} is no plain function")
    return found


class Translator:
    """Translates one function, in which these names of other functions are known."""

    def __init__(self, names: set[str]):
        self.names = set(names)

    def function(self, found: ast.FunctionDef) -> str:
        parameters = [argument.arg for argument in found.args.args]
        if ast.unparse(found.args) != ", ".join(parameters).strip():
            raise Unknown(f"{found.name}({ast.unparse(found.args)}) has other than plain parameters")
        stored = [one.id for one in ast.walk(found) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
        local = sorted(set(stored) - set(parameters))
        self.names |= {*parameters, *local}
        self.declared = set(parameters)
        body = found.body[1:] if ast.get_docstring(found) is not None else found.body
        lines = self.declarations(local) + self.block(body)
        return "\n".join([*self.head(found.name, parameters), *indented(lines), "}"])

    def head(self, name: str, parameters: list[str]) -> list[str]:
        raise NotImplementedError

    def declarations(self, local: list[str]) -> list[str]:
        raise NotImplementedError

    def assignment(self, target: ast.expr, value: str) -> str:
        raise NotImplementedError

    def tuple(self, parts: list[str]) -> str:
        raise NotImplementedError

    def choice(self, test: ast.Name, found: ast.If) -> list[str]:
        raise NotImplementedError

    def operand(self, found: ast.expr) -> str:
        return self.expression(found)

    def block(self, statements: list[ast.stmt]) -> list[str]:
        return [line for statement in statements for line in self.statement(statement)]

    def statement(self, found: ast.stmt) -> list[str]:
        match found:
            case ast.Assign(targets=[target], value=value):
                return [self.assignment(target, self.expression(value))]
            case ast.Return(value=ast.expr() as value):
                return [f"return {self.expression(value)};"]
            case ast.If(test=ast.Name() as test):
                return self.choice(test, found)
            case ast.For(
                target=ast.Name(id=i),
                iter=ast.Call(func=ast.Name(id="range"), args=[count], keywords=[]),
                orelse=[],
            ):
                return self.loop(i, self.expression(count), found.body)
            case _:
                raise unknown(found)

    def loop(self, i: str, count: str, body: list[ast.stmt]) -> list[str]:
        raise NotImplementedError

    def expression(self, found: ast.expr) -> str:
        match found:
            case ast.Name(id=name) if name in self.names:
                return name
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and abs(value) < 2**53:
                return repr(value)
            case ast.Tuple(elts=parts):
                return self.tuple([self.expression(part) for part in parts])
            case ast.UnaryOp(op=operator, operand=operand) if type(operator) in OPERATORS:
                return f"({OPERATORS[type(operator)]}{self.expression(operand)})"
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
                return f"({self.operand(left)} {OPERATORS[type(operator)]} {self.operand(right)})"
            case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in OPERATORS:
                return f"({self.expression(left)} {OPERATORS[type(operator)]} {self.expression(right)})"
            case ast.Call(func=function, args=arguments, keywords=[]):
                return f"{self.expression(function)}({', '.join(map(self.expression, arguments))})"
            case _:
                raise unknown(found)


class JavaScript(Translator):
    def head(self, name: str, parameters: list[str]) -> list[str]:
        return [f"function {name}({', '.join(parameters)}) {{"]

    def declarations(self, local: list[str]) -> list[str]:
        return [f"let {', '.join(local)};"] * bool(local)

    def assignment(self, target: ast.expr, value: str) -> str:
        return f"{self.expression(target)} = {value};"

    def tuple(self, parts: list[str]) -> str:
        return f"[{', '.join(parts)}]"

    def choice(self, test: ast.Name, found: ast.If) -> list[str]:
        return [
            f"if ({self.expression(test)}) {{",
            *indented(self.block(found.body)),
            "} else {",
            *indented(self.block(found.orelse)),
            "}",
        ]

    def loop(self, i: str, count: str, body: list[ast.stmt]) -> list[str]:
        return [f"for ({i} = 0; {i} < {count}; {i}++) {{", *indented(self.block(body)), "}"]


class Cpp(Translator):
    def head(self, name: str, parameters: list[str]) -> list[str]:
        types = ", ".join(f"class T{i}" for i in range(len(parameters)))
        typed = ", ".join(f"T{i} {parameter}" for i, parameter in enumerate(parameters))
        return [f"template <{types}>", f"INLINE auto {name}({typed}) {{"]

    def declarations(self, local: list[str]) -> list[str]:
        return []  # each name is declared where it is first assigned, with the type of that value

    def assignment(self, target: ast.expr, value: str) -> str:
        if isinstance(target, ast.Tuple):  # C++ declares each name once, also one that nothing reads
            for i, name in enumerate(target.elts):
                if isinstance(name, ast.Name) and name.id == "_":
                    name.id = f"unread{len(self.declared)}_{i}"
        names = [one.id for one in ast.walk(target) if isinstance(one, ast.Name)]
        new = [name for name in names if name not in self.declared]
        self.declared |= set(names)
        match target:
            case ast.Name(id=name):
                return f"auto {name} = {value};" if new else f"{name} = {value};"
            case ast.Tuple() if new == names:
                return f"auto [{', '.join(names)}] = {value};"
            case _:
                raise unknown(target)

    def tuple(self, parts: list[str]) -> str:
        return f"many({', '.join(parts)})"

    def choice(self, test: ast.Name, found: ast.If) -> list[str]:
        """Translates an ``if``, whose branches must assign the same names."""
        match found:
            case ast.If(
                body=[ast.Assign(targets=[target], value=then)],
                orelse=[ast.Assign(targets=[other], value=otherwise)],
            ) if ast.dump(target) == ast.dump(other):
                values = f"{self.expression(test)} ? {self.expression(then)} : {self.expression(otherwise)}"
                return [self.assignment(target, values)]
            case _:
                raise unknown(found)

    def loop(self, i: str, count: str, body: list[ast.stmt]) -> list[str]:
        return [f"for (int {i} = 0; {i} < {count}; {i}++) {{", *indented(self.block(body)), "}"]

    def operand(self, found: ast.expr) -> str:
        """Translates an operand; the compiler knows a whole number's value, so that a product with 2 is exact."""
        match found:
            case ast.Constant(value=int() as value) if not isinstance(value, bool):
                return f"whole<{value}>"
            case _:
                return self.expression(found)


def indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def unknown(found: ast.AST) -> Unknown:
    return Unknown(f"{ast.unparse(found)!r} has no translation ({type(found).__name__})")
