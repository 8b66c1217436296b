"""The mathematics and decisions of training, which know no framework.

Nothing here imports TensorFlow, tensorflow-model-optimization or a Keras. Arrays are handled by a
namespace `ops` that the caller hands in (`namespace.ArrayNamespace`, spelled as keras.ops): the
same code trains in Keras 2, in Keras 3 on any backend, and computes with NumPy in tests. Layers are
seen as `layers.LayerFacts`. A front end (keras2, keras3) reads the facts from its models, asks the
rules, and builds what they answer.
"""
