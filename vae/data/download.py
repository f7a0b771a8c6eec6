"""One file over HTTP, fetched by pooch."""

from pathlib import Path
from typing import Any

import pooch
from tqdm import tqdm

TIMEOUT = 10.0  # seconds, for an answer and for each piece


def download(url: str, folder: Path, known_hash: str | None = None) -> Path:
    """Fetches a file into a folder; it gets its name only when it is complete and has the hash.

    Args:
        known_hash: ``"ALGORITHM:HEX"``, or None if the caller verifies the file.

    Raises:
        OSError: the server does not answer, has no such file, or cuts the connection.
        ValueError: the file has another hash.
    """
    pooch.get_logger().setLevel("WARNING")
    name = url.rpartition("/")[2]
    try:
        # pooch sets the total later, but before that it tests the truth of the bar, which is false without a total.
        with tqdm(desc=name, total=1, unit="B", unit_scale=True, leave=False, disable=None) as bar:
            # pooch's type hints have neither its own progress bars nor its own downloader.
            downloader: Any = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=TIMEOUT)  # pyright: ignore
            return Path(pooch.retrieve(url, known_hash, name, folder, downloader=downloader))
    except OSError as error:
        raise OSError(innermost_message(error)) from None


def innermost_message(error: BaseException) -> str:
    """The message of the innermost cause; requests wraps the errors of urllib3."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    return innermost_message(inner) if isinstance(inner, BaseException) else str(inner or error)
