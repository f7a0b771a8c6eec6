"""One file over HTTP: gone on with where it was cut off, verified, and only then under its name."""

import http.client
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

TIMEOUT = 10.0  # seconds, for an answer and for each piece
ATTEMPTS = 4  # connections, when they are cut


def download(url: str, target: Path, verify: Callable[[Path], object]) -> None:
    """Fetches ``url`` to ``target``. What arrived stays in ``target.part`` until all is there and verified.

    Args:
        verify: raises a ValueError for a file that is not the one.

    Raises:
        OSError, HTTPException: the server does not answer, or cuts each connection.
        ValueError: what it sends is not the file.
    """
    part = target.with_name(f"{target.name}.part")
    continued = part.exists()
    transfer(url, part)
    try:
        verify(part)
    except ValueError:
        part.unlink()
        if not continued:
            raise
        # The first half may have come from another mirror, where the same content is compressed in other words.
        return download(url, target, verify)
    part.replace(target)


def transfer(url: str, part: Path) -> None:
    """Appends to ``part`` what it lacks."""
    problem = "nothing arrived"
    for _ in range(ATTEMPTS):
        start = part.stat().st_size if part.exists() else 0
        headers = {"User-Agent": "jsgmath"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
        except HTTPError as error:
            with error:
                if error.code == 416 and start:  # nothing comes after what is there
                    return
                raise
        except URLError as error:
            raise ConnectionError(str(error.reason)) from None
        with response:
            if response.status != 206:  # this server sends everything, whatever it is asked
                start = 0
            length = response.headers["Content-Length"]
            total = None if length is None else start + int(length)
            try:
                append(response, part, start, total)
            except (OSError, http.client.HTTPException) as error:
                problem = str(error)
            else:
                if total is None or part.stat().st_size == total:
                    return
                problem = f"{part.stat().st_size:,} of {total:,} bytes arrived"
    raise ConnectionError(f"{problem}; the same command goes on from there")


def append(response: http.client.HTTPResponse, part: Path, start: int, total: int | None) -> None:
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(desc=part.stem, total=total, initial=start, unit="B", unit_scale=True, leave=False, disable=None) as bar,
    ):
        while piece := response.read(1 << 16):
            file.write(piece)
            bar.update(len(piece))
