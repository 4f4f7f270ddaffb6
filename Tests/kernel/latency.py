"""Times the kernel beside ipykernel over their own sockets; medians in milliseconds. Run by `make bench`."""
import json
import os
import statistics
import sys
import time

import zmq
from jupyter_client.manager import KernelManager

#: Kernel name, a trivial cell, a cell that keeps it busy for three seconds.
KERNELS = [("loralab", "#", "%sleep 3"), ("python3", "1", "import time\nt = time.time()\nwhile time.time() - t < 3: pass")]


def start(name):
    manager, begin = KernelManager(kernel_name=name), time.perf_counter()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    while True:  # ask often: wait_for_ready polls in coarse steps
        client.kernel_info()
        if client.shell_channel.socket.poll(20):
            client.get_shell_msg(timeout=1)
            break
    ready = time.perf_counter() - begin
    time.sleep(0.3)
    for channel in (client.shell_channel, client.iopub_channel):
        while channel.socket.poll(50):
            channel.get_msg(timeout=1)
    return manager, client, ready


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
            client.get_shell_msg(timeout=1)
            missing.discard("reply")
        if iopub in ready:
            message = client.get_iopub_msg(timeout=1)
            if message["content"].get("execution_state") == "idle" and message["parent_header"].get("msg_id") == identifier:
                missing.discard("idle")
    return time.perf_counter() - begin


def control(client):
    request, begin = client.session.msg("kernel_info_request", {}), time.perf_counter()
    client.control_channel.send(request)
    client.get_control_msg(timeout=10)
    return time.perf_counter() - begin


def measure(name, cell, busy):
    starts = []
    for _ in range(2):
        manager, client, ready = start(name)
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        starts.append(ready)
    manager, client, ready = start(name)
    for _ in range(20):
        execute(client, cell)
    trips = [execute(client, cell) for _ in range(500)]
    client.execute(busy)
    time.sleep(0.3)
    answers = [control(client) for _ in range(50)]
    manager.shutdown_kernel(now=True)
    client.stop_channels()
    milliseconds = {"start": [*starts, ready], "execute": trips, "control_while_busy": answers}
    return {key: round(statistics.median(values) * 1000, 2) for key, values in milliseconds.items()} | {"control_while_busy_worst": round(max(answers) * 1000, 2)}


def main():
    results = {name: measure(name, cell, busy) for name, cell, busy in KERNELS}
    if "--json" in sys.argv:
        print(json.dumps(results))
        return
    print(f"{'milliseconds (median)':28}" + "".join(f"{name:>12}" for name in results))
    for key in next(iter(results.values())):
        print(f"{key.replace('_', ' '):28}" + "".join(f"{result[key]:12}" for result in results.values()))
    print(f"processors: {os.cpu_count()}, load: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
