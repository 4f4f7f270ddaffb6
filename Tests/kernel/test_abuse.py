"""What nobody should send: the kernel drops it, says nothing, and goes on."""
import json
import os
import time

import pytest
import zmq

from wire import DELIMITER, text


def quiet(kernel, channel="shell", milliseconds=100):
    return not kernel.sockets[channel].poll(milliseconds) and not kernel.sockets["iopub"].poll(0)


def good(kernel):
    return kernel.frames(kernel.header("kernel_info_request"))


CASES = {
    "empty frame": lambda k: [b""],
    "empty frames": lambda k: [b""] * 20,
    "one word": lambda k: [b"hello"],
    "no delimiter": lambda k: good(k)[1:],
    "delimiter alone": lambda k: [DELIMITER],
    "delimiter and signature": lambda k: good(k)[:2],
    "two frames short": lambda k: good(k)[:4],
    "one frame short": lambda k: good(k)[:5],
    "delimiter twice": lambda k: [DELIMITER, *good(k)],
    "delimiter cut": lambda k: [b"<IDS|MS", *good(k)[1:]],
    "no signature": lambda k: [DELIMITER, b"", *good(k)[2:]],
    "short signature": lambda k: [DELIMITER, good(k)[1][:10], *good(k)[2:]],
    "upper case signature": lambda k: (lambda f: [DELIMITER, f[1].upper(), *f[2:]])(good(k)),
    "long signature": lambda k: (lambda f: [DELIMITER, f[1] + b"0", *f[2:]])(good(k)),
    "zero signature": lambda k: [DELIMITER, b"0" * 64, *good(k)[2:]],
    "huge signature": lambda k: [DELIMITER, b"a" * 1_000_000, *good(k)[2:]],
    "binary signature": lambda k: [DELIMITER, bytes(range(64)), *good(k)[2:]],
    "changed header": lambda k: (lambda f: [*f[:2], f[2].replace(b"tester", b"intruder"), *f[3:]])(good(k)),
    "changed content": lambda k: [*good(k)[:5], b'{"a": 1}'],
    "swapped frames": lambda k: (lambda f: [f[0], f[1], f[3], f[2], f[4], f[5]])(good(k)),
    "another key": lambda k: (lambda f: [f[0], b"6" * 64, *f[2:]])(good(k)),
    "random frames": lambda k: [os.urandom(50) for _ in range(7)],
    "thousand frames": lambda k: [DELIMITER, *[b"x"] * 1000],
    "ten thousand frames": lambda k: [DELIMITER, *[b"x"] * 10000],
    "random with delimiter": lambda k: [os.urandom(5), DELIMITER, *[os.urandom(50) for _ in range(6)]],
}


@pytest.mark.parametrize("channel", ["shell", "control", "stdin"])
@pytest.mark.parametrize("case", CASES)
def test_garbage_is_dropped(kernel, case, channel):
    kernel.send_raw(CASES[case](kernel), channel)
    assert quiet(kernel, channel, 30)


def signed(kernel, header=b"{}", parent=b"{}", metadata=b"{}", content=b"{}"):
    parts = [header if isinstance(header, bytes) else json.dumps(header).encode(), parent, metadata, content]
    return [DELIMITER, kernel.sign(parts), *parts]


