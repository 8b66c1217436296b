#include "engine/planner.h"

#include <algorithm>
#include <string>

namespace tf_signbin {
namespace {

std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::vector<std::string> FamilyNames() {
  std::vector<std::string> names;
  for (const KernelFamily* family : KernelFamilies()) names.push_back(family->name);
  return names;
}

// Whether the geometry is one that specialised kernels lay tables out for. A model file may ask for
// a stride or dilation of a million; the reference kernel's effort does not depend on them.
bool IsOrdinary(const ConvShape& s) {
  constexpr int kMaxStride = 64;
  constexpr int64_t kMaxSpan = 1024;
  return s.stride_h <= kMaxStride && s.stride_w <= kMaxStride &&
         (int64_t{s.kernel_h} - 1) * s.dilation_h <= kMaxSpan &&
         (int64_t{s.kernel_w} - 1) * s.dilation_w <= kMaxSpan;
}

}  // namespace

const std::vector<const KernelFamily*>& KernelFamilies() {
  static const std::vector<const KernelFamily*> families = {
#ifdef TF_SIGNBIN_HAVE_PERMUTE
      &kPermuteFamily,
#endif
#ifdef TF_SIGNBIN_HAVE_DENSE
      &kDenseFamily,
#endif
#ifdef TF_SIGNBIN_HAVE_GEMM
      &kGemmFamily,
#endif
#ifdef TF_SIGNBIN_HAVE_TABLE
      &kTableFamily,
#endif
      &kReferenceFamily,
  };
  return families;
}

Status CheckPlanOptions(const PlanOptions& options) {
  const auto& isas = SupportedIsas();
  if (options.isa != "auto" && std::find(isas.begin(), isas.end(), options.isa) == isas.end()) {
    return Status::Error("isa '" + options.isa +
                         "' is not available; this CPU and build offer: auto, " + Join(isas));
  }
  const std::vector<std::string> families = FamilyNames();
  if (options.family != "auto" &&
      std::find(families.begin(), families.end(), options.family) == families.end()) {
    return Status::Error("kernel '" + options.family +
                         "' is not available; this build offers: auto, " + Join(families));
  }
  if (options.group < 0) {
    return Status::Error("group is " + std::to_string(options.group) +
                         "; it must be 0 (planned) or a number of channels");
  }
  return Status::Ok();
}

std::vector<Candidate> Candidates(const ConvProblem& problem, const PlanOptions& options) {
  std::vector<Candidate> candidates;
  for (const KernelFamily* family : KernelFamilies()) {
    if (options.family != "auto" && options.family != family->name) continue;
    if (!problem.output->real_multiplier.empty() && !family->real_multipliers) continue;
    if (family != &kReferenceFamily && !IsOrdinary(problem.shape)) continue;
    for (const Isa isa : SupportedIsaList()) {
      if (options.isa != "auto" && options.isa != IsaName(isa)) continue;
      if (!family->supports(problem, isa, options)) continue;
      candidates.push_back({family, isa, family->cost_ns(problem, isa, options)});
    }
  }
  // Stable: of equal costs the better ISA, listed first, wins.
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.cost_ns < b.cost_ns; });
  return candidates;
}

std::unique_ptr<ConvKernel> PlanKernel(const ConvProblem& problem, const PlanOptions& options,
                                       int threads, Status* status) {
  *status = CheckPlanOptions(options);
  if (!status->ok()) return nullptr;
  const std::vector<Candidate> candidates = Candidates(problem, options);
  if (candidates.empty()) {
    *status = Status::Error(
        "no kernel runs this layer with isa=" + options.isa + ", kernel=" + options.family +
        ", group=" + std::to_string(options.group) + "; drop one of these options");
    return nullptr;
  }
  auto kernel = candidates[0].family->make(problem, candidates[0].isa, options, threads);
  if (kernel == nullptr) {
    *status = Status::Error(std::string("out of memory while preparing a ") +
                            candidates[0].family->name + " kernel");
  }
  return kernel;
}

}  // namespace tf_signbin
