"""A subshell beside a cell that trains: it plots, asks, sets and completes hundreds of times, and the process and the run live."""
import pytest
from PIL import Image

from wire import types

ROUNDS = 60
LINES = ("%plot", "%status", "%set lr=1e-{}", "%plot loss norm --all")
CODES = ("%train --ep", "%set l", "%sample --epochs ")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures" / "4_tiles"
    folder.mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (64, 64), (40 * number, 120, 200)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a red cube {number}\n")
    return folder.parent


def test_a_subshell_looks_on(fresh, pictures):
    fresh.ok(f"%dataset {pictures} --resolution 64", timeout=60)
    subshell = fresh.create_subshell()
    training = fresh.request("execute_request", {"code": "%train --steps 1000000 --rank 2 --save_every 0"})
    while True:
        message = fresh.receive("iopub", 60)
        if message.type == "display_data" and "image/png" in message.content["data"]:
            break
    steps = []
    for number in range(ROUNDS):
        for line in LINES:
            reply, messages = fresh.execute(line.format(3 + number % 3), timeout=30, header={"subshell_id": subshell})
            assert reply.content["status"] == "ok", reply.content
            for message in messages:
                if message.type == "display_data":
                    steps += [status["steps"] for kind, status in message.content["data"].items() if kind.endswith("status+json")]
        for code in CODES:
            reply, _ = fresh.ask("complete_request", {"code": code, "cursor_pos": len(code)}, timeout=30, subshell_id=subshell)
            assert reply.content["matches"], code
    assert len(steps) == ROUNDS and steps == sorted(steps) and steps[-1] > steps[0]
    request = fresh.request("interrupt_request", channel="control")
    assert fresh.reply(request, "control").content["status"] == "ok"
    assert fresh.reply(training, timeout=30).content["ename"] == "KeyboardInterrupt"
    assert "error" in types(fresh.published(training, timeout=30))
    assert fresh.execute("%status", timeout=30)[0].content["status"] == "ok" and fresh.is_alive
