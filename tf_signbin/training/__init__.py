"""Training runs: networks, datasets, recipes, and the run that `tf-signbin train` starts.

`tf_signbin.train` quantizes any Keras model; this package is one way to train with it, on image
classification. `choices` needs nothing but Python, the other modules TensorFlow.
"""
