"""The repetition-sparsity trade-off of a model or of a synthetic layer.

Quantization makes weights repeat, so that partial sums can be shared between filters; sparsity
leaves work out; each costs some of the other. `tf_signbin.costs` counts what is left.
"""
