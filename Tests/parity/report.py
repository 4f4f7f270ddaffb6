"""The table that a check prints, a line a case as it is done, and what is kept of those that fail."""
import json
import pathlib
import shutil

import numpy as np
from PIL import Image

PASSED, FAILED, UNSTABLE, REFERENCE, SKIPPED = "ok", "FAIL", "unstable", "reference", "skipped"
MEAN_BOUND, MAXIMUM_BOUND = 0.5, 4       # of 255


class Report:
    """Counts verdicts and prints them. `columns` are titles with widths; `keep` is a folder for the inputs of failing cases, or None."""

    def __init__(self, title, columns, keep=None):
        self.title, self.columns, self.keep = title, columns, keep and pathlib.Path(keep)
        self.counts = {}
        print(f"# {title}")
        self.line("verdict", *columns)

    def line(self, verdict, *cells):
        print(f"{verdict:<9} " + "  ".join(f"{cell!s:<{width}}" for cell, width in zip(cells, self.columns.values())).rstrip(), flush=True)

    def add(self, verdict, *cells, note=""):
        self.counts[verdict] = self.counts.get(verdict, 0) + 1
        self.line(verdict, *cells, note)

    def save(self, name, folder, case, cells, pictures=None):
        """Keeps a failing case: its folder, what was asked for, the cells, both pictures."""
        if not self.keep:
            return
        target = self.keep / name
        if not target.exists():
            shutil.copytree(folder, target)
        number = len(list(target.glob("case-*")))
        place = target / f"case-{number}"
        place.mkdir()
        (place / "case.json").write_text(json.dumps(case, indent=1, default=str, ensure_ascii=False) + "\n")
        (place / "cells.txt").write_text("\n".join(cells).replace(str(folder), str(target.resolve())) + "\n")
        for label, array in (pictures or {}).items():
            if array is not None:
                Image.fromarray(array).save(place / f"{label}.png")

    def finish(self):
        """Prints the sums; returns the exit status."""
        print(f"# {self.title}: " + (", ".join(f"{n} {v}" for v, n in sorted(self.counts.items())) or "no cases"))
        return 1 if self.counts.get(FAILED) else 0


def difference(ours, theirs):
    """Mean and greatest absolute difference of two pictures, of 255; None where the sizes differ."""
    if ours.shape != theirs.shape:
        return None
    d = np.abs(ours.astype(np.int32) - theirs.astype(np.int32))
    return float(d.mean()), int(d.max())


def is_close(found):
    return found is not None and found[0] <= MEAN_BOUND and found[1] <= MAXIMUM_BOUND
