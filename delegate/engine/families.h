// The kernel families the planner chooses from. Each family lives in its own folder under kernels/
// and is seen by the rest of the engine only through this table.
#ifndef TF_SIGNBIN_ENGINE_FAMILIES_H_
#define TF_SIGNBIN_ENGINE_FAMILIES_H_

#include <functional>
#include <memory>
#include <vector>

#include "engine/kernel.h"
#include "engine/target.h"

namespace tf_signbin {

// What the user's options leave to choose from.
struct OfferRequest {
  std::vector<Isa> isas;  // that the target runs, best first
  int group = 0;          // PlanOptions::group
};

// A plan for a problem: what it costs and how to make its kernel.
struct Offer {
  Isa isa;         // whose kernels it uses
  double cost_ns;  // predicted time of one Run on one thread, from the family's cost model
  // `profile`: the kernel measures StageTimes. Throws std::bad_alloc when memory runs out.
  std::function<std::unique_ptr<ConvKernel>(int threads, bool profile)> make;
};

struct KernelFamily {
  const char* name;  // PlanOptions::family
  bool has_groups;   // whether it looks up groups of channels; else OfferRequest::group is 0
  // At most one plan for each of the request's instruction sets, in their order; none where the
  // family cannot run the problem. `problem` may go once it returned, not what it points to.
  std::vector<Offer> (*offers)(const ConvProblem& problem, const OfferRequest& request);
};

// For example kTableFamily: declared for every processor, defined where registry.bzl says.
#define TF_SIGNBIN_FAMILY(processors, name, id) extern const KernelFamily id;
#include "engine/kernels/registry.bzl"

// Those that this build has, in the order of registry.bzl.
const std::vector<const KernelFamily*>& KernelFamilies();

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_FAMILIES_H_
