"""LoRALab's kernel as these checks speak to it: jupyter_client starts the executable, cells go in, text comes out."""
import json
import os
import pathlib
import queue
import tempfile

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXECUTABLE = ROOT / ".build" / "release" / "loralab"


class CellError(Exception):
    """A cell failed; the text is what the kernel said."""


class KernelDied(CellError):
    """The process ended, or did not answer in time."""


class Kernel:
    """One kernel process in a folder of its own, started at the first cell and again after it has died."""

    def __init__(self, executable=None, timeout=600):
        self.executable = pathlib.Path(executable or os.environ.get("LORALAB_KERNEL", EXECUTABLE)).resolve()
        self.timeout = timeout
        self.folder = tempfile.TemporaryDirectory(prefix="parity-kernel")
        self.manager = self.client = None

    @property
    def exists(self):
        return self.executable.exists()

    def start(self):
        specs = pathlib.Path(self.folder.name) / "kernels"
        (specs / "parity").mkdir(parents=True, exist_ok=True)
        argv = [str(self.executable), "kernel", "-f", "{connection_file}"]
        (specs / "parity" / "kernel.json").write_text(json.dumps(dict(argv=argv, display_name="parity", language="loralab")))
        environment = dict(os.environ, XDG_DATA_HOME=os.path.join(self.folder.name, "data"))
        # stderr and stdout of the process go to a file: what it says when it dies.
        self.log = open(os.path.join(self.folder.name, "log"), "ab+")
        self.manager = KernelManager(kernel_name="parity", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(specs)]))
        self.manager.start_kernel(cwd=self.folder.name, env=environment, stdout=self.log, stderr=self.log)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code):
        """Runs a cell; returns everything it said in words.

        Raises CellError with the kernel's own words, KernelDied when there is nobody left to say them.
        """
        if self.manager is None:
            try:
                self.start()
            except OSError as error:        # it is being linked, for instance
                self.manager = None
                raise KernelDied(str(error)) from None
        said = []

        def hook(message):
            content = message["content"]
            if message["msg_type"] == "stream":
                said.append(content["text"])
            elif message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
                said.append(content["data"].get("text/plain", ""))

        try:
            reply = self.client.execute_interactive(code, timeout=self.timeout, output_hook=hook, allow_stdin=False)["content"]
        except (TimeoutError, queue.Empty, RuntimeError) as error:
            alive = self.manager.is_alive()
            last = self.tail()
            self.stop()
            raise KernelDied(f"no answer in {self.timeout} s" if alive else f"the kernel died: {last or error}") from None
        if reply["status"] != "ok":
            raise CellError(f"{reply.get('ename')}: {reply.get('evalue')}")
        return "\n".join(said)

    def tail(self, characters=400):
        self.log.flush()
        return (pathlib.Path(self.folder.name) / "log").read_text(errors="replace")[-characters:].strip()

    def stop(self):
        if self.manager is not None:
            self.client.stop_channels()
            self.manager.shutdown_kernel(now=True)
            self.log.close()
            self.manager = self.client = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()


def quoted(text):
    """A text or a path as one word of a magic's arguments."""
    return "'" + str(text).replace("'", "'\"'\"'") + "'" if "'" in str(text) else f"'{text}'"


def magic(name, *words, **flags):
    """`%name words --flag value`: values are quoted; a list gives the flag several times, True is a bare flag, None is left out."""
    line = [f"%{name}", *(quoted(w) for w in words)]
    for flag, value in flags.items():
        for one in value if isinstance(value, list) else [value]:
            if one is None or one is False:
                continue
            line.append("--" + flag)
            if one is not True:
                line.append(str(one) if isinstance(one, (int, float)) else quoted(one))
    return " ".join(line)
