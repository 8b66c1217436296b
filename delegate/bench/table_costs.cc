// What the memory tables' work takes, to fit the planner's costs to: for each layer, times the
// configurations that the cost model puts first and others at random, and prints a line of CSV for
// each. tools/fit_table_costs.py reads them.
//   build/bench/bench/table_costs [isa=avx2] [type=float32] [input_bits=4] [background=1] ...
//       [layers=1x1] [width=25] [random=50] [seed=1] > costs.csv
//
// `isa` plans for the processor whose best instruction set that is. Its other options are those of
// planner_search. One thread's processor time at 3 GHz, where nothing else slowed it down:
// `warm` with everything in the caches as the last run left it, `cold` with other data in the
// second level, as in a network of many layers.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/layers.h"
#include "bench/planned_layers.h"
#include "bench/quiet.h"
#include "engine/kernels/table/planner.h"
#include "engine/kernels/table/table_conv.h"
#include "engine/kernels/table/table_ops.h"

namespace tf_signbin {
namespace {

using table::Work;

struct {
  const char* name;
  double Work::*count;
} const kCounts[] = {
    {"loads", &Work::loads},
    {"misses", &Work::misses},
    {"offsets", &Work::offsets},
    {"passes", &Work::passes},
    {"accumulates", &Work::accumulates},
    {"shifts", &Work::shifts},
    {"branch_misses", &Work::branch_misses},
    {"stores", &Work::stores},
    {"elements_in", &Work::elements_in},
    {"elements_out", &Work::elements_out},
    {"summed_in", &Work::summed_in},
    {"backgrounds", &Work::backgrounds},
    {"widenings", &Work::widenings},
};
static_assert(sizeof(Work) == std::size(kCounts) * sizeof(double), "every count is printed");

// Others than the first are taken only where the model expects less than this, times the best.
constexpr double kFar = 2.5;
constexpr size_t kTimes = 5;
constexpr int kMostRounds = 40;

struct Request : LayerRequest {
  size_t random = 50;
  unsigned seed = 1;
};

// Reads as much as the second-level cache holds.
class Cooler {
 public:
  explicit Cooler(size_t bytes) : values_(bytes / sizeof(uint32_t), 1) {}
  void Cool() {
    uint32_t sum = 0;
    for (const uint32_t value : values_) sum += value;
    sum_ = sum;
  }

 private:
  std::vector<uint32_t> values_;
  volatile uint32_t sum_ = 0;
};

std::vector<table::TablePlan> Choose(std::vector<table::TablePlan> plans, const Request& request,
                                     std::mt19937* rng) {
  if (plans.empty()) return plans;
  const size_t first = std::min(request.width, plans.size());
  const auto far = std::find_if(plans.begin(), plans.end(), [&](const table::TablePlan& plan) {
    return plan.cost_ns > kFar * plans.front().cost_ns;
  });
  plans.erase(std::max(far, plans.begin() + first), plans.end());
  std::shuffle(plans.begin() + first, plans.end(), *rng);
  plans.resize(std::min(plans.size(), first + request.random));
  std::shuffle(plans.begin(), plans.end(), *rng);
  return plans;
}

const char* ElementsOf(const Request& request, const table::TableConfig& config) {
  if (config.bytes) return "bytes";
  return request.type == DataType::kInt8 ? "int16" : "float";
}

void Measure(const LayerSize& size, const Request& request, Cooler* cooler, QuietTimer* timer,
             std::mt19937* rng, int* left_out) {
  const BenchLayer layer = MakeBenchLayer(size, request.type, request.weights);
  const ConvProblem problem = request.Problem(size, layer);
  const table::TableOps* ops = table::TableOpsFor(problem.target.Isas().front());
  if (ops == nullptr) return;
  BenchData data(size, request.type, request.weights.input_bits);
  ThreadPool pool(1);
  struct Timed {
    table::TablePlan plan;
    std::unique_ptr<ConvKernel> kernel;
    std::vector<double> warm, cold;

    bool done() const { return std::min(warm.size(), cold.size()) >= kTimes; }
  };
  std::vector<Timed> all;
  for (const table::TablePlan& plan : Choose(PossibleTables(problem, *ops), request, rng)) {
    all.push_back(
        {plan, table::MakeTableConv(problem, *ops, plan.config, /*profile=*/false, 1), {}, {}});
  }
  for (int round = 0; round < kMostRounds; ++round) {  // in turn: slow moments meet all alike
    bool done = true;
    for (Timed& timed : all) {
      if (timed.done()) continue;
      const auto run = [&] { timed.kernel->Run(data.input.get(), data.output.get(), pool); };
      const auto time = [&](std::vector<double>* times) {
        const auto [ns, quiet] = timer->TimeOnce(run);
        if (quiet) times->push_back(ns);
      };
      run();
      time(&timed.warm);
      cooler->Cool();
      time(&timed.cold);
      done = done && timed.done();
    }
    if (done) break;
  }
  for (const Timed& timed : all) {
    if (!timed.done()) {
      ++*left_out;
      continue;
    }
    const table::TablePlan& plan = timed.plan;
    const table::TableWork work = table::WorkOfTable(problem, *ops, plan.config);
    std::printf("%s,%s,%s,%d,%.0f,%.0f,%.0f,%.0f", size.name().c_str(),
                plan.config.ToString().c_str(), ElementsOf(request, plan.config), work.direct,
                work.chunk_bytes, plan.cost_ns, Median(timed.warm), Median(timed.cold));
    for (const auto& count : kCounts) std::printf(",%.6g", work.work.*count.count);
    std::printf("\n");
  }
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  Request request;
  request.width = 25;
  const auto take_other = [&](const std::string& key, const std::string& value) {
    if (key == "random") request.random = std::atoi(value.c_str());
    if (key == "seed") request.seed = std::atoi(value.c_str());
    return key == "random" || key == "seed";
  };
  if (!ParseArguments("table_costs", argc, argv, &request, take_other)) return 2;
  std::printf("layer,config,elements,direct,chunk_bytes,predicted,warm,cold");
  for (const auto& count : kCounts) std::printf(",%s", count.name);
  std::printf("\n");
  int left_out = 0;
  QuietTimer timer;
  Cooler cooler(HostTarget().caches.level2);
  std::mt19937 rng(request.seed);
  for (const LayerSize& size : request.Layers()) {
    Measure(size, request, &cooler, &timer, &rng, &left_out);
  }
  std::fprintf(stderr, "%d configurations are left out: the machine was never quiet\n", left_out);
  return 0;
}

}  // namespace
}  // namespace tf_signbin

int main(int argc, char** argv) { return tf_signbin::Main(argc, argv); }
