"""A Jupyter client of bare sockets: it can also send what no real client would."""
import hashlib
import hmac
import json
import os
import signal
import subprocess
import tempfile
import time
import uuid
from datetime import datetime, timezone

import zmq

DELIMITER = b"<IDS|MSG>"
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def command(connection_file):
    """argv of the kernel under test; $LORALAB_KERNEL names another executable."""
    executable = os.environ.get("LORALAB_KERNEL", os.path.join(ROOT, ".build", "release", "loralab"))
    return [executable, "kernel", "--connection-file", connection_file]


def free_ports(count):
    sockets, ports = [], []
    context = zmq.Context.instance()
    for _ in range(count):
        socket = context.socket(zmq.ROUTER)
        socket.linger = 0
        ports.append(socket.bind_to_random_port("tcp://127.0.0.1"))
        sockets.append(socket)
    for socket in sockets:
        socket.close()
    return ports


class Message:
    """A received message, taken apart."""

    def __init__(self, frames, key):
        index = frames.index(DELIMITER)
        self.identities, self.signature = frames[:index], frames[index + 1]
        self.parts, self.buffers = frames[index + 2:index + 6], frames[index + 6:]
        expected = hmac.new(key, b"".join(self.parts), hashlib.sha256).hexdigest().encode() if key else b""
        assert self.signature == expected, "the kernel's signature is wrong"
        self.header, self.parent, self.metadata, self.content = (json.loads(part) for part in self.parts)
        self.type = self.header["msg_type"]

    def __repr__(self):
        return f"<{self.type} {self.content}>"


