"""The kernel through the clients that people use: jupyter_client, jupyter_kernel_test, nbclient."""
import json
import os
import sys
import tempfile

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from wire import command

FOLDER = tempfile.mkdtemp(prefix="kernelspecs")
NAME = "loralab_under_test"
os.makedirs(os.path.join(FOLDER, "kernels", NAME))
with open(os.path.join(FOLDER, "kernels", NAME, "kernel.json"), "w") as specification:
    json.dump({"argv": command("{connection_file}"), "display_name": "LoRALab (Swift)", "language": "swift", "interrupt_mode": "message",
               "kernel_protocol_version": "5.5"}, specification)
os.environ["JUPYTER_PATH"] = FOLDER
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()

import jupyter_kernel_test  # noqa: E402  (reads JUPYTER_PATH)


class TestKernel(jupyter_kernel_test.KernelTests):
    kernel_name = NAME
    language_name = "swift"
    file_extension = ".swift"
    code_hello_world = "%echo hello, world"
    code_stderr = "%echo --stderr oops"
    code_page_something = "%echo?"
    code_generate_error = "%fail"
    code_execute_result = [{"code": "%result 42", "result": "42"}, {"code": "%result 'a b'", "result": "a b"}]
    code_display_data = [{"code": "%display a", "mime": "text/plain"}, {"code": "%display '**a**' --markdown", "mime": "text/markdown"}]
    code_clear_output = "%clear"
    code_history_pattern = "%result 4*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "%echo"
    complete_code_samples = ["%echo a", "# comment", "%%echo a\nb\n"]
    incomplete_code_samples = ["%%echo a", "%echo a \\"]
    invalid_code_samples = ["let x = 1"]
    completion_samples = [{"text": "%ec", "matches": {"%echo"}}, {"text": "%echo --st", "matches": {"--stderr"}}]


@pytest.fixture
def client():
    manager = KernelManager(kernel_name=NAME)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=20)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel()


def test_interrupt_through_the_manager(client):
    manager, kernel = client
    identifier = kernel.execute("%sleep 30")
    while kernel.get_iopub_msg(timeout=5)["msg_type"] != "execute_input":
        pass
    manager.interrupt_kernel()
    reply = kernel.get_shell_msg(timeout=3)
    assert reply["parent_header"]["msg_id"] == identifier and reply["content"]["ename"] == "KeyboardInterrupt"


def test_restart_through_the_manager(client):
    manager, kernel = client
    kernel.execute("%echo a", reply=True, timeout=5)
    manager.restart_kernel()
    kernel.wait_for_ready(timeout=20)
    assert kernel.execute("%echo b", reply=True, timeout=5)["content"]["execution_count"] == 1


def test_input_through_the_client(client):
    _, kernel = client
    kernel.execute("%input Name:", allow_stdin=True)
    assert kernel.get_stdin_msg(timeout=5)["content"]["prompt"] == "Name:"
    kernel.input("Ada")
    assert kernel.get_shell_msg(timeout=5)["content"]["status"] == "ok"


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells], metadata={"kernelspec": {"name": NAME, "display_name": "x", "language": "swift"}})


def test_nbclient():
    from nbclient import NotebookClient
    done = NotebookClient(notebook("# nothing", "%echo hello\n%display a --id p", "%result 42", "%display b --id p --update"), timeout=30, kernel_name=NAME).execute()
    assert done.cells[1].outputs[0]["text"] == "hello\n" and done.cells[1].outputs[1]["data"]["text/plain"] == "b"
    assert done.cells[2].outputs[0]["output_type"] == "execute_result" and done.metadata.language_info.name == "swift"
    nbformat.validate(done)


def test_nbclient_stops_at_an_error():
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    with pytest.raises(CellExecutionError, match="out of paper"):
        NotebookClient(notebook("%fail out of paper", "%echo never"), timeout=30, kernel_name=NAME).execute()
