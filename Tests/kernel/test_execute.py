"""Cells: what is published, replied, counted and kept."""
import re
from datetime import datetime

import pytest

from wire import text, types


def test_order_of_messages(kernel):
    reply, messages = kernel.ok("%echo hello")
    assert types(messages, statuses=True) == ["status", "execute_input", "stream", "status"]
    assert messages[0].content == {"execution_state": "busy"}
    assert messages[-1].content == {"execution_state": "idle"}


def test_reply_content(kernel):
    reply, _ = kernel.ok("%echo hello")
    assert reply["payload"] == [] and reply["user_expressions"] == {} and isinstance(reply["execution_count"], int)


@pytest.mark.parametrize("code", ["", " ", "\n\n", "# a comment", "// a comment", "#\n\n  // two\n", "\t", "\r\n", "# ä\u0301 \U0001F1E9\U0001F1EA"])
def test_nothing_to_do_is_fine(kernel, code):
    reply, messages = kernel.ok(code)
    assert types(messages) == ["execute_input"] and messages[1].content["code"] == code


@pytest.mark.parametrize("code", ["1", "let x = 1", "x = %echo a", "print('a')", "!ls", "%echo a\nnonsense", "{", "\u0000", "a\u0000b", "%%", "%echo a\n%%echo b"])
def test_what_is_not_understood(kernel, code):
    reply, messages = kernel.fails(code)
    assert types(messages)[-1] == "error"
    assert reply["ename"] and reply["evalue"] and any("magic" in line for line in reply["traceback"])


def test_nothing_runs_when_a_line_is_not_understood(kernel):
    _, messages = kernel.fails("%echo first\nnonsense")
    assert text(messages) == ""


def test_magics_run_in_order_and_stop_at_the_first_error(kernel):
    _, messages = kernel.fails("%echo one\n\n# comment\n%echo two\n%fail\n%echo three")
    assert text(messages) == "one\ntwo\n"


def test_stream_names(kernel):
    _, messages = kernel.ok("%echo out\n%echo --stderr err")
    assert text(messages) == "out\n" and text(messages, "stderr") == "err\n"


def test_all_output_before_idle(kernel):
    for _ in range(20):
        _, messages = kernel.ok("%echo line --repeat 2000")
        assert text(messages).count("line\n") == 2000


def test_streams_are_coalesced(kernel):
    _, messages = kernel.ok("%echo 0123456789012345678901234567890123456789 --repeat 10000")
    streams = [m for m in messages if m.type == "stream"]
    assert len(streams) < 60 and text(messages).count("\n") == 10000


def test_stream_is_flushed_while_the_cell_runs(kernel):
    header = kernel.request("execute_request", {"code": "%echo early\n%sleep 0.7"})
    message = kernel.receive("iopub")
    while message.type != "stream":
        message = kernel.receive("iopub", timeout=0.5)
    kernel.reply(header)
    kernel.published(header)


def test_stream_before_display(kernel):
    _, messages = kernel.ok("%echo before\n%display middle\n%echo after")
    assert types(messages) == ["execute_input", "stream", "display_data", "stream"]


def test_display_and_update(kernel):
    _, messages = kernel.ok("%display first --id plot\n%display second --id plot --update")
    assert types(messages) == ["execute_input", "display_data", "update_display_data"]
    for message, value in zip(messages[2:4], ("first", "second")):
        assert message.content["data"] == {"text/plain": value}
        assert message.content["transient"] == {"display_id": "plot"} and message.content["metadata"] == {}


def test_update_from_another_cell(kernel):
    kernel.ok("%display first --id other")
    _, messages = kernel.ok("%display second --id other --update")
    assert types(messages) == ["execute_input", "update_display_data"]


def test_execute_result(kernel):
    reply, messages = kernel.ok("%result forty two")
    result = messages[2]
    assert result.type == "execute_result" and result.content["execution_count"] == reply["execution_count"]
    assert result.content["data"]["text/plain"] == "forty two" and result.content["metadata"] == {}


def test_execute_result_at_most_once(kernel):
    _, messages = kernel.ok("%result one\n%result two")
    assert types(messages) == ["execute_input", "execute_result", "display_data"]


@pytest.mark.parametrize("wait", [False, True])
def test_clear_output(kernel, wait):
    _, messages = kernel.ok("%clear --wait" if wait else "%clear")
    assert messages[2].type == "clear_output" and messages[2].content == {"wait": wait}


def test_error_message_equals_reply(kernel):
    reply, messages = kernel.fails("%fail out of paper")
    error = messages[-2]
    assert error.type == "error"
    for key in ("ename", "evalue", "traceback"):
        assert error.content[key] == reply[key]
    assert reply["evalue"] == "out of paper" and isinstance(reply["execution_count"], int)


def test_nothing_after_error_but_idle(kernel):
    _, messages = kernel.fails("%echo a\n%fail")
    assert types(messages, statuses=True)[-2:] == ["error", "status"]


def test_traceback_points_at_the_word(kernel):
    reply, _ = kernel.fails("# first\n  %echo hi --colour red")
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in reply["traceback"]]
    place = next(i for i, line in enumerate(lines) if "line 2" in line)
    assert lines[place][lines[place + 1].index("^"):].startswith("--colour") and lines[place + 1].count("^") == len("--colour")


