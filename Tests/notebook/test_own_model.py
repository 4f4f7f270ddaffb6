"""The second notebook with a model, pictures and a captioner put where it looks for a user's own."""
import shutil

import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT
from nbclient import NotebookClient

NAME = "02-your-own-model.ipynb"
EMBEDDED = ROOT / ".build/release/LoRALab_Lab.resources/embedded"
# The embedded model stands in for a checkpoint; its steps are few, its pictures small.
STAND_INS = {
    "~/models/v1-5-pruned-emaonly.safetensors": "models/checkpoint", "~/models/blip-image-captioning-base": "models/checkpoint/captioner",
    "--s 20": "--s 2", "--steps 20": "--steps 2", "../out/mystyle": "out/mystyle",
}


def test_the_notebook_in_the_tree_holds_no_outputs():
    cells = nbformat.read(NOTEBOOKS / NAME, as_version=4).cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells if cell.cell_type == "code")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(EMBEDDED, folder / "models/checkpoint")
    shutil.copytree(NOTEBOOKS / "data/popsicle/15_popsicle", folder / "photos", ignore=shutil.ignore_patterns("*.txt"))
    (folder / "out").mkdir()
    notebook = nbformat.read(NOTEBOOKS / NAME, as_version=4)
    for cell in notebook.cells:
        for theirs, ours in STAND_INS.items():
            cell.source = cell.source.replace(theirs, ours) if cell.cell_type == "code" else cell.source
    NotebookClient(notebook, timeout=300, kernel_name="loralab", resources={"metadata": {"path": str(folder)}}).execute()
    return folder, notebook


def test_every_cell_runs_and_the_adapter_is_there(executed):
    folder, notebook = executed
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert all(o.output_type != "error" for o in outputs)
    assert sum("image/png" in o.get("data", {}) for o in outputs) >= 5
    assert (folder / "out/mystyle.safetensors").stat().st_size > 10_000


def test_captions_have_the_word_that_calls_the_style(executed):
    texts = [p.read_text() for p in (executed[0] / "pictures").glob("*/*.txt")]
    assert texts and all(text.startswith("mystyle,") for text in texts)
