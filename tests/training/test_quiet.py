"""Nothing reaches the console that its reader cannot act on, and nothing else is lost."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

from tf_signbin.quiet import quiet

NOTE = b"W0000 00:00:1700000000.123456    4242 tf_tfl_flatbuffer_helpers.cc:365] Ignored output.\n"


def test_notes_go_and_the_rest_stays(capfd):
    with quiet():
        os.write(2, NOTE + b"E0000 00:00:1700000000.123456 4242 x.cc:1] an error\n" + NOTE)
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        os.write(2, b"the program's own\n")
    assert capfd.readouterr().err == (
        "E0000 00:00:1700000000.123456 4242 x.cc:1] an error\nthe program's own\n"
    )
    os.write(2, NOTE)
    assert capfd.readouterr().err == NOTE.decode(), "behind the block nothing is filtered"


def test_logging_and_warnings_are_as_before(caplog):
    logger = logging.getLogger("absl")
    before = (logger.level, list(logger.filters), list(warnings.filters))
    with quiet():
        logger.warning("a note")
        logger.error("an error")
        logging.getLogger("mine").warning("mine")
        with pytest.warns(UserWarning, match="of the program"):
            warnings.warn("of the program", UserWarning, stacklevel=1)
    assert [record.message for record in caplog.records] == ["an error", "mine"]
    assert (logger.level, list(logger.filters), list(warnings.filters)) == before


def test_the_export_of_a_subclassed_keras_3_model_prints_nothing(capfd):
    keras = pytest.importorskip("keras", minversion="3")
    import tf_signbin

    class Model(keras.Model):
        def call(self, inputs):
            return inputs * 2.0

    model = Model()
    model(np.ones((1, 2), np.float32))
    assert keras.config.is_interactive_logging_enabled()
    assert tf_signbin.convert(model)
    assert capfd.readouterr() == ("", "")
    assert keras.config.is_interactive_logging_enabled()


def test_an_exception_passes_and_keeps_what_was_written(capfd):
    def fail():
        with quiet():
            os.write(2, b"what happened\n")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert capfd.readouterr().err == "what happened\n"


# `make demo` with few epochs of narrow networks and short measurements.
_DEMO = """
import dataclasses, os, sys
from tf_signbin import cli
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # as cli.main does, before TensorFlow is imported
from tf_signbin.training import demo
demo.RECIPE = dataclasses.replace(demo.RECIPE, epochs=demo.EARLY)
demo.INT8_RECIPE = dataclasses.replace(demo.INT8_RECIPE, epochs=1)
demo.WIDTH, demo.SEEDS, demo.LAYER_SECONDS = 0.25, (0, ), 0.02
sys.exit(cli.main(["train", "--demo", f"--out={sys.argv[1]}"]))
"""


@pytest.mark.slow
def test_the_demo_prints_nothing_but_its_results(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    result = subprocess.run(
        [sys.executable, "-c", _DEMO, str(tmp_path)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    printed = (result.stdout + result.stderr).splitlines()
    noise = re.compile(r"warn|retrac|^[IWE]\d{4} |^INFO|absl|tensorflow|deprecat", re.IGNORECASE)
    assert [line for line in printed if noise.search(line)] == []
    layers = result.stdout.partition("3x3 layers on this machine")[2]
    assert re.findall(r"^ *(\d+x\d+x\d+) ", layers, re.MULTILINE) == [
        "56x56x64", "28x28x128", "14x14x256", "7x7x512",
    ]  # fmt: skip
    assert {path.suffix for path in tmp_path.iterdir()} == {".tflite", ".png"}
