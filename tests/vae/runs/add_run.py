"""Folders of runs with numbers that a test chooses."""

import json

from vae.training.settings import Settings


def add_run(folder, test, train=None, done=None, images="a", ended=None, **options):
    """Writes the folder of a run with this final reconstruction, by default 1 less for training images.

    ``ended`` is the alpha that was learnt.
    """
    settings = Settings(**({"dataset": "mnist", "epochs": 3} | options))
    path = folder / f"{settings.name()}-{settings.epochs}"
    path.mkdir(parents=True)
    kept = {name: value for name, value in vars(settings).items() if name not in ("data", "out", "resume")}
    data = {"train": 60000, "test": 10000, "sha256": {"images": images}}
    (path / "run.json").write_text(json.dumps({"settings": kept, "data": data}))
    last = settings.epochs if done is None else done
    final = {"train": (test - 1 if train is None else train, 6.0), "test": (test, 5.0)}
    rows = [
        {"epoch": epoch, "split": split, "reconstruction": reconstruction + last - epoch, "divergence": divergence}
        | ({} if ended is None else {"alpha": ended})
        for epoch in range(1, last + 1)
        for split, (reconstruction, divergence) in final.items()
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
