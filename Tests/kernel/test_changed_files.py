"""Files that change while a kernel has them in use: a model that is cut, written over or replaced; adapters that are."""
import os
import re
import shutil

import pytest
from test_start import EMBEDDED, PICTURES

DENOISER = "unet/diffusion_pytorch_model.safetensors"
SAMPLE = "%sample a red cube --s 2 --seed 1"


def cut(file):
    os.truncate(file, os.path.getsize(file) // 3)


def overwrite(file):
    with open(file, "r+b") as stream:
        stream.seek(os.path.getsize(file) // 2)
        stream.write(b"\x3c" * 4096)


def replace(file):
    shutil.copy(f"{EMBEDDED}/{DENOISER}", f"{file}.part")
    os.rename(f"{file}.part", file)


def picture(messages):
    return [m.content["data"]["image/png"] for m in messages if "image/png" in m.content.get("data", {})][-1]


@pytest.fixture
def model(tmp_path):
    """A copy of the embedded model: weights that stay in their file once it is loaded."""
    return shutil.copytree(EMBEDDED, tmp_path / "model")


def expect_refusal(kernel, cell, model):
    error = kernel.fails(cell, timeout=60)[0]
    said = "\n".join([error["evalue"], *error["traceback"]])
    assert f"{model}/{DENOISER}" in error["evalue"] and f"%model {model}" in said, said


@pytest.mark.parametrize("change", [cut, overwrite, replace])
def test_a_model_that_changed_is_named_and_loaded_again(fresh, model, change):
    fresh.ok(f"%model {model}", timeout=30)
    first = picture(fresh.ok(SAMPLE, timeout=30)[1])
    change(model / DENOISER)
    expect_refusal(fresh, SAMPLE, model)
    if change is cut:
        assert str(model) in fresh.fails(f"%model {model}", timeout=30)[0]["evalue"]  # what is there now is no model
        expect_refusal(fresh, SAMPLE, model)
    replace(model / DENOISER)
    fresh.ok(f"%model {model}", timeout=30)
    assert picture(fresh.ok(SAMPLE, timeout=30)[1]) == first


def test_a_model_that_is_removed_is_still_there(fresh, model):
    fresh.ok(f"%model {model}", timeout=30)
    first = picture(fresh.ok(SAMPLE, timeout=30)[1])
    shutil.rmtree(model)
    assert picture(fresh.ok(SAMPLE, timeout=30)[1]) == first


def wait_for(kernel, header, pattern):
    """The first match in what a running cell shows."""
    while True:
        message = kernel.receive("iopub", timeout=60)
        assert message.type != "error", message
        found = re.search(pattern, str(message.content.get("data", {}).get("text/plain", "")))
        if message.parent.get("msg_id") == header["msg_id"] and found:
            return found


def test_a_model_cut_in_the_middle_of_a_training_ends_the_run_and_not_the_kernel(fresh, model, tmp_path):
    shutil.copytree(PICTURES, tmp_path / "pictures")
    fresh.ok(f"%model {model}", timeout=30)
    for cell in (f"%dataset {tmp_path}/pictures", "%caption"):
        fresh.ok(cell, timeout=60)
    header = fresh.request("execute_request", {"code": "%train --steps 100000 --rank 1 --batch 1 --seed 1"})
    wait_for(fresh, header, r"step [2-9]\d*/")
    cut(model / DENOISER)
    error = fresh.reply(header, timeout=60).content
    assert error["status"] == "error" and f"{model}/{DENOISER}" in error["evalue"] and fresh.is_alive
    messages = fresh.published(header, timeout=60)
    steps = max(int(n) for m in messages for n in re.findall(r"step (\d+)/", str(m.content.get("data", {}).get("text/plain", ""))) + ["0"])
    # What was learnt before is there: to be saved, and to go on from.
    fresh.ok(f"%save {tmp_path}/kept.safetensors", timeout=30)
    replace(model / DENOISER)
    for cell in (f"%model {model}", f"%dataset {tmp_path}/pictures"):
        fresh.ok(cell, timeout=60)
    header = fresh.request("execute_request", {"code": "%train --resume"})
    resumed = int(wait_for(fresh, header, r"step (\d+)/")[1])
    assert resumed >= max(steps, 2)
    fresh.interrupt()
    assert fresh.reply(header, timeout=60).content["status"] in ("ok", "error")
    fresh.published(header, timeout=60)
    fresh.ok(f"%load {tmp_path}/kept.safetensors", timeout=30)


def test_a_model_cut_in_the_middle_of_a_drawing(fresh, model):
    fresh.ok(f"%model {model}", timeout=30)
    header = fresh.request("execute_request", {"code": "%sample a red cube --s 1000 --seed 1 --w 256 --h 256"})
    wait_for(fresh, header, r"\d")
    cut(model / DENOISER)
    error, messages = fresh.reply(header, timeout=60).content, fresh.published(header, timeout=60)
    assert error["status"] == "error" and f"{model}/{DENOISER}" in error["evalue"]
    assert not any("image/png" in m.content.get("data", {}) for m in messages)
    fresh.ok("%model builtin", timeout=30)
    fresh.ok(SAMPLE, timeout=30)


def test_an_adapter_is_the_kernels_own(fresh, tmp_path):
    """What is drawn with does not follow the file, be it cut or written over. Rank 128 in float32: as large as what of a model stays in its file."""
    file = tmp_path / "large.safetensors"
    shutil.copytree(PICTURES, tmp_path / "pictures")
    for cell in (f"%dataset {tmp_path}/pictures", "%caption", "%train --steps 1 --rank 128 --lr 0.01 --seed 1 --save_precision float",
                 f"%save {file}", f"%load {file}"):
        fresh.ok(cell, timeout=120)
    first = picture(fresh.ok(SAMPLE, timeout=30)[1])
    for change in (overwrite, cut):
        change(file)
        assert picture(fresh.ok(SAMPLE, timeout=30)[1]) == first
    assert str(file) in fresh.fails(f"%load {file}", timeout=30)[0]["evalue"]
    assert picture(fresh.ok(SAMPLE, timeout=30)[1]) == first
