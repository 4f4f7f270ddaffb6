"""The first second: cells that load, draw and load again from the first moment on, while the kernel still puts its memory in order."""
import concurrent.futures
import os
import pathlib
import shutil
import time

import pytest
from wire import ROOT, Kernel

EMBEDDED = pathlib.Path(os.environ.get("LORALAB_EMBEDDED") or f"{ROOT}/.build/release/LoRALab_Lab.resources/embedded")
PICTURES = pathlib.Path(ROOT) / "notebooks/data/popsicle"
#: Kernels, and seconds in which each runs cells; before memory was let go of safely, a fifth of them ended half a second after the start.
KERNELS, SECONDS = 16, 1.2


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    shutil.copytree(PICTURES, folder / "pictures")
    kernel = Kernel()
    try:
        for cell in (f"%dataset {folder}/pictures", "%caption", "%train --steps 1 --rank 1 --seed 1", f"%save {folder}/first.safetensors"):
            kernel.ok(cell, timeout=60)
    finally:
        kernel.stop()
    return folder / "first.safetensors"


def drawing_from_the_start(cells):
    """Runs the cells in turn; returns the first answer that is no success, or None."""
    kernel, begin, count = Kernel(), time.monotonic(), 0
    try:
        while time.monotonic() < begin + SECONDS or count < len(cells):
            content = kernel.execute(cells[count % len(cells)], timeout=30)[0].content
            if content["status"] != "ok":
                return content
            count += 1
        return None if kernel.is_alive else f"the kernel ended with {kernel.process.returncode}"
    finally:
        kernel.stop()


def test_cells_from_the_first_moment_on(adapter, tmp_path):
    other = tmp_path / "other"
    other.symlink_to(EMBEDDED)
    cells = [f"%model {EMBEDDED}", "%sample a red cube --s 1 --seed 1", f"%model {other}", f"%load {adapter}"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert [answer for answer in pool.map(drawing_from_the_start, [cells] * KERNELS) if answer] == []
