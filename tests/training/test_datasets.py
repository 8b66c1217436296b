"""Datasets: generated ones, and loaders on small files in the true formats."""

from __future__ import annotations

import gzip
import pickle
import struct
from typing import ClassVar

import numpy as np
import pytest

from tf_signbin.training import datasets
from tf_signbin.training.datasets import array_pickle, glyphs, tfrecords
from tf_signbin.training.datasets.base import DatasetError, repeat_epochs
from tf_signbin.training.keras import tf


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_digits_are_split_without_overlap():
    data = datasets.load("digits")
    assert (data.train_size, data.test_size, data.image_shape) == (1438, 359, (8, 8, 1))
    assert data.train_images.max() == 255
    assert data.train_images.min() == 0
    assert sorted(set(data.test_labels)) == list(range(10))


class TestGlyphs:
    @pytest.mark.parametrize("side", [16, 24, 32])
    def test_shape_type_and_classes(self, side):
        images, labels = glyphs.make(700, seed=1, image_size=side)
        assert images.shape == (700, side, side, 1)
        assert images.dtype == np.uint8
        assert labels.min() == 0
        assert labels.max() == 44
        assert 20 < images.mean() < 120
        assert images.std() > 20

    def test_larger_set_begins_with_the_smaller(self):
        small, small_labels = glyphs.make(30, seed=5)
        large, large_labels = glyphs.make(1100, seed=5)
        np.testing.assert_array_equal(large[:30], small)
        np.testing.assert_array_equal(large_labels[:30], small_labels)

    def test_seed_and_cache(self, monkeypatch):
        first, _ = glyphs.make(20, seed=1)
        assert not np.array_equal(first, glyphs.make(20, seed=2)[0])
        # The second call must not draw anything.
        monkeypatch.setattr(glyphs, "_templates", None)
        again, _ = glyphs.make(20, seed=1)
        assert glyphs.fingerprint(again) == glyphs.fingerprint(first)

    def test_damaged_cache_is_made_again(self):
        first, _ = glyphs.make(20, seed=1)
        (file,) = datasets.glyphs.cache.cache_dir().glob("*.npz")
        file.write_bytes(file.read_bytes()[:100])
        np.testing.assert_array_equal(glyphs.make(20, seed=1)[0], first)

    def test_characters_can_be_told_apart_by_their_mean(self):
        """Matching with class means, without learning, is far above chance (1/45)."""
        images, labels = glyphs.make(6000, seed=1)
        test, test_labels = glyphs.make(500, seed=2)
        x, t = (a.reshape(len(a), -1) / 255.0 for a in (images, test))
        x, t = (a - a.mean(1, keepdims=True) for a in (x, t))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        means = np.stack([x[labels == c].mean(0) for c in range(45)])
        scores = t @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
        assert (scores.argmax(1) == test_labels).mean() > 0.07

    def test_too_small(self):
        with pytest.raises(DatasetError, match="at least 16"):
            glyphs.make(1, 1, 8)


class TestOrder:
    def test_every_image_once_and_another_order_each_epoch(self):
        images = np.arange(96, dtype=np.uint8).reshape(96, 1, 1, 1)
        data = datasets.ArrayDataset(
            "count", images, np.arange(96, dtype=np.int32), images, np.zeros(96, np.int32), 96
        )
        batches = data.train_batches(32, seed=4, augment=None)
        epochs = [np.concatenate([y for _, y in batches(e).as_numpy_iterator()]) for e in (0, 1)]
        for order in epochs:
            assert sorted(order) == list(range(96))
        assert not np.array_equal(*epochs)
        joined = [y for _, y in repeat_epochs(batches, 1, 2).as_numpy_iterator()]
        np.testing.assert_array_equal(np.concatenate(joined), epochs[1])

    def test_pixels_stay_with_their_labels_and_are_normalised(self):
        images = np.arange(96, dtype=np.uint8).reshape(96, 1, 1, 1)
        data = datasets.ArrayDataset(
            "count", images, np.arange(96, dtype=np.int32), images, np.zeros(96, np.int32), 96
        )
        x, y = next(data.train_batches(96, 0, None)(0).as_numpy_iterator())
        np.testing.assert_allclose(x.ravel(), (y - y.mean()) / y.std(), atol=1e-3)

    def test_batch_larger_than_the_set(self):
        with pytest.raises(DatasetError, match="larger than the 1438 training images"):
            datasets.load("digits").train_batches(2000, 0, None)


