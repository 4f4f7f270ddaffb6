"""History: tail, range, search, and what survives a restart."""
import os
import stat

import pytest


def history(kernel, kind, **content):
    reply, _ = kernel.ask("history_request", dict({"hist_access_type": kind, "output": False, "raw": True}, **content))
    assert reply.content["status"] == "ok", reply.content
    return reply.content["history"]


@pytest.fixture
def filled(fresh):
    for code in ("%echo one", "%result two", "%echo one", "%fail", "%echo [a]"):
        fresh.execute(code)
    return fresh


def test_tail(filled):
    assert history(filled, "tail", n=2) == [[1, 4, "%fail"], [1, 5, "%echo [a]"]]
    assert len(history(filled, "tail", n=100)) == 5 and history(filled, "tail", n=0) == []


def test_output(filled):
    assert history(filled, "range", output=True, session=0, start=1, stop=3) == [[1, 1, ["%echo one", None]], [1, 2, ["%result two", "two"]]]


def test_range(filled):
    assert [row[1] for row in history(filled, "range", session=0, start=2, stop=4)] == [2, 3]
    assert [row[1] for row in history(filled, "range", session=1, start=1, stop=None)] == [1, 2, 3, 4, 5]
    assert history(filled, "range", session=99, start=1, stop=5) == [] and history(filled, "range", session=0, start=4, stop=2) == []


def test_search(filled):
    assert [row[1] for row in history(filled, "search", pattern="%echo*")] == [1, 3, 5]
    assert [row[1] for row in history(filled, "search", pattern="%echo*", n=1)] == [5]
    assert [row[1] for row in history(filled, "search", pattern="%echo one", unique=True)] == [3]
    assert [row[1] for row in history(filled, "search", pattern="%echo [a]")] == [5]
    assert [row[1] for row in history(filled, "search", pattern="%f??l")] == [4]
    assert history(filled, "search", pattern="zzz*") == []


@pytest.mark.parametrize("content", [{}, {"hist_access_type": "all"}, {"hist_access_type": "tail", "n": "x"}, {"hist_access_type": 5}])
def test_wrong_requests(fresh, content):
    assert fresh.ask("history_request", content)[0].content["status"] == "error"


@pytest.mark.parametrize("options", [{"store_history": False}, {"silent": True}])
def test_not_stored(fresh, options):
    fresh.execute("%echo kept")
    fresh.execute("%echo hidden", **options)
    assert [row[2] for row in history(fresh, "tail", n=10)] == ["%echo kept"]


def test_empty_cells_are_not_stored(fresh):
    fresh.execute("")
    assert history(fresh, "tail", n=10) == []


def test_null_and_unicode(fresh):
    fresh.execute("%echo a\u0000b \U0001F642")
    assert history(fresh, "tail", n=1)[0][2] == "%echo a\u0000b \U0001F642"


def test_restart_keeps_history(make_kernel):
    first = make_kernel()
    first.execute("%echo before")
    first.ask("shutdown_request", {"restart": True}, channel="control")
    first.process.wait(10)
    second = make_kernel(folder=first.folder)
    second.execute("%echo after")
    assert history(second, "tail", n=2) == [[1, 1, "%echo before"], [2, 1, "%echo after"]]
    assert history(second, "range", session=-1, start=1, stop=9) == [[1, 1, "%echo before"]]


def test_killed_kernel_keeps_history(make_kernel):
    first = make_kernel()
    first.execute("%echo before")
    history(first, "tail", n=1)
    first.process.kill()
    second = make_kernel(folder=first.folder)
    assert [row[2] for row in history(second, "tail", n=2)] == ["%echo before"]


def test_file_mode(filled):
    history(filled, "tail", n=1)
    file = os.path.join(filled.folder, "data", "loralab", "history.sqlite")
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600 and stat.S_IMODE(os.stat(os.path.dirname(file)).st_mode) == 0o700


def test_file_is_not_opened_at_start(fresh):
    assert not os.path.exists(os.path.join(fresh.folder, "data"))


def test_two_kernels_at_once(make_kernel):
    first = make_kernel()
    second = make_kernel(folder=first.folder)
    for number in range(20):
        first.execute(f"%echo a{number}")
        second.execute(f"%echo b{number}")
    assert len(history(second, "search", pattern="%echo b*")) == 20      # what the other has written is in the file now
    assert len(history(first, "tail", n=100)) == 40 and len(history(second, "search", pattern="%echo a*")) == 20


def test_unwritable_folder(make_kernel):
    kernel = make_kernel(environment={"XDG_DATA_HOME": "/proc/nowhere"})
    assert kernel.execute("%echo a")[0].content["status"] == "ok"
    assert kernel.ask("history_request", {"hist_access_type": "tail", "n": 3})[0].content["status"] in ("ok", "error")
