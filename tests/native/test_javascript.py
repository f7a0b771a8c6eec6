"""The formula is translated to JavaScript. (test_page.py tests in a browser that this computes the same.)"""

from functools import cache

import pytest

from jsgmath.native.translate import Unknown, javascript


def sums(a, b, flag):
    """Not translated."""
    total = 0 * a
    for i in range(b):
        total, _ = total + (i > 1) / 2.5, -a
    if flag:
        total = total
    else:
        total = a < b
    return total, (total & flag)


def test_supported_python_is_translated():
    assert javascript(sums) == (
        "function sums(a, b, flag) {\n"
        "  let _, i, total;\n"
        "  total = (0 * a);\n"
        "  for (i = 0; i < b; i++) {\n"
        "    [total, _] = [(total + ((i > 1) / 2.5)), (-a)];\n"
        "  }\n"
        "  if (flag) {\n"
        "    total = total;\n"
        "  } else {\n"
        "    total = (a < b);\n"
        "  }\n"
        "  return [total, (total & flag)];\n"
        "}"
    )


def power(a):
    return a**2


def floor(a):
    return a // 2


def free(a):
    return a + REFUSED


def attribute(a):
    return a.real


def keyword(a, f):
    return f(x=a)


def default(a=1):
    return a


def starred(*a):
    return a


def chained(a):
    return 0 < a < 1


def either(a):
    return a or 1


def truth(a):
    return a == True  # noqa: E712


def text(a):
    return "a"


def huge(a):
    return a + 9007199254740993


def added(a):
    a += 1
    return a


def looped(a):
    while a:
        a = a - 1
    return a


def listed(a):
    for x in a:
        a = x
    return a


def counted(a):
    for i in range(1, a):
        a = i
    return a


def compared(a):
    if a > 1:
        return a
    return 1


def nothing(a):
    return


@cache
def decorated(a):
    return a


REFUSED = [power, floor, free, attribute, keyword, default, starred, chained, either, truth, text, huge, added, looped,
           listed, counted, compared, nothing, decorated]  # fmt: skip


@pytest.mark.parametrize("function", REFUSED, ids=lambda function: function.__name__)
def test_other_syntax_is_refused(function):
    with pytest.raises(Unknown):
        javascript(function)
