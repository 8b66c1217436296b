"""What a layer costs: one record, one way of counting, one table of energies.

Counted is the work for one sample. Three sets of terms, which never share a name:

*The paper's terms*, the arithmetic that the weights ask for, whoever runs them:

- an *addition* adds an input (or a product of one) to the accumulator of an output. A filter of two
  values {a, b} adds the inputs under its mask: y = (b - a) * sum(mask * x) + a * box(x). Where a is
  not 0 (a background; the negative value of binary weights) the window's sum box(x) is needed once
  an output position, for all filters together. A ternary filter adds or subtracts the inputs of its
  non-zero weights. A dense filter adds a product for each weight.
- a *product* multiplies an input by a weight. Only dense filters have any.
- a *scaling* multiplies an accumulator by a factor: b - a for each region of a filter, a for each
  region whose background is not 0, and in a dense int8 layer the requantization of each output.

*Shared terms*, what is left when filters share tables of partial sums of g channels, in any engine
that does so (`sharing`): a *non-empty look-up* adds one entry to one output, in place of up to g
additions; a *table addition* makes an entry.

*The engine's terms*: an *engine look-up* is one permutation and addition in the kernels of this
package with tables in registers: every group of every tap, empty or not, in groups of the pattern's
m channels, or of 6 (int8) or 5 (float32) without a pattern, and for each of the two masks of a
ternary filter.

`energy` prices the paper's terms and the weights' way from memory.
"""

from tf_signbin.costs.energy import describe_energy
from tf_signbin.costs.record import DENSE, GROUP_CHANNELS, LayerFacts, totals
from tf_signbin.costs.sharing import GroupCost, SharingCosts, distinct_patterns, sharing_costs

__all__ = [
    "DENSE",
    "GROUP_CHANNELS",
    "GroupCost",
    "LayerFacts",
    "SharingCosts",
    "describe_energy",
    "distinct_patterns",
    "sharing_costs",
    "totals",
]
