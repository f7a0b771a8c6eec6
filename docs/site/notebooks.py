"""Runs the notebooks and shows them as pages: ``python docs/site/notebooks.py``.

Each docs/notebooks/NAME.py is a notebook as text, which JupyterLab opens with Jupytext. Its page NAME.md has its
output, and its pictures are NAME-1.png and so on. Sliders are shown as the picture at their first values.
"""

import base64
import tempfile
import time
from pathlib import Path
from queue import Empty

import jupytext
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
HEAD = "This page is [a notebook](%s.py), run from top to bottom; JupyterLab opens it with Jupytext.\n"


class Client(NotebookClient):
    async def async_start_new_kernel_client(self):
        client = await super().async_start_new_kernel_client()
        for channel in (client.shell_channel, client.iopub_channel):
            channel.get_msg = looking_each_second(channel.get_msg)
        return client


def looking_each_second(get_msg):
    """``get_msg`` that looks for a message every second, because ZeroMQ may fail to announce one until the timeout."""

    async def get(timeout=None):
        begun = time.monotonic()
        while True:
            try:
                return await get_msg(timeout=1)
            except Empty:
                if timeout is not None and time.monotonic() - begun >= timeout:
                    raise

    return get


def run(path):
    """Runs a notebook and returns it with its output; an error in a cell is raised."""
    notebook = jupytext.read(path)
    with tempfile.TemporaryDirectory() as folder:
        patience = {"timeout": 600, "startup_timeout": 300}  # seconds: the machine may be busy
        Client(notebook, resources={"metadata": {"path": folder}}, **patience).execute()
    return notebook


def page(name, notebook):
    """The notebook as Markdown, and its pictures by their file names."""
    parts, pictures = [], {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source + "\n")
            continue
        parts.append(f"```py\n{cell.source}\n```\n")  # not "python": the tests run those blocks as programs
        for kind, content in shown(notebook, cell.outputs):
            if kind == "text":
                parts.append(f"```text\n{content.rstrip()}\n```\n")
            else:
                file = f"{name}-{len(pictures) + 1}.png"
                pictures[file] = content
                parts.append(f"![{cell.metadata['alt']}]({file})\n")
    title, *rest = parts
    heading, _, introduction = title.partition("\n\n")
    return "\n".join([f"{heading}\n", introduction, HEAD % name, *rest]), pictures


def shown(notebook, outputs):
    """The texts and pictures of a cell, including those inside a widget."""
    for output in outputs:
        if output.output_type == "stream":
            assert output.name == "stdout", output.text
            yield "text", output.text
            continue
        data = output.data
        if "application/vnd.jupyter.widget-view+json" in data:
            state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
            widget = state[data["application/vnd.jupyter.widget-view+json"]["model_id"]]["state"]
            for child in widget["children"]:
                yield from shown(notebook, state[child.removeprefix("IPY_MODEL_")]["state"].get("outputs", []))
        elif "image/png" in data:
            yield "picture", base64.b64decode(data["image/png"])
        else:
            yield "text", data["text/plain"]


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.py")):
        text, pictures = page(path.stem, run(path))
        path.with_suffix(".md").write_text(text, encoding="utf-8")
        for file, content in pictures.items():
            (FOLDER / file).write_bytes(content)
