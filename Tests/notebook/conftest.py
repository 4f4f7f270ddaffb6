"""JupyterLab in a headless browser, and a kernel to talk to, as fixtures."""
import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import time

import pytest
from jupyter_client.manager import start_new_kernel

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
SCREENSHOTS = ROOT / "out" / "screenshots"


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """A copy of the notebooks, so that no test writes into the tree."""
    folder = tmp_path_factory.mktemp("work") / "notebooks"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"))
    return folder


SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight stay on the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


class Cells:
    """Runs cells in a kernel and keeps what they show."""

    def __init__(self, client):
        self.client = client

    def run(self, code, timeout=300, allow_error=False):
        """Returns the outputs of one cell: iopub contents that carry data, text or an error, in order."""
        outputs = []

        def collect(message):
            if message["msg_type"] in ("display_data", "update_display_data", "execute_result", "stream", "error", "clear_output"):
                outputs.append({"type": message["msg_type"], **message["content"]})

        reply = self.client.execute_interactive(code, timeout=timeout, output_hook=collect, allow_stdin=False)["content"]
        if not allow_error:
            assert reply["status"] == "ok", reply
        return outputs

    def fails(self, code):
        """Runs a cell that must fail and returns the error."""
        errors = [output for output in self.run(code, allow_error=True) if output["type"] == "error"]
        assert len(errors) == 1, f"{code!r} was accepted"
        return errors[0]


def text(outputs):
    """Everything that the outputs say in words."""
    parts = []
    for output in outputs:
        parts.append(output["text"] if output["type"] == "stream" else output.get("data", {}).get("text/plain", ""))
    return "\n".join(parts)


@pytest.fixture
def kernel(tmp_path):
    """A fresh kernel whose folder is a temporary one: yields the manager and its client."""
    manager, client = start_new_kernel(kernel_name="loralab", cwd=str(tmp_path))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def cells(kernel):
    return Cells(kernel[1])


@contextlib.contextmanager
def jupyterlab(folder, settings):
    """A server over `folder`; yields its address with the token in it."""
    for plugin, values in SETTINGS.items():
        overrides = settings / f"@jupyterlab/{plugin}.jupyterlab-settings"
        overrides.parent.mkdir(parents=True, exist_ok=True)
        overrides.write_text(json.dumps(values))
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", f"--IdentityProvider.token={token}",
               f"--ServerApp.root_dir={folder}"]
    log = open(settings / "server.log", "w+")
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              env={**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(settings)})
    try:
        for _ in range(240):
            log.seek(0)
            found = re.search(r"http://(?:localhost|127\.0\.0\.1):(\d+)/lab", log.read())
            if found:
                break
            assert server.poll() is None, "JupyterLab did not start: " + pathlib.Path(log.name).read_text()[-2000:]
            time.sleep(0.25)
        yield f"http://127.0.0.1:{found[1]}/lab/tree/{{}}?reset&token={token}"
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.fixture(scope="session")
def lab(workplace, tmp_path_factory):
    with jupyterlab(workplace, tmp_path_factory.mktemp("settings")) as address:
        yield address


@pytest.fixture
def browser():
    """Headless Chromium, 1400 × 1000 pixels."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()
