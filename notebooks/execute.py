"""Runs a notebook from first cell to last without a browser, and leaves it, a page with its pictures, and its figures.

    python notebooks/execute.py notebooks/01-first-lora.ipynb --out out --measure notebooks/data/popsicle-held-out-prompts.txt

Writes NAME.ipynb, NAME.html and demo.json into the folder given with --out, and prints the figures. The notebook itself is not
touched. Cells run in the notebook's own folder, as they do in JupyterLab. With --measure, the prompts of that file are drawn
after the last cell, by the base model, after the first epoch and after the last, and `loralab style` says how much of the style is in them.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbclient.util import run_sync
from nbconvert import HTMLExporter

STATUS = "application/vnd.loralab.status+json"  # what %status shows beside its text


PROGRAM = pathlib.Path(".build/release/loralab")
STAGES = {"base": "base", "1": "epoch_1", "last": "last"}  # what --epochs calls them, and demo.json


def execute(notebook: nbformat.NotebookNode, folder: pathlib.Path, afterwards=lambda client: None) -> float:
    """Runs all cells in place, then `afterwards` with the kernel still up; returns the seconds that the cells took."""
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
        afterwards(client)
    return seconds


def measure_style(client: NotebookClient, folder: pathlib.Path, prompts: pathlib.Path, out: pathlib.Path) -> dict:
    """Draws the prompts at each stage and returns the mean style score of each (0 not at all, 1 wholly)."""
    scores, start = {}, time.monotonic()
    for stage, name in STAGES.items():
        pictures = (out / "style" / name).resolve()
        cell = (f"%sample --prompts {os.path.relpath(prompts, folder)} --epochs {stage} --s 12 --d 1000 "
                f"--save {os.path.relpath(pictures, folder)}")
        reply = run_sync(client.kc.execute_interactive)(cell, timeout=600, output_hook=lambda message: None, store_history=False)
        if reply["content"]["status"] != "ok":
            raise SystemExit(f"make: {cell} failed: {reply['content']['evalue']}")
        said = subprocess.run([PROGRAM, "style", "--json", pictures], check=True, capture_output=True, text=True).stdout
        scores[name] = json.loads(said)
    print(f"  {time.monotonic() - start:6.1f} s  measuring the style on {scores['base']['pictures']} held-out prompts", flush=True)
    return scores


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
    parser.add_argument("--measure", type=pathlib.Path, metavar="PROMPTS")
    arguments = parser.parse_args()
    source, out = arguments.notebook, arguments.out
    out.mkdir(parents=True, exist_ok=True)

    notebook = nbformat.read(source, as_version=4)
    print(f"Running {source}", flush=True)
    failure, style = None, {}

    def afterwards(client):
        if arguments.measure:
            style.update(measure_style(client, source.parent, arguments.measure, out))

    try:
        seconds = execute(notebook, source.parent, afterwards)
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
    if style:
        demo["style"] = {name: found["score"] for name, found in style.items()}
        demo["style_recognised"] = {name: found["recognised"] for name, found in style.items()}
    (out / "demo.json").write_text(json.dumps(demo, indent=2) + "\n")
    print(f"loss {demo['first_loss']:.4f} -> {demo['last_loss']:.4f} after {demo['steps']} steps in {demo['train_seconds']:.0f} s; "
          f"{demo['images']} pictures; all cells {seconds:.0f} s")
    for name, found in style.items():
        print(f"style {found['score']:.2f} ({found['recognised']} of {found['pictures']} pictures pass for it): {name}")
    print(f"made {demo['lora']}, {out / source.name}, {out / source.with_suffix('.html').name}, {out / 'demo.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
