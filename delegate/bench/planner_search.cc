// How much time the planner's choice loses: for each layer, measures the kernel that the planner
// picks and every other one that could run it (family, instruction set, group of channels and, for
// the memory table, tiles and chunks), and prints the loss against the fastest.
//   build/bench/bench/planner_search [type=int8|float32] [density=0.36] [pattern=N:M]
//       [kind=two_valued|ternary] [input_bits=4] [background=1] [isa=avx2] [layers=1x1]
//       [width=24] [list=1]
//
// `isa` plans for the processor whose best instruction set that is, as `tf-signbin benchmark --as`
// does. `layers` keeps the layers whose name contains the text, or is a layer: "24x24 16->32
// 3x3/2". Of the memory table's thousands of configurations the `width` that its cost model puts
// first are measured. The plain reference kernel is left out. `list=1` prints each kernel that
// comes within 1.5 of the fastest, with the time its cost model predicts. One thread; interleaved,
// medians of moments in which nothing else slowed the processor down, in microseconds at 3 GHz.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bench/layers.h"
#include "bench/planned_layers.h"
#include "bench/quiet.h"
#include "engine/kernels/table/planner.h"
#include "engine/kernels/table/table_conv.h"
#include "engine/kernels/table/table_ops.h"
#include "engine/planner.h"

namespace tf_signbin {
namespace {

constexpr int kMostChannels = 12;  // of a group
constexpr double kNear = 1.5;      // of the fastest: measured again, and listed

struct Request : LayerRequest {
  bool list = false;
};

struct Contender {
  std::unique_ptr<ConvKernel> kernel;
  double predicted_ns = 0, measured_ns = 0;
};

void AddTableKernels(const ConvProblem& problem, Isa isa, size_t width,
                     std::vector<Contender>* contenders) {
  const table::TableOps* ops = table::TableOpsFor(isa);
  if (ops == nullptr) return;
  std::vector<table::TablePlan> plans = PossibleTables(problem, *ops);
  if (plans.size() > width) plans.resize(width);
  for (const table::TablePlan& plan : plans) {
    contenders->push_back(
        {table::MakeTableConv(problem, *ops, plan.config, /*profile=*/false, 1), plan.cost_ns});
  }
}

// The planner's choice comes first.
std::vector<Contender> Contenders(const ConvProblem& problem, const Request& request) {
  std::vector<Contender> contenders;
  for (int group = 0; group <= kMostChannels; ++group) {
    PlanOptions options;
    options.group = group;
    for (const Candidate& candidate : Candidates(problem, options)) {
      if (candidate.family == &kReferenceFamily) continue;
      contenders.push_back({candidate.offer.make(1, /*profile=*/false), candidate.offer.cost_ns});
    }
  }
  for (const Isa isa : problem.target.Isas()) {
    if (isa == Isa::kAmx || isa == Isa::kAvx512Vnni) continue;  // have the tables of kAvx512
    if (isa == Isa::kAvxVnni) continue;                         // has those of kAvx2
    AddTableKernels(problem, isa, request.width, &contenders);
  }
  std::set<std::string> seen;
  std::vector<Contender> distinct;
  for (Contender& contender : contenders) {
    if (seen.insert(contender.kernel->name()).second) distinct.push_back(std::move(contender));
  }
  return distinct;
}

void Measure(const LayerSize& size, const Request& request, QuietTimer* timer,
             std::vector<Contender>* contenders) {
  BenchData data(size, request.type, request.weights.input_bits);
  ThreadPool pool(1);
  const auto time = [&](const Contender& contender) {
    return timer->Time([&] { contender.kernel->Run(data.input.get(), data.output.get(), pool); });
  };
  double best = INFINITY;
  for (Contender& contender : *contenders) {
    std::vector<double> times;
    for (int i = 0; i < 4; ++i) times.push_back(time(contender));
    contender.measured_ns = *std::min_element(times.begin(), times.end());
    best = std::min(best, contender.measured_ns);
  }
  std::vector<Contender*> near;
  for (Contender& contender : *contenders) {
    if (&contender == &contenders->front() || contender.measured_ns < kNear * best) {
      near.push_back(&contender);
    }
  }
  std::map<Contender*, std::vector<double>> times;
  std::mt19937 rng(3);
  const int rounds = std::clamp(static_cast<int>(2e7 / best), 21, 101);
  for (int round = 0; round < rounds; ++round) {
    std::shuffle(near.begin(), near.end(), rng);
    for (Contender* contender : near) times[contender].push_back(time(*contender));
  }
  for (Contender* contender : near) contender->measured_ns = Median(times[contender]);
}

// The planner's loss, as a factor of at least 1.
double Report(const LayerSize& size, const Request& request, QuietTimer* timer) {
  const BenchLayer layer = MakeBenchLayer(size, request.type, request.weights);
  const ConvProblem problem = request.Problem(size, layer);
  std::vector<Contender> contenders = Contenders(problem, request);
  if (contenders.empty()) return 1;
  Measure(size, request, timer, &contenders);
  const Contender* chosen = &contenders.front();
  std::vector<const Contender*> order;
  for (const Contender& contender : contenders) order.push_back(&contender);
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->measured_ns < b->measured_ns; });
  const double loss = chosen->measured_ns / order[0]->measured_ns;
  std::printf("%-24s %7.1f us %-32s %5.1f %%", size.name().c_str(), chosen->measured_ns * 1e-3,
              chosen->kernel->name().c_str(), (loss - 1) * 100);
  if (order[0] != chosen) {
    std::printf("  %7.1f us %s", order[0]->measured_ns * 1e-3, order[0]->kernel->name().c_str());
  }
  std::printf("\n");
  for (const Contender* contender : order) {
    if (!request.list || contender->measured_ns > kNear * order[0]->measured_ns) break;
    std::printf("    %7.1f us, predicted %7.1f, %s\n", contender->measured_ns * 1e-3,
                contender->predicted_ns * 1e-3, contender->kernel->name().c_str());
  }
  std::fflush(stdout);
  return loss;
}

int Main(int argc, char** argv) {
  Request request;
  request.width = 24;
  const auto take_other = [&](const std::string& key, const std::string& value) {
    if (key == "list") request.list = value == "1";
    return key == "list";
  };
  if (!ParseArguments("planner_search", argc, argv, &request, take_other)) return 2;
  std::printf("%-24s %-43s %7s  fastest, where it is another\n", "layer", "   chosen", "loss");
  QuietTimer timer;
  int layers = 0, close = 0;
  double log_sum = 0, worst = 1;
  for (const LayerSize& size : request.Layers()) {
    const double loss = Report(size, request, &timer);
    ++layers;
    close += loss <= 1.1;
    log_sum += std::log(loss);
    worst = std::max(worst, loss);
  }
  std::printf("%d of %d layers within 10 %%; mean loss %.1f %%, largest %.1f %%\n", close, layers,
              (std::exp(log_sum / std::max(layers, 1)) - 1) * 100, (worst - 1) * 100);
  if (timer.disturbed() > 0) {
    std::printf("%d times were taken while something else slowed the processor down\n",
                timer.disturbed());
  }
  return 0;
}

}  // namespace
}  // namespace tf_signbin

int main(int argc, char** argv) { return tf_signbin::Main(argc, argv); }
