"""Tab and Shift-Tab: positions are code points, paths are real, nothing is out of range."""
import os

import pytest


def complete(kernel, code, cursor=None):
    cursor = len(code) if cursor is None else cursor
    reply, _ = kernel.ask("complete_request", {"code": code, "cursor_pos": cursor})
    content = reply.content
    assert content["status"] == "ok" and 0 <= content["cursor_start"] <= content["cursor_end"] <= len(code)
    kinds = content["metadata"]["_jupyter_types_experimental"]
    assert [k["text"] for k in kinds] == content["matches"] and all(k["type"] and k["start"] == content["cursor_start"] for k in kinds)
    return content


@pytest.mark.parametrize("code,match,start", [("%ec", "%echo", 0), ("%", "%lsmagic", 0), ("%%ec", "%%echo", 0), ("# c\n%sl", "%sleep", 4), ("  %ec", "%echo", 2),
                                            ("ech", "%echo", 0), ("%echo --st", "--stderr", 6), ("%help ec", "echo", 6), ("%echo a \\\n --st", "--stderr", 11),
                                            ("%echo --stderr=f", "false", 15), ("?ech", "?echo", 0)])
def test_matches(kernel, code, match, start):
    content = complete(kernel, code)
    assert match in content["matches"] and content["cursor_start"] == start and content["cursor_end"] == len(code)


@pytest.mark.parametrize("code", ["let x = ", "# %ec", "%%echo\n%ec", "%nonsense --x", "%echo --zzz", "", "\n"])
def test_nothing_to_offer(kernel, code):
    content = complete(kernel, code)
    if content["matches"]:
        assert code.strip() == ""
    else:
        assert content["cursor_start"] == content["cursor_end"] == len(code)


def test_the_whole_option_is_replaced(kernel):
    content = complete(kernel, "%echo --stde hello", 10)
    assert (content["cursor_start"], content["cursor_end"]) == (6, 12) and content["matches"] == ["--stderr"]


@pytest.mark.parametrize("lead", ["# \U0001F642", "# e\u0301", "# \U0001F1E9\U0001F1EA", "# 你好"])
def test_positions_count_code_points(kernel, lead):
    code = lead + "\n%ec"
    content = complete(kernel, code)
    assert content["matches"] == ["%echo"] and content["cursor_start"] == len(lead) + 1


@pytest.mark.parametrize("kind", ["complete_request", "inspect_request"])
@pytest.mark.parametrize("cursor", [-1, -10**12, 4, 5, 10**9, 2**62, 3.0, None])
def test_positions_out_of_range_are_answered(kernel, kind, cursor):
    reply, _ = kernel.ask(kind, {"code": "%ec", "cursor_pos": cursor})
    assert reply.content["status"] == "ok"


def test_cursor_pos_may_be_missing(kernel):
    assert kernel.ask("complete_request", {"code": "%ec"})[0].content["matches"] == ["%echo"]


@pytest.mark.parametrize("cursor", range(0, 12))
def test_every_position_of_strange_text(kernel, cursor):
    code = "%e\u0301 \U0001F642\n--'\\"
    kernel.ask("complete_request", {"code": code, "cursor_pos": cursor})
    assert kernel.ask("inspect_request", {"code": code, "cursor_pos": cursor, "detail_level": 0})[0].content["status"] == "ok"


def test_used_options_are_not_offered_again(kernel):
    assert "--stderr" not in complete(kernel, "%echo --stderr --")["matches"]


@pytest.mark.parametrize("code,cursor", [("%echo", 2), ("%echo", 5), ("%echo hello", 8), ("?echo", 5), ("echo", 4), ("# x\n%echo", 7), ("%echo(", 6)])
@pytest.mark.parametrize("level", [0, 1])
def test_inspect_magic(kernel, code, cursor, level):
    content = kernel.ask("inspect_request", {"code": code, "cursor_pos": cursor, "detail_level": level})[0].content
    assert content["found"] is True and "--stderr" in content["data"]["text/plain"] and content["data"]["text/markdown"] and content["metadata"] == {}


def test_inspect_option(kernel):
    content = kernel.ask("inspect_request", {"code": "%echo --repeat 3", "cursor_pos": 10, "detail_level": 0})[0].content
    assert content["found"] and content["data"]["text/plain"].startswith("--repeat") and "1000000" in content["data"]["text/plain"]


@pytest.mark.parametrize("code", ["", "nonsense", "%nonsense", "# echo", "%%echo\nbody"])
def test_inspect_nothing(kernel, code):
    content = kernel.ask("inspect_request", {"code": code, "cursor_pos": len(code), "detail_level": 0})[0].content
    assert content["found"] is False and content["data"] == {} and content["status"] == "ok"


def test_inspect_shows_what_help_shows(kernel):
    plain = kernel.ask("inspect_request", {"code": "%sleep", "cursor_pos": 3})[0].content["data"]["text/plain"]
    assert kernel.ok("%sleep?")[0]["payload"][0]["data"]["text/plain"] == plain
