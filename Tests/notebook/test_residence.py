"""What stays: runs on a resident model give their memory back."""
import re

from conftest import NOTEBOOKS, Cells, text

RUNS = 20


def private_mebibytes(manager):
    """Memory of the kernel that is nobody else's and no file's."""
    status = open(f"/proc/{manager.provisioner.pid}/status").read()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024


def test_twenty_runs_leave_the_memory_where_it_was(kernel):
    manager, client = kernel
    cells = Cells(client)
    cells.run(f"%dataset {NOTEBOOKS}/data/popsicle")
    cells.run("%train --steps 2 --batch 2 --seed 1 --rank 1")
    after = []
    for _ in range(RUNS):
        cells.run("%train --steps 2")
        after.append(private_mebibytes(manager))
    # Every run's last adapter is kept for %sample --epochs, and the history of losses grows; nothing else does.
    parameters = int(re.search(r"([\d,]+) parameters in", text(cells.run("%status")))[1].replace(",", ""))
    kept = RUNS * parameters * 4 / 2**20
    # The allocator's own heaps grow by some 30 MB over the first ten runs and then no more; one run's tensors alone are more than the bound.
    assert max(after) - after[0] < kept + 64, (kept, after)
