"""Runs a notebook from first cell to last without a browser, and leaves it, a page with its pictures, and its figures.

    python notebooks/execute.py notebooks/01-first-lora.ipynb --out out

Writes NAME.ipynb, NAME.html and demo.json into the folder given with --out, and prints the figures. The notebook itself is not
touched. Cells run in the notebook's own folder, as they do in JupyterLab.
"""
import argparse
import json
import pathlib
import sys
import time

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

STATUS = "application/vnd.loralab.status+json"  # what %status shows beside its text


def execute(notebook: nbformat.NotebookNode, folder: pathlib.Path) -> float:
    """Runs all cells in place and returns the seconds that the cells took."""
    client = NotebookClient(notebook, timeout=900, kernel_name="loralab", resources={"metadata": {"path": str(folder)}})
    seconds = 0.0
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            start = time.monotonic()
            client.execute_cell(cell, index)
            took = time.monotonic() - start
            seconds += took
            print(f"  {took:6.1f} s  {cell.source.splitlines()[0][:96]}", flush=True)
    return seconds


def figures(notebook: nbformat.NotebookNode) -> dict:
    """The figures of the last %status in the notebook."""
    for cell in reversed(notebook.cells):
        for output in cell.get("outputs", []):
            if STATUS in output.get("data", {}):
                return output.data[STATUS]
    raise SystemExit("make: the notebook ends without %status, so there are no figures to report")


def pictures(notebook: nbformat.NotebookNode) -> int:
    """How many pictures the executed notebook shows."""
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out"))
    arguments = parser.parse_args()
    source, out = arguments.notebook, arguments.out
    out.mkdir(parents=True, exist_ok=True)

    notebook = nbformat.read(source, as_version=4)
    print(f"Running {source}", flush=True)
    failure = None
    try:
        seconds = execute(notebook, source.parent)
    except CellExecutionError as error:
        failure = error
    nbformat.write(notebook, out / source.name)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    (out / source.with_suffix(".html").name).write_text(page, encoding="utf-8")
    if failure:
        print(f"make: a cell of {source} failed; see {out / source.name}\n{failure}", file=sys.stderr)
        return 1

    found = figures(notebook)
    lora = (source.parent / found["lora"]).resolve()
    demo = {key: found[key] for key in ("first_loss", "last_loss", "steps", "train_seconds")}
    demo |= {"total_seconds": round(seconds, 1), "lora": str(lora.relative_to(pathlib.Path.cwd())), "images": pictures(notebook)}
    (out / "demo.json").write_text(json.dumps(demo, indent=2) + "\n")
    print(f"loss {demo['first_loss']:.4f} -> {demo['last_loss']:.4f} after {demo['steps']} steps in {demo['train_seconds']:.0f} s; "
          f"{demo['images']} pictures; all cells {seconds:.0f} s")
    print(f"made {demo['lora']}, {out / source.name}, {out / source.with_suffix('.html').name}, {out / 'demo.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