class Kernel:
    """A kernel process and a client connected to it."""

    def __init__(self, key="a-key", environment=None, folder=None, connect=True, wait=True, **overrides):
        self.folder = folder or tempfile.mkdtemp(prefix="kernel")
        self.key = key.encode()
        self.info = dict(zip((f"{c}_port" for c in CHANNELS), free_ports(5)), ip="127.0.0.1", transport="tcp", key=key,
                         signature_scheme="hmac-sha256", kernel_name="loralab", jupyter_session="x.ipynb")
        self.info.update(overrides)
        self.file = os.path.join(self.folder, "connection.json")
        with open(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self.info, file)
        self.environment = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
        self.environment.update({"XDG_DATA_HOME": os.path.join(self.folder, "data")}, **(environment or {}))
        self.session = str(uuid.uuid4())
        self.identity = self.session.encode()
        self.context = zmq.Context()
        self.sockets = {}
        self.process = None
        self.start(connect, wait)

    # Life

    def start(self, connect=True, wait=True):
        self.process = subprocess.Popen(command(self.file), env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True)
        if connect:
            self.connect(wait)

    def connect(self, wait=True):
        if 0 in self.info.values():
            self.read_ports()
        for channel, kind in (("shell", zmq.DEALER), ("control", zmq.DEALER), ("stdin", zmq.DEALER), ("iopub", zmq.SUB), ("hb", zmq.REQ)):
            self.sockets[channel] = self.socket(kind, channel)
        if wait:
            self.wait_until_ready()

    def read_ports(self):
        deadline = time.time() + 10
        while time.time() < deadline:
            with open(self.file) as file:
                info = json.load(file)
            if all(info[f"{c}_port"] for c in CHANNELS):
                self.info = info
                return
            time.sleep(0.01)
        raise AssertionError("the kernel did not write its ports")

    def socket(self, kind, channel, identity=None):
        socket = self.context.socket(kind)
        socket.linger = 0
        if kind == zmq.DEALER:
            socket.identity = identity or self.identity
        if kind == zmq.SUB:
            socket.subscribe(b"")
        if self.info.get("curve_publickey"):
            public, secret = zmq.curve_keypair()
            socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = public, secret, self.info["curve_publickey"].encode()
        separator = "-" if self.info["transport"] == "ipc" else ":"
        socket.connect(f"{self.info['transport']}://{self.info['ip']}{separator}{self.info[channel + '_port']}")
        return socket

    def wait_until_ready(self):
        deadline = time.time() + 20
        while time.time() < deadline:
            assert self.process.poll() is None, self.process.stderr.read().decode()
            self.request("kernel_info_request")
            if self.sockets["iopub"].poll(200) and self.sockets["shell"].poll(200):
                break
        else:
            raise AssertionError("the kernel is not ready after 20 s")
        self.drain()

    def drain(self, milliseconds=60):
        for channel in ("shell", "control", "stdin", "iopub"):
            while self.sockets[channel].poll(milliseconds):
                self.sockets[channel].recv_multipart()

    def stop(self):
        for socket in self.sockets.values():
            socket.close()
        self.sockets = {}
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self.context.term()

    @property
    def is_alive(self):
        return self.process.poll() is None

    # Sending

    def header(self, message_type, **more):
        return dict({"msg_id": str(uuid.uuid4()), "session": self.session, "username": "tester", "msg_type": message_type, "version": "5.4",
                     "date": datetime.now(timezone.utc).isoformat()}, **more)

    def sign(self, parts):
        return hmac.new(self.key, b"".join(parts), hashlib.sha256).hexdigest().encode() if self.key else b""

    def frames(self, header, content=None, parent=None, metadata=None, buffers=()):
        parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, parent or {}, metadata or {}, content if content is not None else {})]
        return [DELIMITER, self.sign(parts), *parts, *buffers]

    def send_raw(self, frames, channel="shell"):
        self.sockets[channel].send_multipart(frames)

    def request(self, message_type, content=None, channel="shell", buffers=(), metadata=None, **header):
        """Sends a request; returns its header."""
        header = self.header(message_type, **header)
        self.send_raw(self.frames(header, content, buffers=buffers, metadata=metadata), channel)
        return header

    # Receiving

    def receive(self, channel="shell", timeout=10.0):
        assert self.sockets[channel].poll(int(timeout * 1000)), f"nothing on {channel} within {timeout} s"
        return Message(self.sockets[channel].recv_multipart(), self.key)

    def reply(self, header, channel="shell", timeout=10.0):
        deadline = time.time() + timeout
        while True:
            message = self.receive(channel, max(0.01, deadline - time.time()))
            if message.parent.get("msg_id") == header["msg_id"]:
                return message

    def published(self, header, timeout=10.0):
        """All iopub messages of a request up to its idle status."""
        messages, deadline = [], time.time() + timeout
        while True:
            message = self.receive("iopub", max(0.01, deadline - time.time()))
            if message.parent.get("msg_id") == header["msg_id"]:
                messages.append(message)
                if message.type == "status" and message.content["execution_state"] == "idle":
                    return messages

    def ask(self, message_type, content=None, channel="shell", timeout=10.0, **header):
        """Request, reply, published messages."""
        request = self.request(message_type, content, channel, **header)
        reply = self.reply(request, channel, timeout)
        return reply, self.published(request, timeout)

    def execute(self, code, timeout=10.0, **content):
        header = content.pop("header", {})
        return self.ask("execute_request", dict(content, code=code), timeout=timeout, **header)

    def ok(self, code, **content):
        reply, messages = self.execute(code, **content)
        assert reply.content["status"] == "ok", reply.content
        return reply.content, messages

    def fails(self, code, **content):
        reply, messages = self.execute(code, **content)
        assert reply.content["status"] == "error", reply.content
        return reply.content, messages

    def start_sleeping(self, seconds=30, **content):
        """Starts a cell that runs for long and waits until it is running."""
        header = self.request("execute_request", dict(content, code=f"%sleep {seconds}"))
        while self.receive("iopub").type != "execute_input":
            pass
        return header

    def interrupt(self):
        return self.ask("interrupt_request", channel="control")[0]

    def signal(self, number=signal.SIGINT):
        os.kill(self.process.pid, number)

    def create_subshell(self):
        return self.ask("create_subshell_request", channel="control")[0].content["subshell_id"]


def types(messages, statuses=False):
    return [m.type for m in messages if statuses or m.type != "status"]


def text(messages, name="stdout"):
    return "".join(m.content["text"] for m in messages if m.type == "stream" and m.content["name"] == name)
