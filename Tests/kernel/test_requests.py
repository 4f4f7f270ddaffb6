"""Requests other than execute, on shell and control."""
import pytest

from wire import types

SHELL = ["kernel_info_request", "comm_info_request", "connect_request"]


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_kernel_info(kernel, channel):
    reply, messages = kernel.ask("kernel_info_request", channel=channel)
    content = reply.content
    assert reply.type == "kernel_info_reply" and content["status"] == "ok" and content["protocol_version"] == "5.5"
    assert content["implementation"] == "loralab" and content["implementation_version"] and content["banner"]
    assert "kernel subshells" in content["supported_features"] and content["debugger"] is False
    assert all(set(link) == {"text", "url"} for link in content["help_links"])
    language = content["language_info"]
    assert (language["name"], language["mimetype"], language["file_extension"], language["pygments_lexer"], language["codemirror_mode"]) == (
        "swift", "text/x-swift", ".swift", "swift", "swift")
    assert language["version"] and language["nbconvert_exporter"] == "script"
    assert [m.content["execution_state"] for m in messages] == ["busy", "idle"]


@pytest.mark.parametrize("kind", SHELL)
def test_busy_and_idle_once(kernel, kind):
    reply, messages = kernel.ask(kind)
    assert reply.content["status"] == "ok" and reply.type == kind.replace("request", "reply")
    assert [m.content["execution_state"] for m in messages] == ["busy", "idle"]


@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize("kind", ["nonsense_request", "nonsense", "", "execute_reply", "\u0000", "x" * 10000])
def test_unknown_types(kernel, channel, kind):
    header = kernel.request(kind, {"a": 1}, channel)
    assert [m.content["execution_state"] for m in kernel.published(header)] == ["busy", "idle"]
    assert not kernel.sockets[channel].poll(50)


def test_control_does_not_execute(kernel):
    header = kernel.request("execute_request", {"code": "%echo a"}, "control")
    assert types(kernel.published(header)) == []


def test_connect(kernel):
    content = kernel.ask("connect_request")[0].content
    assert all(content[f"{c}_port"] == kernel.info[f"{c}_port"] for c in ("shell", "iopub", "stdin", "control", "hb"))


def test_heartbeat(kernel):
    socket = kernel.sockets["hb"]
    for payload in (b"ping", b"", b"\x00" * 1000):
        socket.send(payload)
        assert socket.poll(1000) and socket.recv() == payload


def test_heartbeat_with_several_frames(kernel):
    socket = kernel.sockets["hb"]
    socket.send_multipart([b"a", b"", b"b"])
    assert socket.poll(1000) and socket.recv_multipart() == [b"a", b"", b"b"]


@pytest.mark.parametrize("code,status", [
    ("", "complete"), ("%echo a", "complete"), ("# comment", "complete"), ("%echo a\n%echo b", "complete"), ("%%echo", "incomplete"), ("%%echo a\nb", "incomplete"),
    ("%%echo a\nb\n", "complete"), ("%echo a \\", "incomplete"), ("let x = 1", "invalid"), ("%echo?", "complete"), ("%echo a\n%%echo b", "invalid")])
def test_is_complete(kernel, code, status):
    content = kernel.ask("is_complete_request", {"code": code})[0].content
    assert content["status"] == status and ("indent" in content) == (status == "incomplete")


def test_comm_info(kernel):
    for content in ({}, {"target_name": "jupyter.widget"}):
        assert kernel.ask("comm_info_request", content)[0].content["comms"] == {}


def test_comm_open_of_an_unknown_target_is_closed(kernel):
    header = kernel.request("comm_open", {"comm_id": "c1", "target_name": "nobody", "data": {"x": 1}}, buffers=[b"\x00\xff", b""])
    messages = kernel.published(header)
    assert types(messages, statuses=True) == ["status", "comm_close", "status"] and messages[1].content == {"comm_id": "c1", "data": {}}


@pytest.mark.parametrize("kind", ["comm_msg", "comm_close"])
def test_messages_for_unknown_comms_are_ignored(kernel, kind):
    header = kernel.request(kind, {"comm_id": "nobody", "data": {}}, buffers=[b"x" * 1000])
    assert types(kernel.published(header)) == [] and not kernel.sockets["shell"].poll(30)


def test_comm_open_without_id(kernel):
    header = kernel.request("comm_open", {"target_name": "x"})
    assert types(kernel.published(header)) == [] and not kernel.sockets["shell"].poll(30)


def test_buffers_are_not_signed_and_not_the_next_message(kernel):
    header = kernel.request("execute_request", {"code": "%echo a"}, buffers=[b"one", b"two"])
    assert kernel.reply(header).content["status"] == "ok"
    assert kernel.execute("%echo b")[0].content["status"] == "ok"


def test_extra_identities_are_echoed(kernel):
    header = kernel.header("kernel_info_request")
    kernel.send_raw([b"proxy-1", b"", b"proxy-2", *kernel.frames(header)])
    reply = kernel.receive()
    assert reply.identities == [b"proxy-1", b"", b"proxy-2"] and reply.type == "kernel_info_reply"


def test_usage(kernel):
    content = kernel.ask("usage_request", channel="control")[0].content
    assert content["pid"] == kernel.process.pid and content["hostname"] and content["cpu_count"] >= 1 and content["kernel_memory"] > 1_000_000
    assert set(content["host_virtual_memory"]) >= {"total", "available", "percent", "used", "free"} and 0 <= content["host_cpu_percent"] <= 100
    assert content["kernel_cpu"] >= 0


def test_debug_request_gets_an_error(kernel):
    reply, messages = kernel.ask("debug_request", {"seq": 7, "type": "request", "command": "initialize", "arguments": {}}, channel="control")
    content = reply.content
    assert reply.type == "debug_reply" and content["status"] == "error" and content["success"] is False and content["request_seq"] == 7
    assert content["command"] == "initialize" and types(messages) == []


def test_messages_of_an_old_client(kernel):
    reply, _ = kernel.ask("kernel_info_request", version="5.0")
    assert reply.content["status"] == "ok"


def test_header_without_date_or_version(kernel):
    header = {"msg_id": "h1", "msg_type": "kernel_info_request", "session": "s", "username": "u"}
    kernel.send_raw(kernel.frames(header))
    assert kernel.reply(header).content["status"] == "ok"


@pytest.mark.parametrize("content", [{}, {"code": 1, "cursor_pos": 0}, {"code": "a", "cursor_pos": "x"}])
@pytest.mark.parametrize("kind", ["complete_request", "inspect_request", "is_complete_request"])
def test_wrong_content(kernel, kind, content):
    if kind == "is_complete_request" and content.get("code") == "a":
        content = {"code": []}
    reply, _ = kernel.ask(kind, content)
    assert reply.content["status"] == "error" and reply.content["ename"] and reply.type == kind.replace("request", "reply")
