"""What stays: runs on a resident model give their memory back."""
import re

from conftest import NOTEBOOKS, Cells

RUNS = 20


def private_mebibytes(manager):
    """Memory of the kernel that is nobody else's and no file's."""
    status = open(f"/proc/{manager.provisioner.pid}/status").read()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024


def test_twenty_runs_leave_the_memory_where_it_was(kernel):
    manager, client = kernel
    cells = Cells(client)
    cells.run(f"%dataset {NOTEBOOKS}/data/popsicle")
    cells.run("%train --steps 2 --batch 2 --seed 1")
    after = []
    for _ in range(RUNS):
        cells.run("%train --steps 2")
        after.append(private_mebibytes(manager))
    # The first runs may still fill caches; from then on nothing grows but the history of losses.
    assert max(after[5:]) - after[4] < 8, after
