"""The process: connection file, transports, encryption, subscriptions, signals, its parent."""
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time

import pytest
import zmq

from wire import CHANNELS, DELIMITER, Kernel, Message, command, text


def run(content, mode=0o600, name="connection.json"):
    """Runs a kernel that is expected to refuse; returns status and standard error."""
    file = os.path.join(tempfile.mkdtemp(), name)
    if content is not None:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, mode), "wb") as stream:
            stream.write(content if isinstance(content, bytes) else json.dumps(content).encode())
    process = subprocess.run(command(file), capture_output=True, timeout=10, stdin=subprocess.DEVNULL)
    return process.returncode, process.stderr.decode()


def connection(**overrides):
    return dict({f"{c}_port": 0 for c in CHANNELS}, ip="127.0.0.1", transport="tcp", key="k", signature_scheme="hmac-sha256", **overrides)


@pytest.mark.parametrize("content", [
    None, b"", b"{", b"[]", b"null", b"\xff\xfe", {}, connection(shell_port="x"), connection(shell_port=-1), connection(hb_port=70000), dict(connection(), transport="udp"),
    dict(connection(), ip="not an address"), dict(connection(), key=5), dict(connection(), signature_scheme="hmac-nonsense"), dict(connection(), signature_scheme="none"),
    dict(connection(), ip="0.0.0.0", key=""), dict(connection(), ip="*", key=""), connection(curve_publickey="short", curve_secretkey="short"),
    connection(curve_publickey="x" * 40)], ids=lambda c: str(c)[:40])
def test_bad_connection_files(content):
    status, message = run(content)
    assert status not in (0, -6, -11, 132, 134, 139) and message.strip() and "Fatal" not in message


def test_folder_as_connection_file(tmp_path):
    process = subprocess.run(command(str(tmp_path)), capture_output=True, timeout=10)
    assert process.returncode > 0 and process.stderr


def test_port_in_use():
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    status, message = run(connection(control_port=port))
    socket.close(0)
    context.term()
    assert status > 0 and str(port) in message


def test_open_ports_are_chosen_and_written(make_kernel):
    kernel = make_kernel(**{f"{c}_port": 0 for c in CHANNELS})
    assert len({kernel.info[f"{c}_port"] for c in CHANNELS}) == 5 and kernel.info["jupyter_session"] == "x.ipynb"
    assert stat.S_IMODE(os.stat(kernel.file).st_mode) == 0o600
    assert kernel.execute("%echo a")[0].content["status"] == "ok"


def test_given_ports_leave_the_file_alone(make_kernel):
    kernel = make_kernel()
    with open(kernel.file) as file:
        assert json.load(file) == kernel.info
    assert stat.S_IMODE(os.stat(kernel.file).st_mode) == 0o600


@pytest.mark.parametrize("ports", [dict(zip((f"{c}_port" for c in CHANNELS), range(1, 6))), {f"{c}_port": 0 for c in CHANNELS}], ids=["given", "chosen"])
def test_ipc(make_kernel, ports):
    folder = tempfile.mkdtemp(prefix="k")
    kernel = make_kernel(transport="ipc", ip=os.path.join(folder, "s"), **ports)
    assert text(kernel.execute("%echo through ipc")[1]) == "through ipc\n"
    kernel.sockets["hb"].send(b"x")
    assert kernel.sockets["hb"].poll(1000)
    kernel.ask("shutdown_request", {}, channel="control")
    assert kernel.process.wait(5) == 0
    assert os.listdir(folder) == []


@pytest.mark.skipif(not zmq.has("curve"), reason="this pyzmq has no curve")
def test_curve(make_kernel):
    public, secret = zmq.curve_keypair()
    kernel = make_kernel(curve_publickey=public.decode(), curve_secretkey=secret.decode())
    assert text(kernel.execute("%echo encrypted")[1]) == "encrypted\n"
    kernel.sockets["hb"].send(b"x")
    assert kernel.sockets["hb"].poll(1000)
    plain = kernel.context.socket(zmq.DEALER)
    plain.linger = 0
    plain.connect(f"tcp://127.0.0.1:{kernel.info['shell_port']}")
    plain.send_multipart(kernel.frames(kernel.header("kernel_info_request")))
    assert not plain.poll(300)
    plain.close()


def test_other_digest(make_kernel):
    import hashlib, hmac
    kernel = make_kernel(signature_scheme="hmac-sha512", connect=False)
    kernel.connect(wait=False)
    parts = [json.dumps(p).encode() for p in (kernel.header("kernel_info_request"), {}, {}, {})]
    kernel.send_raw([DELIMITER, hmac.new(kernel.key, b"".join(parts), hashlib.sha512).hexdigest().encode(), *parts])
    assert kernel.sockets["shell"].poll(5000)


