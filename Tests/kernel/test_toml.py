"""What stands below %%train and %%dataset: any text is answered, none ends the kernel."""
import pytest


@pytest.mark.parametrize("body, said", [
    ("[[[a]]]", "line 2, column 3"), ("[$x]", "found “$”"), ("learning_rate = cosine", "text stands in quotes"), ("a = " + "[" * 100_000, "100 deep"),
    ("a" + ".a" * 200_000 + " = 1", "100 deep"), ("a = 1\u0000", "U+0000"), ("rank = 4\nrank = 8", "stands on line 2 already"), ("a = '''", "never closed"),
])
@pytest.mark.parametrize("magic", ["train", "dataset"])
def test_no_toml_ends_the_process(kernel, magic, body, said):
    reply, _ = kernel.fails(f"%%{magic}\n{body}")
    assert said in reply["evalue"] + " ".join(reply["traceback"])
