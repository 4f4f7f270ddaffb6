"""Interrupt, abort, shutdown, subshells and what is answered while a cell runs."""
import signal
import time

import pytest

from wire import text, types


def control(kernel, kind="kernel_info_request", content=None):
    """The answer on control, which comes while a cell runs."""
    return kernel.reply(kernel.request(kind, content, "control"), "control")


# Interrupt

def test_interrupt_by_message(kernel):
    header = kernel.start_sleeping()
    assert control(kernel, "interrupt_request").content == {"status": "ok"}
    reply = kernel.reply(header, timeout=10)
    assert reply.content["status"] == "error" and reply.content["ename"] == "KeyboardInterrupt"
    assert types(kernel.published(header))[-1] == "error"


def test_interrupt_by_signal(kernel):
    header = kernel.start_sleeping()
    kernel.signal(signal.SIGINT)
    assert kernel.reply(header, timeout=10).content["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize("way", ["message", "signal"])
def test_interrupt_while_idle_changes_nothing(kernel, way):
    for _ in range(3):
        kernel.interrupt() if way == "message" else kernel.signal(signal.SIGINT)
    time.sleep(0.1)
    kernel.drain()
    assert kernel.execute("%sleep 0.2")[0].content["status"] == "ok"


def test_no_interrupt_is_lost(fresh):
    for number in range(50):
        header = fresh.request("execute_request", {"code": "%sleep 30"})
        message = fresh.receive("iopub")
        while message.type != "status" or message.content["execution_state"] != "busy" or message.parent["msg_id"] != header["msg_id"]:
            message = fresh.receive("iopub")
        fresh.request("interrupt_request", channel="control")
        assert fresh.reply(header, timeout=3).content["ename"] == "KeyboardInterrupt"


def test_interrupt_aborts_queued_cells(kernel):
    first = kernel.start_sleeping()
    second = kernel.request("execute_request", {"code": "%echo second"})
    info = kernel.request("is_complete_request", {"code": ""})
    time.sleep(0.1)
    kernel.request("interrupt_request", channel="control")
    assert kernel.reply(first).content["ename"] == "KeyboardInterrupt"
    assert kernel.reply(second).content["status"] in ("aborted", "error")
    assert kernel.reply(info).content["status"] == "complete"
    assert text(kernel.published(second)) == ""
    assert kernel.execute("%echo third")[0].content["status"] == "ok"


def test_interrupt_is_answered_at_once(kernel):
    header = kernel.start_sleeping()
    control(kernel, "interrupt_request")
    kernel.reply(header)


def test_state_survives_an_interrupt(kernel):
    before = kernel.execute("%echo a")[0].content["execution_count"]
    header = kernel.start_sleeping()
    kernel.interrupt()
    assert kernel.reply(header).content["execution_count"] == before + 1
    assert kernel.execute("%echo a")[0].content["execution_count"] == before + 2


def test_interrupted_output_is_kept(kernel):
    header = kernel.request("execute_request", {"code": "%echo before\n%sleep 30\n%echo after"})
    while kernel.receive("iopub").type != "stream":
        pass
    kernel.request("interrupt_request", channel="control")
    kernel.reply(header)
    assert text(kernel.published(header)) == ""


# Errors abort what is queued

def test_stop_on_error_aborts_what_is_queued(kernel):
    failing = kernel.request("execute_request", {"code": "%sleep 0.3\n%fail"})
    later = [kernel.request("execute_request", {"code": f"%echo {i}"}) for i in range(5)]
    other = kernel.request("is_complete_request", {"code": "%echo"})
    assert kernel.reply(failing).content["status"] == "error"
    for header in later:
        reply = kernel.reply(header)
        assert reply.content["status"] == "aborted" and isinstance(reply.content["execution_count"], int)
    assert kernel.reply(other).content["status"] == "complete"
    for header in later:
        messages = kernel.published(header)
        assert [m.content["execution_state"] for m in messages] == ["busy", "idle"]


def test_aborted_cells_sent_in_one_go_with_a_quick_failure(kernel):
    for _ in range(10):
        headers = [kernel.request("execute_request", {"code": code}) for code in ("%fail", "%echo a", "%echo b")]
        assert [kernel.reply(h).content["status"] for h in headers] == ["error", "aborted", "aborted"]
        kernel.published(headers[-1])


def test_cells_after_the_failure_is_known_are_run(kernel):
    for _ in range(20):
        assert kernel.execute("%fail")[0].content["status"] == "error"
        assert kernel.execute("%echo a")[0].content["status"] == "ok"


def test_stop_on_error_false(kernel):
    failing = kernel.request("execute_request", {"code": "%sleep 0.1\n%fail", "stop_on_error": False})
    later = kernel.request("execute_request", {"code": "%echo ran"})
    assert kernel.reply(failing).content["status"] == "error" and kernel.reply(later).content["status"] == "ok"
    assert text(kernel.published(later)) == "ran\n"


def test_aborted_cells_do_not_count(kernel):
    before = kernel.execute("%echo a")[0].content["execution_count"]
    headers = [kernel.request("execute_request", {"code": code}) for code in ("%fail", "%echo a", "%echo b")]
    for header in headers:
        kernel.reply(header)
    assert kernel.execute("%echo a")[0].content["execution_count"] == before + 2


# While a cell runs

def test_control_and_heartbeat_while_busy(kernel):
    header = kernel.start_sleeping(60)
    for _ in range(10):
        control(kernel)
        control(kernel, "usage_request")
        kernel.sockets["hb"].send(b"ping")
        assert kernel.sockets["hb"].poll(10_000) and kernel.sockets["hb"].recv() == b"ping"
    assert not kernel.sockets["shell"].poll(0)
    kernel.interrupt()
    assert kernel.reply(header).content["ename"] == "KeyboardInterrupt"


def test_control_status_while_busy(kernel):
    header = kernel.start_sleeping(0.5)
    info = kernel.request("kernel_info_request", channel="control")
    assert [m.content["execution_state"] for m in kernel.published(info)] == ["busy", "idle"]
    kernel.reply(header)


def test_order_on_the_main_shell(kernel):
    kinds = [("execute_request", {"code": "%sleep 0.3"}), ("kernel_info_request", {}), ("complete_request", {"code": "%e"}), ("execute_request", {"code": "%echo"}),
             ("inspect_request", {"code": "%echo"}), ("comm_info_request", {}), ("history_request", {"hist_access_type": "tail"})]
    headers = [kernel.request(*kind) for kind in kinds]
    assert [kernel.receive().parent["msg_id"] for _ in headers] == [h["msg_id"] for h in headers]


def test_tab_and_comms_are_answered_behind_a_long_cell(kernel):
    header = kernel.start_sleeping(60)
    time.sleep(1.2)
    for kind, content in (("complete_request", {"code": "%e"}), ("inspect_request", {"code": "%echo"}), ("kernel_info_request", {}), ("comm_info_request", {})):
        reply, messages = kernel.ask(kind, content)
        assert reply.content["status"] == "ok"
        assert [m.content["execution_state"] for m in messages] == ["busy", "idle"]
    comm = kernel.request("comm_open", {"comm_id": "x", "target_name": "y"})
    assert "comm_close" in types(kernel.published(comm, 1))
    kernel.interrupt()
    assert kernel.reply(header).content["ename"] == "KeyboardInterrupt"


# Shutdown

@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("channel", ["control", "shell"])
def test_shutdown(fresh, restart, channel):
    header = fresh.request("shutdown_request", {"restart": restart}, channel)
    reply = fresh.reply(header, channel)
    assert reply.content == {"status": "ok", "restart": restart}
    assert fresh.process.wait(10) == 0


def test_shutdown_publishes_status(fresh):
    header = fresh.request("shutdown_request", {"restart": False}, "control")
    messages = fresh.published(header)
    assert types(messages, statuses=True) == ["status", "shutdown_reply", "status"]


def test_shutdown_while_a_cell_runs(fresh):
    header = fresh.start_sleeping(60)
    assert fresh.ask("shutdown_request", {"restart": True}, channel="control")[0].content["restart"] is True
    assert fresh.process.wait(10) == 0
    assert fresh.reply(header).content["ename"] == "KeyboardInterrupt"


def test_shutdown_while_waiting_for_input(fresh):
    fresh.request("execute_request", {"code": "%input a", "allow_stdin": True})
    fresh.receive("stdin")
    fresh.request("shutdown_request", {}, "control")
    assert fresh.process.wait(10) == 0


def test_shutdown_without_content(fresh):
    assert fresh.ask("shutdown_request", {}, channel="control")[0].content["restart"] is False


def test_new_session_after_restart(make_kernel):
    first = make_kernel()
    session = first.execute("")[0].header["session"]
    second = make_kernel(folder=first.folder)
    assert second.execute("")[0].header["session"] != session


# Subshells

def test_subshells_come_and_go(kernel):
    assert kernel.ask("list_subshell_request", channel="control")[0].content == {"status": "ok", "subshell_id": []}
    first, second = kernel.create_subshell(), kernel.create_subshell()
    assert isinstance(first, str) and first != second
    assert kernel.ask("list_subshell_request", channel="control")[0].content["subshell_id"] == [first, second]
    for subshell in (first, second):
        assert kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")[0].content == {"status": "ok"}
    assert kernel.ask("list_subshell_request", channel="control")[0].content["subshell_id"] == []


@pytest.mark.parametrize("content", [{"subshell_id": "nobody"}, {}, {"subshell_id": None}, {"subshell_id": 5}])
def test_delete_unknown_subshell(kernel, content):
    assert kernel.ask("delete_subshell_request", content, channel="control")[0].content["status"] == "error"


def test_subshell_runs_beside_the_main_shell(kernel):
    subshell = kernel.create_subshell()
    header = kernel.start_sleeping(60)
    reply, messages = kernel.execute("%echo beside", header={"subshell_id": subshell})
    assert reply.content["status"] == "ok" and text(messages) == "beside\n"
    assert all(m.parent["subshell_id"] == subshell for m in [reply, *messages])
    kernel.interrupt()
    kernel.reply(header)
    kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


def test_subshell_has_its_own_counter(kernel):
    subshell = kernel.create_subshell()
    assert kernel.execute("%echo a", header={"subshell_id": subshell})[0].content["execution_count"] == 1
    assert kernel.execute("%echo a", header={"subshell_id": subshell})[0].content["execution_count"] == 2
    kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


@pytest.mark.parametrize("kind,content", [("complete_request", {"code": "%ec"}), ("inspect_request", {"code": "%echo"}), ("kernel_info_request", {}), ("comm_info_request", {})])
def test_subshell_answers_everything(kernel, kind, content):
    subshell = kernel.create_subshell()
    assert kernel.ask(kind, content, subshell_id=subshell)[0].content["status"] == "ok"
    kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


@pytest.mark.parametrize("kind,content", [("execute_request", {"code": "%echo a"}), ("complete_request", {"code": "%e"}), ("kernel_info_request", {})])
def test_unknown_subshell_gets_an_error(kernel, kind, content):
    reply, messages = kernel.ask(kind, content, subshell_id="nobody")
    assert reply.content["status"] == "error" and "nobody" in reply.content["evalue"]
    assert [m.content["execution_state"] for m in messages] == ["busy", "idle"]


def test_deleted_subshell_is_unknown(kernel):
    subshell = kernel.create_subshell()
    kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")
    assert kernel.execute("%echo a", header={"subshell_id": subshell})[0].content["status"] == "error"


def test_null_subshell_is_the_main_shell(kernel):
    assert kernel.execute("%echo a", header={"subshell_id": None})[0].content["status"] == "ok"


def test_interrupt_reaches_subshells(kernel):
    subshell = kernel.create_subshell()
    header = kernel.request("execute_request", {"code": "%sleep 30"}, subshell_id=subshell)
    while kernel.receive("iopub").type != "execute_input":
        pass
    kernel.interrupt()
    assert kernel.reply(header).content["ename"] == "KeyboardInterrupt"
    kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


def test_many_subshells(fresh):
    names = [fresh.create_subshell() for _ in range(20)]
    headers = [fresh.request("execute_request", {"code": "%sleep 60"}, subshell_id=name) for name in names]
    running = set()
    while len(running) < len(names):        # all at once: none has ended
        message = fresh.receive("iopub")
        if message.type == "execute_input":
            running.add(message.parent["msg_id"])
    assert not fresh.sockets["shell"].poll(0)
    fresh.interrupt()
    assert {fresh.receive().parent["msg_id"] for _ in headers} == {h["msg_id"] for h in headers} == running


def test_failure_on_a_subshell_does_not_abort_the_main_shell(kernel):
    subshell = kernel.create_subshell()
    main = kernel.start_sleeping(0.4)
    queued = kernel.request("execute_request", {"code": "%echo queued"})
    assert kernel.execute("%fail", header={"subshell_id": subshell})[0].content["status"] == "error"
    assert kernel.reply(main).content["status"] == "ok" and kernel.reply(queued).content["status"] == "ok"
    kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")
