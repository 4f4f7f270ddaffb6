"""Texts of TOML with what Python's tomllib reads from them: toml/cases.json, read by Tests/TOMLTests."""
import datetime
import json
import math
import pathlib
import tomllib

VALID = [
    "", "\n\r\n\t \n", "# only a comment", "\ufeffa = 1", "a = 1", "a=1# c", "a = 1\r\nb = 2\r\n", "a\t=\t1\t", "1 = 2", "-_- = 1", "'' = 1", '"" = 1',
    '"a b" = 1', "'a\"b' = 1", '"\\u00e9" = 1', "a.b.c = 1", "a . b = 1\na.c = 2", "a.'b.c' = 1", "3.14 = 'pi'", "true = false", "inf = nan",
    "a = true", "a = false", "a = 0", "a = +0", "a = -0", "a = +99", "a = 1_000_000", "a = 0xdead_BEEF", "a = 0o017", "a = 0b0101", "a = 0x00",
    "a = 9223372036854775807", "a = -9223372036854775808", "a = 1.0", "a = +1.5", "a = -0.0", "a = 1e6", "a = 1E-02", "a = 6.626e-34", "a = 9_2.4_5e1_0",
    "a = 5e-05", "a = 1e999", "a = inf", "a = +inf", "a = -inf", "a = nan", "a = -nan", "a = 0e0", "a = 0.1e+0_1",
    "a = ''", 'a = ""', 'a = "\\b\\t\\n\\f\\r\\"\\\\"', 'a = "\\U0001F600"', "a = 'C:\\data\\n'", "a = 'tab\there'", 'a = """"""', "a = ''''''",
    'a = """\nx\r\ny"""', 'a = """x \\\n   \n  y"""', 'a = """x \\  \r\n y"""', 'a = """"x""""', 'a = """""x"""""', "a = '''''x'''''", "a = '''\n\n'''", 'a = """\\""""',
    'a = """a""b"""', "a = '''it''s'''", 'a = """\\\n"""', "a = 1979-05-27", "a = 07:32:00", "a = 07:32:00.5", "a = 1979-05-27T07:32:00", "a = 1979-05-27t07:32:00z",
    "a = 1979-05-27 07:32:00+01:30", "a = 2000-02-29", "a = 1979-05-27T00:32:00.999999-07:00", "a = 1979-05-27 # no time",
    "a = []", "a = [ ]", "a = [1,]", "a = [1, 'b', 2.5, true, []]", "a = [ # c\n 1 # d\n , # e\n 2, # f\n]", "a = [[1], [2, [3]]]", "a = [{}, {b = 1}]", "a = [\r\n1\r\n]",
    "a = {}", "a = { }", "a = { b = 1, c.d = 2, c.e = 3 }", "a = {b = {c = {}}}", "a = {b = [\n1,\n2]}", "a = {b = '''x\ny'''}",
    "[a]", "[ a . b ]", "[a]\n[b]", "[a.b]\nx = 1\n[a]\ny = 2", "['a.b'.\"c\"]", "[a] # c", "[a]\nb.c = 1\n[a.d]", "[[a]]\n[[a]]",
    "[[a]]\nb = 1\n[[a.c]]\n[[a.c]]\nd = 2\n[[a]]\n[a.c]", "[a.b.c]\n[a]\nb.x = 1", "[x.y.z.w]\n[x]", "[[a.b]]\n[a]", "[a]\n[a.b]\n[a.b.c]", "[general]\n[[datasets]]\n[[datasets.subsets]]\nimage_dir = 'x'",
]