DEEP = b"[" * 100_000 + b"]" * 100_000
JSON_CASES = {
    "broken header": dict(header=b'{"msg_type": "kernel_info_request"'),
    "empty header": dict(header=b""),
    "header is a list": dict(header=b"[]"),
    "header is null": dict(header=b"null"),
    "header without type": dict(header=b'{"msg_id": "a"}'),
    "type is a number": dict(header=b'{"msg_id": "a", "msg_type": 5}'),
    "trailing text": dict(header=b'{"msg_type": "kernel_info_request"} x'),
    "bad UTF-8": dict(header=b'{"msg_type": "kernel_info_request\xff"}'),
    "UTF-16": dict(header='{"msg_type": "kernel_info_request"}'.encode("utf-16")),
    "overlong UTF-8": dict(header=b'{"msg_type": "\xc0\xaf"}'),
    "encoded surrogate": dict(header=b'{"msg_type": "\xed\xa0\x80"}'),
    "byte order mark": dict(header=b'\xef\xbb\xbf{"msg_type": "kernel_info_request"}'),
    "broken content": dict(content=b'{"code": '),
    "content is a string": dict(content=b'"x"'),
    "content is null": dict(content=b"null"),
    "content with bad UTF-8": dict(content=b'{"code": "\x80"}'),
    "content with a raw newline": dict(content=b'{"code": "a\nb"}'),
    "content with a bad escape": dict(content=b'{"code": "\\x41"}'),
    "content with half an escape": dict(content=b'{"code": "\\u12"}'),
    "single quotes": dict(content=b"{'code': 'x'}"),
    "NaN": dict(content=b'{"code": NaN}'),
    "deep content": dict(content=b'{"code": ' + DEEP + b"}"),
    "deep metadata": dict(metadata=b'{"a": ' + DEEP + b"}"),
    "deep objects": dict(content=b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "deep and open": dict(content=b"[" * 1_000_000),
    "metadata is a list": dict(metadata=b"[]"),
    "parent is a number": dict(parent=b"1"),
    "parent is broken": dict(parent=b"{"),
}


@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize("case", JSON_CASES)
def test_signed_nonsense_is_dropped(kernel, case, channel):
    parts = dict(JSON_CASES[case])
    parts.setdefault("header", kernel.header("execute_request" if channel == "shell" else "kernel_info_request"))
    kernel.send_raw(signed(kernel, **parts), channel)
    assert quiet(kernel, channel, 30)


@pytest.mark.parametrize("depth,answered", [(100, True), (500, True), (600, False)])
def test_depth_limit(kernel, depth, answered):
    header = kernel.header("execute_request")
    kernel.send_raw(signed(kernel, header, content=b'{"code": "", "x": ' + b"[" * depth + b"]" * depth + b"}"))
    if answered:
        assert kernel.reply(header).content["status"] == "ok"
        kernel.published(header)
    else:
        assert quiet(kernel)


def test_replay_on_the_same_channel(kernel):
    header = kernel.header("execute_request")
    frames = kernel.frames(header, {"code": "%echo once"})
    kernel.send_raw(frames)
    kernel.reply(header)
    assert text(kernel.published(header)) == "once\n"
    for _ in range(3):
        kernel.send_raw(frames)
    assert quiet(kernel)


@pytest.mark.parametrize("first,second", [("shell", "control"), ("control", "shell")])
def test_replay_on_another_channel(kernel, first, second):
    header = kernel.header("kernel_info_request")
    frames = kernel.frames(header)
    kernel.send_raw(frames, first)
    kernel.reply(header, first)
    kernel.published(header)
    kernel.send_raw(frames, second)
    assert quiet(kernel, second)


def test_replay_with_another_identity_and_buffers(kernel):
    header = kernel.header("kernel_info_request")
    frames = kernel.frames(header)
    kernel.send_raw(frames)
    kernel.reply(header)
    kernel.published(header)
    kernel.send_raw([b"proxy", *frames, b"buffer"])
    assert quiet(kernel)


def test_junk_does_not_push_out_real_signatures(fresh):
    header = fresh.header("kernel_info_request")
    frames = fresh.frames(header)
    fresh.send_raw(frames)
    fresh.reply(header)
    fresh.published(header)
    for number in range(70_000):
        fresh.send_raw([DELIMITER, b"%064x" % number, b"{}", b"{}", b"{}", b"{}"])
    fresh.ask("kernel_info_request", timeout=60)
    fresh.drain()
    fresh.send_raw(frames)
    assert quiet(fresh)


def test_forged_signature_before_the_real_message(kernel):
    header = kernel.header("kernel_info_request")
    frames = kernel.frames(header)
    kernel.send_raw([*frames[:5], b'{"forged": true}'])
    kernel.send_raw(frames)
    assert kernel.reply(header).content["status"] == "ok"
    kernel.published(header)


def test_flood_of_garbage(kernel):
    for number in range(5000):
        kernel.send_raw([b"garbage", b"%d" % number])
    assert kernel.ask("kernel_info_request", timeout=20)[0].content["status"] == "ok"


def test_garbage_on_all_channels_while_a_cell_runs(kernel):
    header = kernel.start_sleeping(0.5)
    for channel in ("shell", "control", "stdin"):
        for case in CASES.values():
            kernel.send_raw(case(kernel), channel)
    assert kernel.reply(header).content["status"] == "ok"
    kernel.published(header)


def test_garbage_heartbeat(kernel):
    socket = kernel.socket(zmq.DEALER, "hb", b"odd")
    for frames in ([b""], [b"x"], [b"", b""], [b"x"] * 50, [DELIMITER] * 3):
        socket.send_multipart(frames)
        assert socket.poll(1000) and socket.recv_multipart() == frames
    socket.close()


def test_garbage_subscriptions(kernel):
    socket = kernel.context.socket(zmq.XSUB)
    socket.linger = 0
    socket.connect(f"tcp://127.0.0.1:{kernel.info['iopub_port']}")
    for event in (b"", b"\x01\xff\xfe", b"\x00", b"\x00never", b"\x02odd", b"upstream", b"\x01" + b"t" * 10_000):
        socket.send(event)
    assert kernel.execute("%echo a")[0].content["status"] == "ok"
    socket.close()


def test_raw_tcp_garbage(kernel):
    import socket as sockets
    for channel in ("shell", "iopub", "stdin", "control", "hb"):
        with sockets.create_connection(("127.0.0.1", kernel.info[f"{channel}_port"])) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + os.urandom(2000))
    assert kernel.execute("%echo a")[0].content["status"] == "ok"


