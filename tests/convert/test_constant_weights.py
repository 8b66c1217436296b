"""The converter gets quantized weights as constants, however large the layer is.

It does not fold what makes far more bytes than it reads: with the quantizer in the graph, a Dense
of 4096 units on 7x7x512 stayed float, in a file of 822 MB instead of 13.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_signbin
from tf_signbin.convert.keras3 import keras3_function
from tf_signbin.convert.keras_models import keras2_function
from tf_signbin.train.constant_weights import constant_weights


def network(keras):
    layers = keras.layers
    stack = [layers.Conv2D(8, 3), layers.Flatten(), layers.Dense(6), layers.Dense(3)]
    return keras.Sequential([layers.InputLayer((6, 6, 2)), *stack])


@pytest.mark.parametrize(
    ("keras", "function"), [(keras, keras3_function), (tf_keras, keras2_function)]
)
def test_no_variable_of_a_quantizer_is_in_the_graph(keras, function):
    model = tf_signbin.quantize_model(network(keras), activations="int8", scale="learned")
    (kernel,) = tf_signbin.quantized_kernels(model)
    latent = tuple(kernel.latent.shape)
    plain = function(model)
    assert latent in read(plain)
    with constant_weights():
        constant = function(model)
    assert latent not in read(constant)
    image = np.random.default_rng(0).normal(size=(1, 6, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(result(constant, image), result(plain, image))


def read(function):
    """Shapes of the variables whose values the graph reads."""
    handles = {id(handle) for handle, _ in function.graph.captures}
    return {tuple(v.shape) for v in function.graph.variables if id(v.handle) in handles}


def result(function, image):
    value = function(tf.constant(image))
    return np.asarray(next(iter(value.values())) if isinstance(value, dict) else value)
