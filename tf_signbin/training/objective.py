"""The loss of a training run: labels or a teacher's distribution, plus weight decay."""

from __future__ import annotations

from typing import Any

from tf_signbin.training.keras import keras, tf


class Objective(keras.Model):
    """`model` with its loss; the layers are shared, so training this trains `model`.

    loss = CE(labels, softmax(logits))                    without a teacher
         = KL(softmax(teacher logits) || softmax(logits)) with one (temperature 1)
         + weight_decay / 2 * sum of squares of all trained variables

    The teacher runs in inference mode and is not trained.
    """

    def __init__(self, model: Any, weight_decay: float = 0.0, teacher: Any = None):
        super().__init__(model.inputs, model.outputs, name=model.name)
        self._weight_decay = weight_decay
        # Behind a function, which Keras does not look into: the teacher is no part of this model.
        self._teach = teacher and (lambda x: teacher(x, training=False))

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing: model and metrics have their variables. Under a strategy Keras would add up the
        replicas' shares of a first batch to build them, which fails for unequal shares and for
        workers."""

    def train_step(self, data: Any) -> Any:
        return _for_workers(super().train_step(data))

    def test_step(self, data: Any) -> Any:
        return _for_workers(super().test_step(data))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        del sample_weight, training
        logits = tf.cast(y_pred, tf.float32)
        if self._teach is None:
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        else:
            target = tf.stop_gradient(tf.cast(self._teach(x), tf.float32))
            wanted = tf.nn.softmax(target)
            each = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
            # Minus the teacher's entropy, so that 0 means equal.
            each -= tf.nn.softmax_cross_entropy_with_logits(wanted, target)
        loss = tf.reduce_mean(each)
        if self._weight_decay:
            squares = [tf.nn.l2_loss(tf.cast(w, tf.float32)) for w in self.trainable_variables]
            loss += self._weight_decay * tf.add_n(squares)
        # Keras sums losses over replicas; with the mean over each replica's equal share of the
        # batch this is the mean over the whole batch.
        return loss / tf.distribute.get_strategy().num_replicas_in_sync


def _for_workers(logs: dict[str, Any]) -> dict[str, Any]:
    """Metrics as Keras can take their mean over workers: along the first axis."""
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return logs
    return {name: tf.reshape(value, (1,)) for name, value in logs.items()}