INVALID = [
    "[[[a]]]", "[$x]", "a", "a =", "a = \n1", "= 1", "a = 1 b = 2", "a = 1,", "a.= 1", ".a = 1", "a..b = 1", "a b = 1", "a: 1", "é = 1", '"""a""" = 1', "'a = 1", '"a = 1', "a = 'b", 'a = "b',
    'a = "b\n"', "a = 'b\n'", 'a = """b', "a = '''b", 'a = "\\q"', 'a = "\\x41"', 'a = "\\u12"', 'a = "\\uD800"', 'a = "\\U00110000"', 'a = "\\', 'a = """\\ x"""', 'a = """x""""""', "a = '''x''''''",
    'a = "\u0000"', "a = '\u0001'", "# \u0007", "a = 1 # \u007f", "\u0000", "a = \u0000", "a = 1\r", "a = 1\rb = 2", "# c\r", "a = '''\r'''", "a = '''\u0008'''", "a = 1\ufeff",
    "a = cosine", "a = True", "a = FALSE", "a = None", "a = tru", "a = truee", "a = 00", "a = 01", "a = +01", "a = -01.5", "a = 1_", "a = _1", "a = 1__0", "a = 1_.0", "a = .5", "a = 5.", "a = 5.e1",
    "a = 1e", "a = 1e+", "a = 1e5_", "a = 1e1.5", "a = 1.2.3", "a = ++1", "a = +-1", "a = 0x", "a = 0xg", "a = 0X1", "a = +0x1", "a = 0b2", "a = 0o8", "a = 0x_1", "a = Inf", "a = in", "a = NaN", "a = +true",
    "a = 1979-13-01", "a = 1979-00-01", "a = 1979-02-30", "a = 1900-02-29", "a = 1979-5-27",
    "a = 24:00:00", "a = 12:60:00", "a = 12:30", "a = 12:30:61", "a = 12:30:00.", "a = 1979-05-27T", "a = 1979-05-27X07:32:00", "a = 1979-05-27T07:32:00+25:00", "a = 1979-05-27T07:32", "a = 07:32:00Z",
    "a = [", "a = [1", "a = [1 2]", "a = [,]", "a = [1,,2]", "a = ]", "a = [1]]", "a = {", "a = {b = 1", "a = {b = 1,}", "a = {,}", "a = {b = 1 c = 2}", "a = {\nb = 1}", "a = {b = 1\n}", "a = {b}", "a = {b = 1, b = 2}",
    "a = {b.c = 1, b = 2}", "a = {b = {c = 1}, b.d = 2}", "{a = 1}", "a = 1\na = 2", "a = 1\n'a' = 2", "a = 1\na.b = 2", "a.b = 1\na = 2", "a = {}\na.b = 1", "a = {}\n[a]", "a = {}\n[a.b]", "a = []\n[[a]]", "a = 1\n[a]", "a = 1\n[a.b]",
    "[]", "[ ]", "[a", "[a]]", "[[a]", "[ [a]]", "[[a] ]", "[a.]", "[.a]", "[a..b]", "[a] b = 1", "[a]\n[a]", "[a.b]\n[a]\n[a]", "[a]\n[[a]]", "[[a]]\n[a]", "a.b = 1\n[a]", "[a]\nb.c = 1\n[a.b]", "[a.b]\nx = 1\n[a]\nb.y = 2",
    "[[a]]\n[[a.b]]\n[a.b]", "[a.b]\n[a]\nb = 1", "[[a.b]]\n[a]\nb.c = 1", "[a]\n[b]\n[a]", "[a'b]", '["a]', "[a\n]", "[a] ]",
]

# The specification wants an error for whole numbers outside 64 bits; Python's have no end.
TOO_LARGE = ["a = 9223372036854775808", "a = -9223372036854775809", "a = 99999999999999999999", "a = 0xFFFFFFFFFFFFFFFF"]


def typed(value):
    """A value with its type, as one JSON array."""
    match value:
        case bool(): return ["boolean", value]
        case str(): return ["string", value]
        case int(): return ["integer", str(value)]
        case float(): return ["float", "nan" if math.isnan(value) else str(value)]
        case list(): return ["array", [typed(element) for element in value]]
        case dict(): return ["table", [[key, typed(element)] for key, element in value.items()]]
        case datetime.date() | datetime.time(): return ["date-time", value.isoformat()]
    raise TypeError(value)


def main():
    cases = [{"text": text, "value": typed(tomllib.loads(text.removeprefix("\ufeff")))} for text in VALID]
    for text in INVALID:
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            cases.append({"text": text})
        else:
            raise AssertionError(f"tomllib reads {text!r}")
    cases += [{"text": text} for text in TOO_LARGE]
    path = pathlib.Path(__file__).parent / "toml" / "cases.json"
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(f"{len(VALID)} valid and {len(INVALID) + len(TOO_LARGE)} invalid texts")


if __name__ == "__main__":
    main()
