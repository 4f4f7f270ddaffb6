"""Times the kernel beside ipykernel over their own sockets, and a second `%train` on a resident model; medians in milliseconds.

Run by `make bench`.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import zmq
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_client.session import Session

#: Kernel name, a trivial cell, a cell that keeps it busy for three seconds.
KERNELS = [("loralab", "#", "%sleep 3"), ("python3", "1", "import time\nt = time.time()\nwhile time.time() - t < 3: pass")]


def start(name):
    """Seconds from the process's start until it answers kernel_info."""
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context, context.socket(zmq.DEALER) as shell:
        path, ports = write_connection_file(os.path.join(folder, "connection.json"))
        shell.setsockopt(zmq.RECONNECT_IVL, 1)  # a socket that finds no kernel yet would try again after 100 ms only
        shell.setsockopt(zmq.LINGER, 0)
        shell.connect(f"tcp://127.0.0.1:{ports['shell_port']}")
        command = [part.replace("{connection_file}", path) for part in KernelSpecManager().get_kernel_spec(name).argv]
        if command[0].startswith("python"):
            command[0] = sys.executable
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        Session(key=b"").send(shell, "kernel_info_request", {})
        answered = shell.poll(30_000)
        seconds = time.perf_counter() - begin
        process.kill()
        process.wait()
        assert answered, f"{name} did not answer"
        return seconds


def connect(name, folder=None):
    manager = KernelManager(kernel_name=name)
    manager.start_kernel(cwd=folder)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=30)
    return manager, client


def execute(client, code):
    """Seconds from the request until both the reply and the idle status are there."""
    poller = zmq.Poller()
    shell, iopub = client.shell_channel.socket, client.iopub_channel.socket
    poller.register(shell, zmq.POLLIN)
    poller.register(iopub, zmq.POLLIN)
    begin = time.perf_counter()
    identifier, missing = client.execute(code), {"reply", "idle"}
    while missing:
        ready = dict(poller.poll(60_000))
        if shell in ready:
            content = client.get_shell_msg(timeout=1)["content"]
            if content["status"] != "ok":
                sys.exit(f"{code}\n{content.get('evalue', content)}")
            missing.discard("reply")
        if iopub in ready:
            message = client.get_iopub_msg(timeout=1)
            if message["content"].get("execution_state") == "idle" and message["parent_header"].get("msg_id") == identifier:
                missing.discard("idle")
    return time.perf_counter() - begin


def complete(client):
    begin = time.perf_counter()
    client.complete("%train --")
    client.get_shell_msg(timeout=10)
    return time.perf_counter() - begin


def control(client):
    request, begin = client.session.msg("kernel_info_request", {}), time.perf_counter()
    client.control_channel.send(request)
    client.get_control_msg(timeout=10)
    return time.perf_counter() - begin


def measure(name, cell, busy):
    starts = [start(name) for _ in range(7)]
    manager, client = connect(name)
    for _ in range(20):
        execute(client, cell)
    trips = [execute(client, cell) for _ in range(500)]
    completions = [complete(client) for _ in range(50)]
    client.execute(busy)
    time.sleep(0.3)
    answers = [control(client) for _ in range(50)]
    manager.shutdown_kernel(now=True)
    client.stop_channels()
    milliseconds = {"start": starts, "execute": trips, "complete": completions, "control_while_busy": answers}
    return {key: round(statistics.median(values) * 1000, 2) for key, values in milliseconds.items()} | {"control_while_busy_worst": round(max(answers) * 1000, 2)}


def measure_training(runs=5):
    """A whole second `%train` of one step (batch 4, rank 16, 128 pixels, with its loss plot) after a first one has made everything ready."""
    pictures = pathlib.Path(__file__).resolve().parents[2] / "notebooks" / "data" / "popsicle"
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(pictures, f"{folder}/popsicle")
        manager, client = connect("loralab", folder)
        for cell in ("%dataset popsicle", '%caption --prefix "popsicle style,"', "%train --steps 1 --rank 16 --batch 4"):
            execute(client, cell)
        times = [execute(client, "%train --steps 1") for _ in range(runs)]
        manager.shutdown_kernel(now=True)
        client.stop_channels()
    return round(statistics.median(times) * 1000, 2)


def main():
    results = {name: measure(name, cell, busy) for name, cell, busy in KERNELS}
    results["loralab"]["second_train_of_one_step"] = measure_training()
    if "--json" in sys.argv:
        print(json.dumps(results))
        return
    print(f"{'milliseconds (median)':28}" + "".join(f"{name:>12}" for name in results))
    for key in next(iter(results.values())):
        print(f"{key.replace('_', ' '):28}" + "".join(f"{result.get(key, '–'):>12}" for result in results.values()))
    print(f"processors: {os.cpu_count()}, load: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