@pytest.mark.parametrize("code,words", [
    ("%ehco hi", ["%echo"]), ("%echo --sterr", ["--stderr"]), ("%echo --repeat 0", ["1", "1000000", "0"]), ("%echo --repeat 1e9", ["1e9"]),
    ("%echo --repeat x", ["whole number"]), ("%sleep", ["SECONDS"]), ("%sleep nan", ["number"]), ("%sleep inf", ["number"]), ("%sleep -1", ["-1"]),
    ("%echo 'open", ["never closed"]), ("%sleep 1 2", ["2"]), ("%echo --repeat", ["needs a value"]), ("%echo --repeat 1 --repeat 2", ["twice"]),
    ("%%sleep 1\nbody", ["lines below"]), ("%display a --update", ["--id"]), ("%help nonsense", ["nonsense"])])
def test_usage_errors_say_what_is_allowed(kernel, code, words):
    reply, messages = kernel.fails(code)
    shown = " ".join([reply["evalue"], *reply["traceback"]])
    assert all(word in shown for word in words), shown
    assert text(messages) == ""


def test_counter(kernel):
    first = kernel.ok("%echo a")[0]["execution_count"]
    assert kernel.fails("%fail")[0]["execution_count"] == first + 1
    reply, messages = kernel.ok("")
    assert reply["execution_count"] == first + 2 == messages[1].content["execution_count"]


def test_first_cell_is_one(fresh):
    assert fresh.ok("%echo a")[0]["execution_count"] == 1


def test_store_history_false_keeps_the_counter(kernel):
    before = kernel.ok("%echo a")[0]["execution_count"]
    reply, messages = kernel.ok("%echo b", store_history=False)
    assert reply["execution_count"] == before and messages[1].content["execution_count"] == before
    assert kernel.ok("%echo c")[0]["execution_count"] == before + 1


@pytest.mark.parametrize("code", ["%echo a", "%result a", "%display a", "%clear"])
def test_silent_publishes_status_only(kernel, code):
    before = kernel.ok("#")[0]["execution_count"]
    reply, messages = kernel.ok(code, silent=True, store_history=True)
    assert types(messages, statuses=True) == ["status", "status"] and reply["execution_count"] == before


def test_silent_error(kernel):
    reply, messages = kernel.fails("%fail", silent=True)
    assert types(messages, statuses=True) == ["status", "status"]


def test_only_code_is_needed(kernel):
    reply, _ = kernel.ask("execute_request", {"code": "%echo a"})
    assert reply.content["status"] == "ok"


@pytest.mark.parametrize("content", [{}, {"code": 1}, {"code": None}, {"code": ["a"]}, {"code": "", "silent": "yes"}, {"code": "", "user_expressions": []}])
def test_wrong_content_gets_an_error_reply(kernel, content):
    reply, messages = kernel.ask("execute_request", content)
    assert reply.content["status"] == "error" and reply.content["evalue"] and isinstance(reply.content["execution_count"], int)
    assert messages[0].content["execution_state"] == "busy"


def test_unknown_fields_are_ignored(kernel):
    reply, _ = kernel.ask("execute_request", {"code": "%echo a", "future": {"x": [1]}, "cell_id": 5})
    assert reply.content["status"] == "ok"


def test_user_expressions(kernel):
    reply, _ = kernel.ok("%echo a", user_expressions={"value": "%result 7", "printed": "%echo hi", "number": "1.5", "text": "'x'", "bad": "1/0", "worse": "%fail", "strange": 3})
    entries = reply["user_expressions"]
    assert entries["value"] == {"status": "ok", "data": {"text/plain": "7"}, "metadata": {}}
    assert entries["printed"]["data"]["text/plain"] == "hi" and entries["number"]["data"]["text/plain"] == "1.5" and entries["text"]["data"]["text/plain"] == "x"
    for name in ("bad", "worse", "strange"):
        assert entries[name]["status"] == "error" and entries[name]["ename"] and isinstance(entries[name]["traceback"], list)


def test_user_expressions_publish_nothing(kernel):
    _, messages = kernel.ok("", user_expressions={"a": "%echo a", "b": "%display b", "c": "%fail"})
    assert types(messages) == ["execute_input"]


def test_user_expressions_not_after_an_error(kernel):
    reply, _ = kernel.fails("%fail", user_expressions={"a": "1"})
    assert "user_expressions" not in reply or reply["user_expressions"] == {}


@pytest.mark.parametrize("code", ["%echo?", "?echo", "echo?", "%echo??", "??echo", "?%echo"])
def test_help_goes_to_the_pager(kernel, code):
    reply, _ = kernel.ok(code)
    assert reply["payload"][0]["source"] == "page" and "--stderr" in reply["payload"][0]["data"]["text/plain"]


def test_help_magic_shows_the_same(kernel):
    reply, _ = kernel.ok("%echo?")
    _, messages = kernel.ok("%help echo")
    assert messages[2].content["data"]["text/plain"] == reply["payload"][0]["data"]["text/plain"]