def memory(kernel):
    with open(f"/proc/{kernel.process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) * 1024


def test_large_forged_frames_are_freed(fresh):
    before = memory(fresh)
    for _ in range(5):
        fresh.send_raw([DELIMITER, b"0" * 64, b"x" * (64 << 20), b"{}", b"{}", b"{}"])
    fresh.ask("kernel_info_request", timeout=60)
    time.sleep(0.2)
    assert memory(fresh) - before < 32 << 20


def test_a_client_that_never_reads_does_not_stop_others(kernel):
    lazy = kernel.socket(zmq.SUB, "iopub")
    lazy.rcvhwm = 1
    silent = kernel.socket(zmq.DEALER, "shell", b"silent")
    for _ in range(50):
        silent.send_multipart(kernel.frames(kernel.header("kernel_info_request")))
    assert kernel.execute("%echo a --repeat 1000")[0].content["status"] == "ok"
    lazy.close()
    silent.close()
    time.sleep(0.2)


def test_a_client_may_come_back_under_its_identity(kernel):
    for _ in range(3):
        other = kernel.socket(zmq.DEALER, "shell", b"again")
        other.send_multipart(kernel.frames(kernel.header("kernel_info_request")))
        assert other.poll(3000)
        other.close()


def test_empty_key(make_kernel):
    kernel = make_kernel(key="")
    reply, messages = kernel.execute("%echo open")
    assert reply.signature == b"" and text(messages) == "open\n"
    header = kernel.header("kernel_info_request")
    frames = kernel.frames(header)
    kernel.send_raw([DELIMITER, b"anything", *frames[2:]])
    assert kernel.reply(header).content["status"] == "ok"
    kernel.published(header)
    kernel.send_raw(frames)
    assert kernel.reply(header).content["status"] == "ok"
    for case in CASES.values():
        kernel.send_raw(case(kernel)[:5])
    assert kernel.is_alive


def test_the_key_is_nowhere_to_be_seen(make_kernel):
    kernel = make_kernel(key="very-secret-key", environment={"LORALAB_LOG": "debug"})
    kernel.send_raw([DELIMITER, b"0" * 64, b"{}", b"{}", b"{}", b"{}"])
    kernel.execute("%bogus")
    pid = kernel.process.pid
    for file in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{file}", "rb") as stream:
            assert b"very-secret-key" not in stream.read()
    kernel.signal(15)
    assert b"very-secret-key" not in kernel.process.communicate(timeout=10)[1]
