"""What stays: a kernel that waits is small, and runs on a resident model give their memory back."""
import re
import time

from conftest import NOTEBOOKS, Cells, text

RUNS = 20


def mebibytes(manager, field):
    """Memory of the kernel: VmRSS, or RssAnon, what is nobody else's and no file's."""
    status = open(f"/proc/{manager.provisioner.pid}/status").read()
    return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024


def test_before_a_model_loads_the_kernel_takes_twenty_megabytes(kernel):
    manager, client = kernel
    Cells(client).run("# a comment")
    deadline = time.monotonic() + 10
    while mebibytes(manager, "VmRSS") >= 19 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert mebibytes(manager, "VmRSS") < 19  # MiB


def test_twenty_runs_leave_the_memory_where_it_was(kernel):
    manager, client = kernel
    cells = Cells(client)
    cells.run(f"%dataset {NOTEBOOKS}/data/popsicle")
    cells.run("%train --steps 2 --batch 2 --seed 1 --rank 1")
    after = []
    for _ in range(RUNS):
        cells.run("%train --steps 2")
        after.append(mebibytes(manager, "RssAnon"))
    # Every run's last adapter is kept for %sample --epochs, and the history of losses grows; nothing else does.
    parameters = int(re.search(r"([\d,]+) parameters in", text(cells.run("%status")))[1].replace(",", ""))
    kept = RUNS * parameters * 4 / 2**20
    # The allocator's own heaps grow a little over the first runs; one run's tensors alone are more than the bound.
    assert max(after) - after[0] < kept + 32, (kept, after)
