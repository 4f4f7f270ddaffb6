"""Fixtures: one kernel for tests that leave it as they found it, a fresh one for the others."""
import pytest

from wire import Kernel


@pytest.fixture(scope="module")
def shared_kernel():
    kernel = Kernel()
    yield kernel
    kernel.stop()


@pytest.fixture
def kernel(shared_kernel):
    """A running kernel; afterwards it must still answer."""
    shared_kernel.drain(5)
    yield shared_kernel
    assert shared_kernel.is_alive
    shared_kernel.drain(5)
    assert shared_kernel.ask("kernel_info_request")[0].content["status"] == "ok"


@pytest.fixture
def make_kernel():
    """Makes kernels that are stopped after the test."""
    made = []

    def make(*arguments, **options):
        made.append(Kernel(*arguments, **options))
        return made[-1]

    yield make
    for kernel in made:
        kernel.stop()


@pytest.fixture
def fresh(make_kernel):
    return make_kernel()
