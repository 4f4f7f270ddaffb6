"""The first notebook, as a newcomer meets it: from the command line, and in JupyterLab."""
import json
import re
import subprocess
import sys

import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT, SCREENSHOTS
from page import NotebookPage

NAME = "01-first-lora.ipynb"


def code_cells():
    return [cell for cell in nbformat.read(NOTEBOOKS / NAME, as_version=4).cells if cell.cell_type == "code"]


def index_of(start):
    """Which code cell begins with these words."""
    return next(i for i, cell in enumerate(code_cells()) if cell.source.startswith(start))


def test_the_notebook_in_the_tree_holds_no_outputs():
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_cells())


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """What `make demo` runs, into a folder of its own."""
    out = tmp_path_factory.mktemp("demo") / "out"
    run = subprocess.run([sys.executable, "notebooks/execute.py", f"notebooks/{NAME}", "--out", out,
                          "--measure", "notebooks/data/popsicle-held-out-prompts.txt"], cwd=ROOT,
                         capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    return out


def test_demo_leaves_notebook_page_and_figures(executed):
    demo = json.loads((executed / "demo.json").read_text())
    assert {"first_loss", "last_loss", "steps", "train_seconds", "total_seconds", "lora", "images"} <= demo.keys()
    assert demo["last_loss"] <= 0.85 * demo["first_loss"], demo
    page = (executed / "01-first-lora.html").read_text()
    assert page.count("data:image/png;base64,") >= demo["images"] >= 8
    assert (ROOT / demo["lora"]).stat().st_size > 10_000


def test_every_picture_of_the_notebook_says_the_same_in_words(executed):
    notebook = nbformat.read(executed / NAME, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            if "image/png" in output.get("data", {}):
                assert len(output.data["text/plain"]) > 20, cell.source


def test_training_brings_the_pictures_nearer_to_the_style(executed):
    demo = json.loads((executed / "demo.json").read_text())
    style, recognised = demo["style"], demo["style_recognised"]
    # The first epoch reaches most of the style; what follows refines it, which the held-out loss tells and the style's score no longer does.
    assert style["epoch_1"] > style["base"] + 0.1 and style["last"] > style["base"] + 0.15, style
    assert recognised["last"] >= recognised["base"] + 6, recognised     # of 30 prompts


def test_in_the_browser_every_cell_runs_and_every_picture_is_loaded(lab, browser):
    page = NotebookPage(browser, lab.format(NAME))
    page.run_all(600)
    assert page.errors() == []
    assert page.prompts() == [f"[{i + 1}]:" for i in range(len(code_cells()))]
    images = page.images()
    assert images and all(image["loaded"] for image in images), images
    plot, grid = index_of("%train"), index_of("%%sample --epochs")
    for cell in (plot, grid, index_of("%dataset"), index_of("%plot")):
        found = [image for image in images if image["cell"] == cell]
        assert found and all(image["shown"] >= 300 for image in found), (cell, images)
        page.scroll_to_cell(cell)
        page.screenshot(SCREENSHOTS / f"first-lora-{cell + 1:02d}.png")
    assert re.search(r"[\d.]+ steps/s", page.output(plot))
