"""The repetition-sparsity trade-off of a model or of a synthetic layer.

Quantization makes weights repeat, so that partial sums can be shared between filters; sparsity
leaves work out; each costs some of the other. `layer_costs` counts what is left per output.
"""

from tf_signbin.analyze.cost import GroupCost, LayerCosts, layer_costs
from tf_signbin.analyze.energy import Energy, dense_energy, layer_energy

__all__ = ["Energy", "GroupCost", "LayerCosts", "dense_energy", "layer_costs", "layer_energy"]
