"""An extension of Markdown: formulas become MathML, which a browser shows without a script."""

import html
import re

from latex2mathml.converter import convert
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor


class Formulas(Postprocessor):
    def run(self, text):
        return re.sub(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', mathml, text, flags=re.S)


class FormulasExtension(Extension):
    def extendMarkdown(self, md):
        md.postprocessors.register(Formulas(), "formulas", -1)  # after all others


def mathml(found):
    block = found[1] == "div"
    result = convert(html.unescape(found[2]), display="block" if block else "inline")
    result = result.replace("<mo>&#x0002A;</mo>", "<mo>&#x02217;</mo>")  # the asterisk of text is raised already
    return f'<div class="formula">{result}</div>' if block else result


def makeExtension(**options):
    return FormulasExtension(**options)
