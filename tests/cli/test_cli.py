"""The command line as a user meets it: help, exit codes, streams, JSON, completion."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tf_signbin.benchmark.layers import LayerShape
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.cli import COMMANDS, main
from tf_signbin.convert.rewrite import pack


def tool(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "tf_signbin", *arguments],
        capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


@pytest.fixture
def stock(tmp_path):
    path = tmp_path / "stock.tflite"
    path.write_bytes(LayerShape(6, 16, 16).model("int8", WeightSpec()))
    return path


@pytest.fixture
def packed(tmp_path, stock):
    path = tmp_path / "packed.tflite"
    path.write_bytes(pack(stock.read_bytes())[0])
    return path


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as info:
        main([command, "--help"])
    assert info.value.code == 0
    assert f"tf-signbin {command}" in capsys.readouterr().out.split("examples:")[1]


def test_top_level_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"  {name}" in text for name in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["inspect"], ["convert", "x.keras"]])
def test_wrong_usage_is_exit_code_2(arguments):
    with pytest.raises(SystemExit) as info:
        main(arguments)
    assert info.value.code == 2


def test_convert_inspect_verify(tmp_path, stock, capsys):
    output, report = tmp_path / "out.tflite", tmp_path / "report.json"
    arguments = ["convert", str(stock), "-o", str(output), "--strict", "--verify"]
    assert main([*arguments, "--json", str(report)]) == 0
    assert "1 of 1 layers packed" in capsys.readouterr().out
    assert json.loads(report.read_text())["layers"][0]["status"] == "packed"

    assert main(["inspect", str(output), "--json", "-"]) == 0
    (layer,) = json.loads(capsys.readouterr().out)["layers"]
    assert layer["kind"] == "two_valued"
    assert layer["density"] == pytest.approx(0.36, abs=0.01)

    samples = tmp_path / "samples.npy"
    np.save(samples, np.random.default_rng(0).integers(-128, 128, (3, 6, 6, 16)).astype(np.int8))
    assert main(["verify", str(stock), str(output), "--samples", str(samples)]) == 0
    assert "3 samples" in capsys.readouterr().out
    assert main(["verify", str(output)]) == 0


def test_verify_of_different_models_fails(tmp_path, stock, packed, capsys):
    model = LayerShape(6, 16, 16).model("int8", WeightSpec(), seed=1)
    stock.write_bytes(model)
    assert main(["verify", str(stock), str(packed)]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_failures_name_the_file_and_leave_no_output(tmp_path, capsys):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"TFL3 but not really")
    output = tmp_path / "out.tflite"
    assert main(["convert", str(broken), "-o", str(output)]) == 1
    assert "broken.tflite" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "none.keras"), "-o", str(output)]) == 1
    assert "none.keras: no such file" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "none.tflite")]) == 1
    assert not list(tmp_path.glob("*out*"))


def test_samples_are_never_unpickled(tmp_path, packed, capsys):
    samples = tmp_path / "samples.npy"
    np.save(samples, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert main(["verify", str(packed), "--samples", str(samples)]) == 1
    assert "samples.npy: not usable" in capsys.readouterr().err


def test_npz_samples_by_input_name(tmp_path, packed, capsys):
    values = np.zeros((2, 6, 6, 16), np.int8)
    samples = tmp_path / "samples.npz"
    np.savez(samples, t0=values)
    assert main(["verify", str(packed), "--samples", str(samples)]) == 0
    np.savez(samples, t0=values, other=values[:1])
    assert main(["verify", str(packed), "--samples", str(samples)]) == 1
    assert "different numbers of samples" in capsys.readouterr().err


def test_no_colours_when_piped(packed):
    result = tool("benchmark", "model", "--network", "resnet20", "--seconds", "0.01")
    assert result.returncode == 0, result.stderr
    assert "\x1b[" not in result.stdout + result.stderr


def test_a_closed_pipe_is_no_error(packed):
    command = f"{sys.executable} -m tf_signbin inspect {packed} | true"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in result.stderr


def test_doctor_finds_a_working_installation():
    result = tool("doctor", "--json", "-")
    findings = json.loads(result.stdout)
    assert result.returncode == 0, findings
    assert findings["ok"]
    assert findings["delegate"]["isas"][-1] == "portable"
    # Named as instruction sets, of which a view is the best.
    assert set(findings["views"]) <= set(findings["delegate"]["isas"])
    assert set(findings["self_test"].values()) == {"passed"}


def test_doctor_without_a_delegate(tmp_path):
    environment = {**os.environ, "TF_SIGNBIN_DELEGATE": str(tmp_path / "none.so")}
    result = tool("doctor", env=environment)
    assert result.returncode == 1
    assert "none.so" in result.stdout
    assert "NOT ready" in result.stdout


def test_train_help_imports_no_tensorflow():
    code = (
        "import sys; from tf_signbin.cli import make_parser; make_parser(['train']).format_help(); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--pattern=10:2"], "must be none or N:M"),
        (["--epochs=0"], "must be an integer of at least 1"),
        (["--model=vgg"], "invalid choice: 'vgg'"),
        (["--json=no/folder/x.json"], "there is no folder"),
    ],
)
def test_wrong_usage_of_train(flags, message, capsys):
    with pytest.raises(SystemExit) as info:
        main(["train", *flags])
    assert info.value.code == 2
    assert message in capsys.readouterr().err


def test_completion_as_json(capsys):
    assert main(["completion", "bash", "--json", "-"]) == 0
    words = json.loads(capsys.readouterr().out)
    assert set(words) == set(COMMANDS)
    assert {"flags": ["--pattern"], "choices": [], "takes_value": True}.items() <= next(
        option for option in words["train"]["options"] if option["flags"] == ["--pattern"]
    ).items()


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "m.tflite", "--json", "no/such/folder/x.json"],
        ["convert", "m.keras", "-o", "."],
        ["analyze", "7x7x64", "--plot", "x.gif"],
        ["analyze", "7x7x64", "--seconds", "0"],
        ["benchmark", "layers", "--seconds", "-1"],
        ["verify", "m.tflite", "--random", "0"],
        ["report", "m.tflite", "--threads", "none"],
    ],
)
def test_wrong_usage_is_noticed_before_any_work(arguments, capsys):
    with pytest.raises(SystemExit) as info:
        main(arguments)
    assert info.value.code == 2
    assert repr(arguments[-1]) in capsys.readouterr().err


def test_verify_of_no_samples_is_an_error(tmp_path, packed, capsys):
    samples = tmp_path / "none.npy"
    np.save(samples, np.zeros((0, 6, 6, 16), np.int8))
    assert main(["verify", str(packed), "--samples", str(samples)]) == 1
    assert "nothing was compared" in capsys.readouterr().err


def test_tables_are_never_cut_off(packed):
    result = tool("analyze", str(packed), "--seconds", "0.01", env={**os.environ, "COLUMNS": "40"})
    assert result.returncode == 0, result.stderr
    assert "\u2026" not in result.stdout
    assert "int8 energy/ours" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tf-signbin", "ver"], ["verify"]),
        (["tf-signbin", "benchmark", "--activations", ""], ["int8", "float32"]),
        (["tf-signbin", "convert", "--str"], ["--strict"]),
        (["tf-signbin", "completion", "z"], ["zsh"]),
        (["tf-signbin", "train", "--tensor"], ["--tensorboard"]),
        (["tf-signbin", "train", "--activations", ""], ["float32", "int8"]),
    ],
)
def test_bash_completion(words, expected, capsys, tmp_path):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    quoted = " ".join(f"'{word}'" for word in words)
    result = subprocess.run(
        ["bash", "-c", f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
         '_tf_signbin; printf "%s\\n" "${COMPREPLY[@]}"'],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert result.stdout.split() == expected


def test_fish_and_zsh_completion_name_every_command(capsys):
    for shell in ("fish", "zsh"):
        assert main(["completion", shell]) == 0
        text = capsys.readouterr().out
        assert all(name in text for name in COMMANDS)


@pytest.mark.slow
def test_train_writes_its_result(tmp_path):
    result = tool("train", "--epochs=1", "--width=0.25", f"--run_dir={tmp_path}", "--json=-")
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["file"] == str(tmp_path / "model.tflite")
    assert figures["predictions"] == 359
    assert 0 < figures["density"] < 1
