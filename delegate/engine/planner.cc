#include "engine/planner.h"

#include <algorithm>
#include <string>
#include <utility>

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

Status CheckPlanOptions(const PlanOptions& options, const Target& target) {
  const std::vector<std::string> isas = target.IsaNames();
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
  OfferRequest request;
  request.group = options.group;
  for (const Isa isa : problem.target.Isas()) {
    if (options.isa == "auto" || options.isa == IsaName(isa)) request.isas.push_back(isa);
  }
  std::vector<Candidate> candidates;
  for (const KernelFamily* family : KernelFamilies()) {
    if (options.family != "auto" && options.family != family->name) continue;
    if (options.group != 0 && !family->has_groups) continue;
    if (family != &kReferenceFamily && !IsOrdinary(problem.shape)) continue;
    for (Offer& offer : family->offers(problem, request)) {
      candidates.push_back({family, std::move(offer)});
    }
  }
  // Stable: of equal costs the better ISA, listed first, wins.
  std::stable_sort(
      candidates.begin(), candidates.end(),
      [](const Candidate& a, const Candidate& b) { return a.offer.cost_ns < b.offer.cost_ns; });
  return candidates;
}

std::unique_ptr<ConvKernel> PlanKernel(const ConvProblem& problem, const PlanOptions& options,
                                       int threads, bool profile, Status* status) {
  *status = CheckPlanOptions(options, problem.target);
  if (!status->ok()) return nullptr;
  const std::vector<Candidate> candidates = Candidates(problem, options);
  if (candidates.empty()) {
    *status = Status::Error(
        "no kernel runs this layer with isa=" + options.isa + ", kernel=" + options.family +
        ", group=" + std::to_string(options.group) + "; drop one of these options");
    return nullptr;
  }
  return candidates[0].offer.make(threads, profile);
}

}  // namespace tf_signbin