class Python2Pickler(pickle._Pickler):
    """Writes str and bytes as Python 2's str, as the distributed CIFAR batches have them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def _cifar_python(path, rows, labels, key):
    with path.open("wb") as file:
        Python2Pickler(file, 2).dump({b"data": rows, key: labels, b"batch_label": b"x"})


class TestCifar:
    @pytest.mark.parametrize("form", ["binary", "python"])
    def test_cifar10(self, tmp_path, rng, form):
        rows = rng.integers(0, 256, (6, 4, 3072), dtype=np.uint8)
        labels = rng.integers(0, 10, (6, 4))
        for i, name in enumerate([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]):
            if form == "binary":
                records = np.concatenate([labels[i][:, None].astype(np.uint8), rows[i]], 1)
                (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
            else:
                _cifar_python(tmp_path / name, rows[i], labels[i].tolist(), b"labels")
        data = datasets.load("cifar10", tmp_path)
        assert data.train_images.shape == (20, 32, 32, 3)
        np.testing.assert_array_equal(data.train_labels, labels[:5].ravel())
        np.testing.assert_array_equal(data.test_labels, labels[5])
        # Pixel (row 1, column 2) of the green plane.
        assert data.test_images[3, 1, 2, 1] == rows[5, 3, 1024 + 34]

    @pytest.mark.parametrize("form", ["binary", "python"])
    def test_cifar100_uses_fine_labels(self, tmp_path, rng, form):
        rows = rng.integers(0, 256, (2, 5, 3072), dtype=np.uint8)
        fine = rng.integers(20, 100, (2, 5))
        for i, name in enumerate(["train", "test"]):
            if form == "binary":
                both = np.stack([fine[i] // 10, fine[i]], 1).astype(np.uint8)
                (tmp_path / f"{name}.bin").write_bytes(np.concatenate([both, rows[i]], 1).tobytes())
            else:
                _cifar_python(tmp_path / name, rows[i], fine[i].tolist(), b"fine_labels")
        data = datasets.load("cifar100", tmp_path)
        assert data.num_classes == 100
        np.testing.assert_array_equal(data.train_labels, fine[0])

    def test_truncated_binary(self, tmp_path):
        (tmp_path / "data_batch_1.bin").write_bytes(b"\0" * 5000)
        with pytest.raises(DatasetError, match=r"data_batch_1.bin: 5000 bytes.*truncated"):
            datasets.load("cifar10", tmp_path)

    def test_missing_file(self, tmp_path):
        with pytest.raises(DatasetError, match="data_batch_1 is missing"):
            datasets.load("cifar10", tmp_path)


class TestArrayPickle:
    @pytest.mark.parametrize("protocol", [0, 2, 4])
    @pytest.mark.parametrize("dtype", ["u1", "<i4", ">i4", "<f8"])
    def test_reads_what_pickle_wrote(self, tmp_path, rng, protocol, dtype):
        array = rng.integers(0, 100, (3, 5)).astype(dtype)
        for value in (array, np.asfortranarray(array)):
            (tmp_path / "f").write_bytes(pickle.dumps({b"a": value, b"n": [1, 2]}, protocol))
            content = array_pickle.load(tmp_path / "f")
            np.testing.assert_array_equal(content[b"a"], array)
            assert content[b"n"] == [1, 2]

    def test_nothing_in_the_file_is_called(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (exec, (f"open({str(tmp_path / 'owned')!r}, 'w')",))

        (tmp_path / "f").write_bytes(pickle.dumps({b"data": Evil()}, 2))
        with pytest.raises(DatasetError, match=r"names .*exec, which no array needs"):
            array_pickle.load(tmp_path / "f")
        assert not (tmp_path / "owned").exists()

    def test_object_arrays_are_refused(self, tmp_path):
        array = np.array([{}], dtype=object)
        (tmp_path / "f").write_bytes(pickle.dumps({b"data": array}, 2))
        with pytest.raises(DatasetError, match="type 'O"):
            array_pickle.load(tmp_path / "f")

    def test_damaged_files(self, tmp_path, rng):
        whole = pickle.dumps({b"data": np.zeros((4, 8), np.uint8)}, 2)
        for cut in range(0, len(whole) - 1, 7):
            (tmp_path / "f").write_bytes(whole[:cut])
            with pytest.raises(DatasetError, match="f: not a"):
                array_pickle.load(tmp_path / "f")
        for _ in range(200):
            damaged = bytearray(whole)
            damaged[rng.integers(len(whole))] = rng.integers(256)
            (tmp_path / "f").write_bytes(bytes(damaged))
            try:
                content = array_pickle.load(tmp_path / "f")
            except DatasetError:
                continue
            assert isinstance(content, dict)


class TestFashionMnist:
    @staticmethod
    def _write(folder, rng, compress=True):
        content = {}
        for part, n in (("train", 7), ("t10k", 3)):
            images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
            labels = rng.integers(0, 10, n, dtype=np.uint8)
            files = (
                ("images-idx3", struct.pack(">4B3I", 0, 0, 8, 3, n, 28, 28) + images.tobytes()),
                ("labels-idx1", struct.pack(">4BI", 0, 0, 8, 1, n) + labels.tobytes()),
            )
            for kind, data in files:
                path = folder / f"{part}-{kind}-ubyte{'.gz' if compress else ''}"
                path.write_bytes(gzip.compress(data) if compress else data)
            content[part] = images, labels
        return content

    @pytest.mark.parametrize("compress", [True, False])
    def test_reads(self, tmp_path, rng, compress):
        content = self._write(tmp_path, rng, compress)
        data = datasets.load("fashion_mnist", tmp_path)
        np.testing.assert_array_equal(data.train_images[..., 0], content["train"][0])
        np.testing.assert_array_equal(data.test_labels, content["t10k"][1])

    def test_truncated(self, tmp_path, rng):
        self._write(tmp_path, rng)
        path = tmp_path / "train-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-10]))
        with pytest.raises(DatasetError, match="truncated"):
            datasets.load("fashion_mnist", tmp_path)
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(DatasetError, match="cannot be read"):
            datasets.load("fashion_mnist", tmp_path)


def _jpeg(rng, level, height=40, width=50):
    noise = rng.integers(0, 20, (height, width, 3))
    return tf.io.encode_jpeg((noise + level).astype(np.uint8)).numpy()


class TestImageFolder:
    @staticmethod
    def _write(folder, rng):
        for part, n in (("train", 6), ("val", 3)):
            for label, name in enumerate(["cat", "dog"]):
                (folder / part / name).mkdir(parents=True)
                for i in range(n):
                    image = _jpeg(rng, 30 + 180 * label, 40 + i)
                    (folder / part / name / f"{i}.jpg").write_bytes(image)

    def test_labels_follow_the_folders(self, tmp_path, rng):
        self._write(tmp_path, rng)
        data = datasets.load("image_folder", tmp_path, image_size=24)
        assert (data.class_names, data.train_size, data.test_size) == (["cat", "dog"], 12, 6)
        seen = []
        for x, y in data.train_batches(4, seed=0, augment=None)(tf.constant(2, tf.int64)):
            assert x.shape == (4, 24, 24, 3)
            bright = tf.reduce_mean(x, (1, 2, 3)) > 0
            np.testing.assert_array_equal(bright, y == 1)
            seen.append(y)
        assert np.concatenate(seen).sum() == 6
        x, y = next(iter(data.test_batches(6)))
        np.testing.assert_array_equal(tf.reduce_mean(x, (1, 2, 3)) > 0, y == 1)

    def test_unknown_class_in_val(self, tmp_path, rng):
        self._write(tmp_path, rng)
        (tmp_path / "val" / "bird").mkdir()
        with pytest.raises(DatasetError, match="bird"):
            datasets.load("image_folder", tmp_path)


class TestTfRecords:
    @staticmethod
    def _write(folder, rng, labels):
        for part, shards in (("train", 3), ("validation", 1)):
            for shard in range(shards):
                path = folder / f"{part}-{shard:05d}-of-{shards:05d}"
                with tf.io.TFRecordWriter(str(path)) as writer:
                    for label in labels:
                        features = {
                            "image/encoded": tf.train.Feature(
                                bytes_list=tf.train.BytesList(value=[_jpeg(rng, 40 * label)])
                            ),
                            "image/class/label": tf.train.Feature(
                                int64_list=tf.train.Int64List(value=[label])
                            ),
                        }
                        example = tf.train.Example(features=tf.train.Features(feature=features))
                        writer.write(example.SerializeToString())

    def test_counts_and_labels_from_one(self, tmp_path, rng):
        self._write(tmp_path, rng, [1, 2, 3, 4])
        data = datasets.load("tfrecords", tmp_path, image_size=16)
        assert (data.train_size, data.test_size, data.num_classes) == (12, 4, 1000)
        batches = data.train_batches(4, seed=1, augment=None)
        orders = []
        for epoch in (0, 1, 0):
            labels = np.concatenate([y for _, y in batches(tf.constant(epoch, tf.int64))])
            assert sorted(labels) == sorted([0, 1, 2, 3] * 3)
            orders.append(labels.tolist())
        assert orders[0] == orders[2] != orders[1]

    def test_label_beyond_labels_txt(self, tmp_path, rng):
        self._write(tmp_path, rng, [1, 3])
        (tmp_path / "labels.txt").write_text("one\ntwo\n")
        data = datasets.load("tfrecords", tmp_path, image_size=16)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"outside 1 \.\.\. 2"):
            list(data.test_batches(2))

    def test_truncated_file(self, tmp_path, rng):
        self._write(tmp_path, rng, [1, 2])
        path = tmp_path / "train-00001-of-00003"
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(DatasetError, match="train-00001-of-00003: truncated after 1 records"):
            datasets.load("tfrecords", tmp_path)
        assert tfrecords.count_records(tmp_path / "train-00000-of-00003") == 2


def test_unknown_name_and_missing_folder(tmp_path):
    with pytest.raises(DatasetError, match="choose one of digits, glyphs"):
        datasets.load("mnist")
    with pytest.raises(DatasetError, match="--data_dir"):
        datasets.load("cifar10")
    with pytest.raises(DatasetError, match="is not a folder"):
        datasets.load("cifar10", tmp_path / "none")
