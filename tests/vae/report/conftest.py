"""Pages of many runs, whose curves take half a second each to draw."""

import functools

import pytest

from vae.report import sections


@pytest.fixture(scope="module")
def one_drawing():
    """Draws the curves of the first run and shows them for all; `test_page.py` has a page with the curves of each."""

    @functools.cache
    def drawn():
        return picture(*first)

    def curves_picture(history, title):
        first[:] = first or [history, title]
        return drawn()

    first, picture = [], sections.curves_picture
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "curves_picture", curves_picture)
        yield
