"""Questions to the user."""
import signal

import pytest

from wire import text


def ask(kernel, code="%input Name:", **content):
    return kernel.request("execute_request", dict({"code": code, "allow_stdin": True}, **content))


def answer(kernel, value, request=None, channel="stdin"):
    kernel.send_raw(kernel.frames(kernel.header("input_reply"), {"value": value}, parent=request and request.header), channel)


def test_input(kernel):
    header = ask(kernel)
    request = kernel.receive("stdin")
    assert request.type == "input_request" and request.content == {"prompt": "Name:", "password": False} and request.parent == header
    answer(kernel, "Ada Lovelace \u4f60", request)
    assert kernel.reply(header).content["status"] == "ok" and text(kernel.published(header)) == "Ada Lovelace \u4f60\n"


def test_password(kernel):
    header = ask(kernel, "%input Secret: --password")
    assert kernel.receive("stdin").content == {"prompt": "Secret:", "password": True}
    answer(kernel, "12345")
    assert kernel.reply(header).content["status"] == "ok"
    assert "12345" not in text(kernel.published(header))


@pytest.mark.parametrize("content", [{"allow_stdin": False}, {}])
def test_not_allowed(kernel, content):
    header = kernel.request("execute_request", dict({"code": "%input a"}, **content))
    reply = kernel.reply(header)
    assert reply.content["status"] == "error" and "input" in reply.content["evalue"] and not kernel.sockets["stdin"].poll(50)


def test_stale_answers_are_not_used(kernel):
    answer(kernel, "stale one")
    answer(kernel, "stale two")
    kernel.ok("%sleep 0.1")
    header = ask(kernel)
    kernel.receive("stdin")
    assert not kernel.sockets["shell"].poll(100)
    answer(kernel, "fresh")
    kernel.reply(header)
    assert text(kernel.published(header)) == "fresh\n"


@pytest.mark.parametrize("way", ["message", "signal"])
def test_interrupt_ends_the_question(kernel, way):
    header = ask(kernel)
    kernel.receive("stdin")
    kernel.interrupt() if way == "message" else kernel.signal(signal.SIGINT)
    assert kernel.reply(header).content["ename"] == "KeyboardInterrupt"
    answer(kernel, "late")
    header = ask(kernel)
    kernel.receive("stdin")
    answer(kernel, "next")
    kernel.reply(header)
    assert text(kernel.published(header)) == "next\n"


def test_end_of_input(kernel):
    header = ask(kernel)
    kernel.receive("stdin")
    answer(kernel, "\x04")
    assert kernel.reply(header).content["ename"] == "EOFError"


def test_forged_answer_is_dropped(kernel):
    header = ask(kernel)
    kernel.receive("stdin")
    frames = kernel.frames(kernel.header("input_reply"), {"value": "forged"})
    kernel.send_raw([frames[0], b"0" * 64, *frames[2:]], "stdin")
    assert not kernel.sockets["shell"].poll(100)
    answer(kernel, "real")
    kernel.reply(header)
    assert text(kernel.published(header)) == "real\n"


def test_answer_of_another_client_is_not_taken(kernel):
    import zmq
    header = ask(kernel)
    kernel.receive("stdin")
    other = kernel.socket(zmq.DEALER, "stdin", b"another")
    other.send_multipart(kernel.frames(kernel.header("input_reply"), {"value": "other"}))
    assert not kernel.sockets["shell"].poll(150)
    other.close()
    answer(kernel, "mine")
    kernel.reply(header)
    assert text(kernel.published(header)) == "mine\n"


@pytest.mark.parametrize("content", [{}, {"value": None}, {"value": 5}, {"value": ["a"]}])
def test_strange_answers_are_ignored(kernel, content):
    header = ask(kernel)
    kernel.receive("stdin")
    kernel.send_raw(kernel.frames(kernel.header("input_reply"), content), "stdin")
    answer(kernel, "good")
    kernel.reply(header)
    assert text(kernel.published(header)) == "good\n"


def test_prompt_comes_after_output(kernel):
    header = ask(kernel, "%echo before\n%input a")
    kernel.receive("stdin")
    answer(kernel, "x")
    kernel.reply(header)
    assert text(kernel.published(header)) == "before\nx\n"


def test_two_questions(kernel):
    header = ask(kernel, "%input a\n%input b")
    for value in ("1", "2"):
        kernel.receive("stdin")
        answer(kernel, value)
    kernel.reply(header)
    assert text(kernel.published(header)) == "1\n2\n"


def test_control_answers_while_waiting(kernel):
    header = ask(kernel)
    kernel.receive("stdin")
    assert kernel.ask("kernel_info_request", channel="control")[0].content["status"] == "ok"
    answer(kernel, "x")
    kernel.reply(header)
