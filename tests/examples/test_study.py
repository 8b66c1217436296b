"""The co-design study on invented results: figures, verdicts, resumption."""

from __future__ import annotations

import json

import pytest
from lab.study import measure, points, report, train

from tf_signbin.training import datasets, fit, tables
from tf_signbin.training.methods import Method
from tf_signbin.training.progress import RunProgress
from tf_signbin.training.recipes import Recipe

POINTS = [points.Point(points.GLYPHS, m, 2.0) for m in points.MAIN]


def _write(out, accuracy, layers_us):
    """Results of three seeds a point: accuracy ± 0.01, and latencies."""
    latency = {}
    for point in POINTS:
        name = point.method.label
        for seed, shift in enumerate((-0.01, 0.0, 0.01)):
            folder = train.folder_of(out, point, seed)
            folder.mkdir(parents=True)
            result = {
                "accuracy_teacher": 0.73,
                "accuracy_tflite": accuracy[name] + shift,
                "effectual": 20,
                "total": 100,
                "file_bytes": 2048,
                "energy_nj": 3000.0,
            }
            (folder / train.RESULT).write_text(json.dumps(result))
        dense = point.method.weights == "full_precision"
        key = measure.dense_key(point) if dense else point.key
        us = {str(scale): layers_us[name] for scale in measure.IMAGE_SCALES}
        latency[key] = {"network_us": 1.0, "layers_us": us, "kernels": {}}
    (out / "latency.json").write_text(json.dumps(latency))


ACCURACY = {
    "full precision": 0.74,
    "binary": 0.75,
    "signed-binary centered 3 of 7": 0.748,
    "signed-binary centered 2 of 10": 0.745,
}
TIME = {
    "full precision": 100.0,
    "binary": 60.0,
    "signed-binary centered 3 of 7": 50.0,
    "signed-binary centered 2 of 10": 40.0,
}


class TestReport:
    def test_figures(self, tmp_path):
        _write(tmp_path, ACCURACY, TIME)
        (rows,) = report.collect(POINTS, (0, 1, 2), tmp_path).values()
        assert [r.point for r in rows] == POINTS
        last = dict(zip(report.HEADER, rows[-1].cells(), strict=True))
        assert last["int8 .tflite %"] == "74.5 ± 1.0"
        assert last["to binary"] == "-0.5"
        assert last["density"] == "0.20"
        assert last["vs binary"] == "1.50x"
        assert last["vs XNNPACK int8"] == "2.50x"

    @pytest.mark.parametrize(
        ("accuracy", "time", "expected"),
        [
            ({}, {}, ["yes", "yes", "yes"]),
            ({"signed-binary centered 3 of 7": 0.744}, {}, ["no", "yes", "yes"]),
            ({"signed-binary centered 2 of 10": 0.73}, {}, ["yes", "no", "yes"]),
            ({}, {"signed-binary centered 2 of 10": 59.0}, ["yes", "no", "yes"]),
            ({"full precision": 0.80}, {}, ["yes", "yes", "no"]),
        ],
    )
    def test_targets(self, tmp_path, accuracy, time, expected):
        _write(tmp_path, {**ACCURACY, **accuracy}, {**TIME, **time})
        (rows,) = report.collect(POINTS, (0, 1, 2), tmp_path).values()
        assert [holds for _, holds, _ in report.targets(rows, 1)] == expected

    def test_written_files(self, tmp_path):
        _write(tmp_path / "runs", ACCURACY, TIME)
        groups = report.collect(POINTS, (0, 1, 2), tmp_path / "runs")
        text = report.write(groups, tmp_path / "report").read_text()
        assert "| signed-binary centered 2 of 10 | 73.0 ± 0.0 | 74.5 ± 1.0 |" in text
        assert (tmp_path / "report" / "glyphs-w2.png").stat().st_size > 10_000
        stored = json.loads((tmp_path / "report" / "results.json").read_text())
        assert len(stored["points"]) == len(POINTS)

    def test_nothing_measured(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no measurements"):
            report.collect(POINTS, (0,), tmp_path)


def test_keys_are_unique():
    study = points.full_study()
    assert len({p.key for p in study}) == len(study)


def test_mean_std():
    assert tables.mean_std([1.0, 2.0, 3.0]) == "2.0 ± 1.0"
    assert tables.mean_std([1.25], 2) == "1.25"


@pytest.mark.slow
def test_study_trains_measures_and_resumes(tmp_path, monkeypatch):
    """Two methods, one epoch each, from data to report; the second call trains nothing."""
    short = Recipe(1, 64, "adam", 0.01, "cosine")
    task = points.Task("test", "digits", "resnet8", 1, short, short)
    study = [points.Point(task, m, 0.5) for m in (Method("full_precision"), Method("binary"),
                                                  points.CENTERED_2_OF_10)]  # fmt: skip
    data = datasets.load("digits")
    for _ in range(2):
        with RunProgress(10) as progress:
            train.train_teacher(study[0], 0, data, tmp_path, progress)
            for point in study:
                train.run(point, 0, data, tmp_path, progress)
        monkeypatch.setattr(fit, "train", None)
    for point in study:
        result = train.read_result(train.folder_of(tmp_path, point, 0))
        assert result["predictions_equal"] > 0.98
        assert abs(result["accuracy_tflite"] - result["accuracy_keras"]) < 0.02
    latency = measure.measure(study, 0, tmp_path, seconds=0.05)
    for values in latency.values():
        assert values["network_us"] > 0
        assert values["layers_us"]["1"] < values["layers_us"]["4"]
    (rows,) = report.collect(study, (0,), tmp_path).values()
    assert len(rows) == 3


def test_random_filters_are_measured_without_training():
    """Every network, and XNNPACK on the same shapes, at each image size."""
    study = [points.Point(points.DIGITS, m, 0.5) for m in points.MAIN]
    times = measure.measure_random(study, seconds=0.01)
    keys = {measure.dense_key(study[0]), *(p.key for p in study[1:])}
    assert set(times) == keys
    for us in times.values():
        assert list(us) == list(measure.IMAGE_SCALES)
        assert us[4] > us[1] > 0
