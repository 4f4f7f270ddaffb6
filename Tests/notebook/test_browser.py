"""What a person does in JupyterLab beside running all cells: stop a training run with the toolbar's button, and go on."""
import re

import nbformat
from conftest import SCREENSHOTS
from page import NotebookPage

CELLS = [
    "%model\n%dataset data/popsicle --held_out data/popsicle-held-out --class_tokens \"popsicle style\"",
    "%train --epochs 500 --rank 4 --lr 1e-3 --batch 4 --seed 7",
    "",
]


def write_notebook(folder):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata.kernelspec = {"name": "loralab", "display_name": "LoRALab (Swift)", "language": "swift"}
    nbformat.write(notebook, folder / "interrupt.ipynb")


def steps_done(output):
    """How far the progress line of a cell is."""
    found = re.findall(r"step (\d+)/", output)
    return int(found[-1]) if found else 0


def test_the_stop_button_pauses_training_and_the_next_cell_goes_on(lab, workplace, browser):
    write_notebook(workplace)
    page = NotebookPage(browser, lab.format("interrupt.ipynb"))
    page.menu("Run", "Run All Cells")
    page.wait(120, lambda: steps_done(page.output(1)) >= 5, "training did not begin")
    assert page.prompts()[1] == "[*]:"
    before = page.output(1)
    page.toolbar("notebook:interrupt-kernel")
    page.wait(30, lambda: page.prompts()[1] == "[2]:", "training did not stop")
    page.screenshot(SCREENSHOTS / "interrupted.png")
    stopped = page.output(1)
    assert "KeyboardInterrupt" in stopped and "goes on from here" in stopped
    assert steps_done(stopped) >= steps_done(before)
    image = [i for i in page.images() if i["cell"] == 1]
    assert len(image) == 1 and image[0]["loaded"] and image[0]["shown"] > 500, "the plot is one picture, replaced in place"

    done = int(re.search(r"Stopped: ([\d,]+) steps", stopped)[1].replace(",", ""))
    page.type_and_run(f"%train --steps {done + 10}")
    page.wait(120, lambda: "Done:" in page.output(2), "training did not go on")
    page.screenshot(SCREENSHOTS / "continued.png")
    assert f"Done: {done + 10:,} steps of {done + 10:,}" in page.output(2)
    assert not [e for e in page.errors() if "KeyboardInterrupt" not in e]