def test_ipv6(make_kernel):
    import socket
    try:
        socket.socket(socket.AF_INET6).bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    kernel = make_kernel(ip="::1", connect=False, **{f"{c}_port": 0 for c in CHANNELS})
    kernel.read_ports()
    kernel.info["ip"] = "[::1]"
    kernel.context.setsockopt(zmq.IPV6, 1)
    kernel.connect()


def test_only_loopback_ports_are_open(make_kernel):
    kernel = make_kernel()
    inodes = set()
    for entry in os.listdir(f"/proc/{kernel.process.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{kernel.process.pid}/fd/{entry}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    listening = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{kernel.process.pid}/net/{table}") as file:
            for line in list(file)[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in inodes:
                    listening.append((fields[1].split(":")[0], int(fields[1].split(":")[1], 16)))
    assert sorted(port for _, port in listening) == sorted(kernel.info[f"{c}_port"] for c in CHANNELS)
    assert all(address == "0100007F" or address.endswith("0100007F") for address, _ in listening)


# Subscriptions

def test_welcome_for_every_subscriber(make_kernel):
    kernel = make_kernel()
    for topic in (b"", b"", b"kernel", "ü".encode()):
        socket = kernel.context.socket(zmq.SUB)
        socket.linger = 0
        socket.connect(f"tcp://127.0.0.1:{kernel.info['iopub_port']}")
        socket.subscribe(topic)
        assert socket.poll(3000)
        message = Message(socket.recv_multipart(), kernel.key)
        assert message.type == "iopub_welcome" and message.content == {"subscription": topic.decode()} and message.parent == {}
        assert message.identities == [topic]
        socket.close()


def test_topic_that_is_no_text(make_kernel):
    kernel = make_kernel()
    socket = kernel.context.socket(zmq.SUB)
    socket.linger = 0
    socket.connect(f"tcp://127.0.0.1:{kernel.info['iopub_port']}")
    socket.subscribe(b"\xff\xfe")
    assert not socket.poll(200)
    socket.close()
    assert kernel.execute("%echo a")[0].content["status"] == "ok"


def test_starting_status(make_kernel):
    """`starting` waits for the first subscriber, comes once and has no parent."""
    kernel = make_kernel(wait=False)
    assert kernel.receive("iopub").type == "iopub_welcome"
    starting = kernel.receive("iopub")
    assert (starting.type, starting.content, starting.parent) == ("status", {"execution_state": "starting"}, {})
    other = kernel.socket(zmq.SUB, "iopub")
    assert other.poll(10_000) and Message(other.recv_multipart(), kernel.key).type == "iopub_welcome"
    kernel.request("kernel_info_request")
    for state in ("busy", "idle"):
        assert other.poll(10_000) and Message(other.recv_multipart(), kernel.key).content == {"execution_state": state}
    other.close()


def test_no_starting_status_after_something_else(make_kernel):
    kernel = make_kernel(connect=False)
    shell = kernel.socket(zmq.DEALER, "shell")
    shell.send_multipart(kernel.frames(kernel.header("kernel_info_request")))
    assert shell.poll(10_000)
    kernel.sockets = {"shell": shell, "iopub": kernel.socket(zmq.SUB, "iopub")}
    assert kernel.receive("iopub").type == "iopub_welcome"
    header = kernel.request("kernel_info_request")
    assert [m.content["execution_state"] for m in kernel.published(header)] == ["busy", "idle"]


def test_all_clients_see_iopub(make_kernel):
    kernel = make_kernel()
    other = kernel.socket(zmq.SUB, "iopub")
    assert other.poll(3000)
    header = kernel.request("execute_request", {"code": "%echo shared"})
    kernel.reply(header)
    seen = []
    while "idle" not in seen:
        assert other.poll(3000)
        message = Message(other.recv_multipart(), kernel.key)
        if message.parent.get("msg_id") == header["msg_id"]:
            seen.append(message.content.get("execution_state", message.type))
    assert seen == ["busy", "execute_input", "stream", "idle"]
    other.close()


def test_reply_goes_to_the_client_that_asked(make_kernel):
    kernel = make_kernel()
    other = kernel.socket(zmq.DEALER, "shell", b"other")
    other.send_multipart(kernel.frames(kernel.header("kernel_info_request")))
    assert other.poll(3000) and not kernel.sockets["shell"].poll(100)
    other.close()


# Signals and the parent

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("busy", [False, True])
def test_termination(fresh, number, busy):
    if busy:
        fresh.start_sleeping(60)
    fresh.signal(number)
    assert fresh.process.wait(5) == 0


def test_sigint_before_the_first_cell(fresh):
    fresh.signal(signal.SIGINT)
    time.sleep(0.1)
    assert fresh.is_alive and fresh.execute("%echo a")[0].content["status"] == "ok"


def test_signal_to_the_process_group(fresh):
    header = fresh.start_sleeping()
    os.killpg(os.getpgid(fresh.process.pid), signal.SIGINT)
    assert fresh.reply(header).content["ename"] == "KeyboardInterrupt"


def test_sigpipe_is_harmless(fresh):
    fresh.signal(signal.SIGPIPE)
    assert fresh.execute("%echo a")[0].content["status"] == "ok"


def test_kernel_ends_with_its_parent(tmp_path):
    file = tmp_path / "connection.json"
    file.write_text(json.dumps(connection()))
    script = ("import os, subprocess, sys, time\n"
              "p = subprocess.Popen(sys.argv[1:], env=dict(os.environ, JPY_PARENT_PID=str(os.getpid())), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)\n"
              "print(p.pid, flush=True)\ntime.sleep(60)\n")
    parent = subprocess.Popen([sys.executable, "-c", script, *command(str(file))], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    deadline = time.time() + 10
    while 0 in json.loads(file.read_text()).values() and time.time() < deadline:
        time.sleep(0.02)
    time.sleep(1.5)
    os.kill(pid, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.time() + 6
    while time.time() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as stat_file:
                if stat_file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    break
        except OSError:
            break
        time.sleep(0.05)
    else:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the kernel outlived its parent by 6 s")


def test_parent_that_is_already_gone(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    file = tmp_path / "connection.json"
    file.write_text(json.dumps(connection()))
    process = subprocess.Popen(command(str(file)), env=dict(os.environ, JPY_PARENT_PID=str(gone.pid)), stdin=subprocess.DEVNULL)
    assert process.wait(6) == 0


def test_nothing_on_the_terminal(make_kernel):
    kernel = make_kernel()
    kernel.execute("%echo a\n%echo --stderr b\n%fail")
    kernel.signal(signal.SIGTERM)
    out, err = kernel.process.communicate(timeout=10)
    assert out == b"" and err == b""


# File descriptors 1 and 2

def write_to(kernel, descriptor, data):
    """What native code in the kernel, or a child process, would print."""
    with open(f"/proc/{kernel.process.pid}/fd/{descriptor}", "wb", buffering=0) as pipe:
        pipe.write(data)


@pytest.mark.parametrize("descriptor,name", [(1, "stdout"), (2, "stderr")])
def test_native_output_belongs_to_the_cell(fresh, descriptor, name):
    header = fresh.start_sleeping(0.5)
    write_to(fresh, descriptor, "h\u00e9llo\n".encode())
    fresh.reply(header)
    assert text(fresh.published(header), name) == "h\u00e9llo\n"


def test_native_output_before_idle(fresh):
    header = fresh.start_sleeping(0.5)
    for number in range(2000):
        write_to(fresh, 1, b"%04d\n" % number)
    fresh.reply(header)
    assert text(fresh.published(header)) == "".join(f"{number:04}\n" for number in range(2000))


def test_characters_are_not_cut(fresh):
    header = fresh.start_sleeping(0.5)
    for byte in "\u4f60\U0001F642".encode():
        write_to(fresh, 1, bytes([byte]))
        time.sleep(0.01)
    fresh.reply(header)
    assert text(fresh.published(header)) == "\u4f60\U0001F642"


def test_output_that_is_no_text(fresh):
    header = fresh.start_sleeping(0.4)
    write_to(fresh, 1, b"\xff\xfe ok \xe4\xbd")
    fresh.reply(header)
    assert text(fresh.published(header)) == "\ufffd\ufffd ok \ufffd"


def test_native_output_of_a_silent_cell_is_discarded(fresh):
    header = fresh.request("execute_request", {"code": "%sleep 0.4", "silent": True})
    time.sleep(0.2)
    write_to(fresh, 1, b"quiet")
    fresh.reply(header)
    assert text(fresh.published(header)) == ""


def test_native_output_after_the_cell_keeps_its_parent(fresh):
    header = fresh.request("execute_request", {"code": "%echo a"})
    fresh.reply(header)
    fresh.published(header)
    write_to(fresh, 1, b"late")
    message = fresh.receive("iopub")
    assert message.type == "stream" and message.content["text"] == "late" and message.parent["msg_id"] == header["msg_id"]


def test_memory_is_small(fresh):
    with open(f"/proc/{fresh.process.pid}/status") as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
    assert resident < 40 * 1024
