"""The README's table is what docs/results/*.json say."""

import importlib.util

from tests.docs.blocks import ROOT


def results():
    spec = importlib.util.spec_from_file_location("results", ROOT / "tools/results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_table_is_that_of_the_measurements():
    text = (ROOT / "README.md").read_text()
    assert "<!-- results:begin -->" in text
    assert results().with_table(text) == text, "run tools/results.py"


def test_every_result_is_kept():
    module = results()
    for name, command in module.COMMANDS.items():
        assert module.load(name)["command"] == command[1]