@pytest.mark.parametrize("code", ["%lsmagic", "%help", "%"])
def test_lists_of_magics(kernel, code):
    _, messages = kernel.ok(code)
    assert all(f"%{name}" in text(messages) for name in ("echo", "help", "lsmagic", "sleep"))


def test_cell_magic_body(kernel):
    _, messages = kernel.ok("\n# lead\n%%echo first\n  indented\n\n%not a magic\n# kept")
    assert text(messages) == "first\n  indented\n\n%not a magic\n# kept\n"


def test_line_continuation(kernel):
    _, messages = kernel.ok("%echo one \\\n   two \\\n --stderr\n%echo three")
    assert text(messages, "stderr") == "one two\n" and text(messages) == "three\n"


@pytest.mark.parametrize("code,printed", [
    ("%echo 'a  b'", "a  b"), ('%echo "a \\" b"', 'a " b'), ("%echo a\\ \\ b", "a  b"), ("%echo don't stop", "don't stop"), ("%echo -5 -1e-4", "-5 -1e-4"),
    ("%echo -- --stderr", "--stderr"), ("%echo '--stderr'", "--stderr"), ("%echo # no comment", "# no comment"), ("%echo --stderr=false a", "a"),
    ("%echo --no-stderr a", "a"), ("%echo 你好 \U0001F642", "你好 \U0001F642"), ("  %echo a", "a"), ("%echo\ta", "a"), ("%echo a\r\n", "a")])
def test_argument_grammar(kernel, code, printed):
    assert text(kernel.ok(code)[1]) == printed + "\n"


def test_code_with_null_is_not_cut(kernel):
    _, messages = kernel.ok("%echo a\u0000b")
    assert text(messages) == "a\u0000b\n"


def test_lone_surrogates_become_replacement_characters(kernel):
    header = kernel.header("execute_request")
    kernel.send_raw(kernel.frames(header, b'{"code": "%echo \\ud800 and \\udfff"}'))
    assert kernel.reply(header).content["status"] == "ok"
    assert text(kernel.published(header)) == "\ufffd and \ufffd\n"


def test_surrogate_pair(kernel):
    header = kernel.header("execute_request")
    kernel.send_raw(kernel.frames(header, b'{"code": "%echo \\ud83d\\ude42"}'))
    assert text(kernel.published(header)) == "\U0001F642\n"
    kernel.reply(header)


def test_parent_header_is_the_request_header(kernel):
    reply, messages = kernel.ask("execute_request", {"code": "%echo a"}, extra={"deep": [1, 2.50, None]}, **{"ünknown": "ö"})
    for message in [reply, *messages]:
        assert message.parent["extra"] == {"deep": [1, 2.5, None]} and message.parent["ünknown"] == "ö"


def test_parent_header_is_verbatim(kernel):
    header = b'{ "msg_id" : "v1",  "msg_type":"kernel_info_request" ,"session":"s","username":"u","version":"5.4","date":"2026-01-01T00:00:00Z","n":1.0,"big":1234567890123456789012,"e":"\\u00e9"}'
    kernel.send_raw(kernel.frames(header))
    reply = kernel.receive()
    assert reply.parts[1] == header and kernel.receive("iopub").parts[1] == header


def test_headers(kernel):
    reply, messages = kernel.execute("%echo a")
    everything = [reply, *messages]
    assert len({m.header["msg_id"] for m in everything}) == len(everything) and len({m.header["session"] for m in everything}) == 1
    for message in everything:
        assert set(message.header) >= {"msg_id", "session", "username", "date", "msg_type", "version"} and message.header["version"] == "5.5"
        assert datetime.fromisoformat(message.header["date"].replace("Z", "+00:00")).tzinfo is not None
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", message.header["date"])
        assert message.metadata == {}


def test_iopub_topic(kernel):
    header = kernel.request("execute_request", {"code": "%echo a"})
    for message in kernel.published(header):
        assert len(message.identities) == 1 and message.identities[0].endswith(message.type.encode())
    kernel.reply(header)


def test_long_output_and_long_code(kernel):
    word = "x" * 3_000_000
    _, messages = kernel.ok(f"%echo {word}")
    assert text(messages) == word + "\n"


def test_many_cells(kernel):
    headers = [kernel.request("execute_request", {"code": f"%echo {i}"}) for i in range(300)]
    replies = [kernel.receive() for _ in headers]
    assert [r.parent["msg_id"] for r in replies] == [h["msg_id"] for h in headers]
    numbers = [r.content["execution_count"] for r in replies]
    assert numbers == list(range(numbers[0], numbers[0] + 300))
    for header in headers:
        kernel.published(header)


def test_concurrent_history_and_help_do_not_disturb(kernel):
    headers = [kernel.request(kind, content) for _ in range(30) for kind, content in (
        ("execute_request", {"code": "%echo a"}), ("complete_request", {"code": "%e", "cursor_pos": 2}), ("history_request", {"hist_access_type": "tail", "n": 1}),
        ("is_complete_request", {"code": ""}))]
    assert [kernel.receive().parent["msg_id"] for _ in headers] == [h["msg_id"] for h in headers]
