"""%set from a subshell while a cell trains: what the run refuses is dropped, told once, and the run goes on."""
import os
import shutil

import pytest

from wire import ROOT, text

PICTURES = os.path.join(ROOT, "notebooks", "data", "popsicle", "15_popsicle")
STEPS = 12


def everything(messages):
    """What a cell wrote and showed, in words."""
    shown = [m.content["data"]["text/plain"] for m in messages if m.type in ("display_data", "update_display_data")]
    return "\n".join([text(messages), text(messages, "stderr"), *shown])


def train(kernel, subshell, assignments):
    """Trains while a subshell posts; returns that cell's reply, and all that the training cell said."""
    request = kernel.request("execute_request", {"code": f"%train --fresh --steps {STEPS} --batch 1 --rank 1 --seed 3"})
    before = []
    while True:
        message = kernel.receive("iopub", 60)
        if message.parent["msg_id"] == request["msg_id"]:
            before.append(message)
            assert message.content.get("execution_state") != "idle", [m.content for m in before]
            if "image/png" in message.content.get("data", {}):
                break
    posted = kernel.request("execute_request", {"code": f"%set {assignments}"}, subshell_id=subshell)
    reply = kernel.reply(posted)
    return reply.content, everything(before + kernel.published(request, timeout=120))


@pytest.fixture(scope="module")
def session(shared_kernel, tmp_path_factory):
    """A kernel with four captioned pictures, and a subshell of it."""
    folder = tmp_path_factory.mktemp("pictures") / "1_icons"
    folder.mkdir()
    for name in sorted(name for name in os.listdir(PICTURES) if name.endswith(".png"))[:4]:
        shutil.copy(os.path.join(PICTURES, name), folder)
        (folder / name).with_suffix(".txt").write_text("a red cube")
    shared_kernel.ok(f"%dataset {folder.parent}", timeout=60)
    return shared_kernel, shared_kernel.create_subshell()


def steps(kernel):
    _, messages = kernel.ok("%status")
    return next(m.content["data"]["application/vnd.loralab.status+json"]["steps"] for m in messages if m.type == "display_data")


@pytest.mark.parametrize("assignments, said", [
    ("min_snr_gamma=1e-9", "allowed is 0.01 to 1000"),
    ("network=loha", "cannot become a LoHa"),
    ("lr=0", "above 0"),
    ("unet_lr=0", "neither the UNet nor the text encoder"),
    ("lr=1e-5 network=loha rank=4", "cannot become a LoHa"),
])
def test_set_refuses_what_no_run_can_take(session, assignments, said):
    kernel, subshell = session
    reply, shown = train(kernel, subshell, assignments)
    assert reply["status"] == "error" and said in reply["evalue"] + " ".join(reply["traceback"])
    assert "Not taken" not in shown and "Changed" not in shown
    assert f"Done: {STEPS} steps of {STEPS}" in shown
    kernel.ok("%train --steps 1", timeout=60)
    assert steps(kernel) == STEPS + 1


@pytest.mark.parametrize("assignments, blame", [
    ("memory=100MB", "Not taken: memory = 100MB. Reason: a step would take about"),
    ("lr=1e-5 memory=100MB", "Not taken because of memory: learning_rate = 1e-05, memory = 100MB."),
    ("output_dir=/proc/none", "Not taken: output_dir = /proc/none."),
])
def test_what_only_the_run_can_judge_is_dropped_and_told_once(session, assignments, blame):
    kernel, subshell = session
    reply, shown = train(kernel, subshell, assignments)
    assert reply["status"] == "ok"
    assert blame in shown and shown.count("Not taken") == 1 and shown.count("The run goes on as it was.") == 1
    assert f"Done: {STEPS} steps of {STEPS}" in shown
    kernel.ok("%train --steps 1", timeout=60)
    assert steps(kernel) == STEPS + 1


def test_what_is_good_is_taken(session):
    kernel, subshell = session
    reply, shown = train(kernel, subshell, "lr=1e-5")
    assert reply["status"] == "ok" and "Changed: lr" in shown and f"Done: {STEPS} steps of {STEPS}" in shown
