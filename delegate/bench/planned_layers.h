// What the planner is judged by: the layers of known networks, and everything that a table kernel
// could run them with.
#ifndef TF_SIGNBIN_BENCH_PLANNED_LAYERS_H_
#define TF_SIGNBIN_BENCH_PLANNED_LAYERS_H_

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench/layers.h"
#include "engine/kernels/table/planner.h"
#include "engine/kernels/table/table_ops.h"
#include "engine/planner.h"
#include "engine/target.h"

namespace tf_signbin {

// Every distinct shape of the networks' packed layers.
inline const LayerSize kPlannedLayers[] = {
    // ResNet-18, and the 3x3 layers of ResNet-50
    {56, 64, 64, 3, 1},
    {56, 64, 128, 3, 2},
    {28, 128, 128, 3, 1},
    {28, 128, 256, 3, 2},
    {14, 256, 256, 3, 1},
    {14, 256, 512, 3, 2},
    {7, 512, 512, 3, 1},
    {56, 128, 128, 3, 2},
    {28, 256, 256, 3, 2},
    {14, 512, 512, 3, 2},
    // ResNet-20
    {32, 16, 16, 3, 1},
    {32, 16, 32, 3, 2},
    {16, 32, 32, 3, 1},
    {16, 32, 64, 3, 2},
    {8, 64, 64, 3, 1},
    // 1x1 of ResNet-50
    {56, 64, 64, 1, 1},
    {56, 64, 256, 1, 1},
    {56, 256, 64, 1, 1},
    {56, 256, 128, 1, 1},
    {28, 128, 512, 1, 1},
    {28, 512, 128, 1, 1},
    {28, 512, 256, 1, 1},
    {14, 256, 1024, 1, 1},
    {14, 1024, 256, 1, 1},
    {14, 1024, 512, 1, 1},
    {7, 512, 2048, 1, 1},
    {7, 2048, 512, 1, 1},
    // 1x1 of MobileNet (Howard et al. 2017, table 1)
    {112, 32, 64, 1, 1},
    {56, 64, 128, 1, 1},
    {56, 128, 128, 1, 1},
    {28, 128, 256, 1, 1},
    {28, 256, 256, 1, 1},
    {14, 256, 512, 1, 1},
    {14, 512, 512, 1, 1},
    {7, 512, 1024, 1, 1},
    {7, 1024, 1024, 1, 1},
    // fully connected
    {1, 512, 1000, 1, 1},
    {1, 4096, 4096, 1, 1},
};

// This processor, or what is left of it without the instruction sets that are better than `isa`.
inline Target TargetAs(const std::string& isa) {
  Target target = HostTarget();
  for (const Isa one : HostTarget().Isas()) {
    if (isa != IsaName(one)) continue;
    // With AVX-512 goes VBMI, which names no instruction set of its own.
    const Features vbmi = IsaFeatures(one) & feature::kAvx512 ? feature::kAvx512Vbmi : 0;
    target.features &= IsaFeatures(one) | vbmi;
    if (!target.Has(feature::kAvx512)) {
      if (target.core == Core::kIntel) target.core = Core::kIntelPc;
      if (target.core == Core::kZen5) target.core = Core::kGeneric;
    }
  }
  return target;
}

// What the programs of this folder are asked for on the command line.
struct LayerRequest {
  DataType type = DataType::kInt8;
  RandomWeights weights;
  std::string isa = "auto", layers;
  size_t width = 0;  // table configurations of a layer that are taken, those that cost least first

  // The planned layers whose name contains `layers`; or the one of that name, planned or not.
  std::vector<LayerSize> Layers() const {
    LayerSize named = {0, 0, 0, 0, 1};
    std::sscanf(layers.c_str(), "%dx%*d %d->%d %dx%*d/%d", &named.image, &named.in_c, &named.out_c,
                &named.kernel, &named.stride);
    if (named.kernel > 0 && named.stride > 0 && named.name() == layers) return {named};
    std::vector<LayerSize> found;
    for (const LayerSize& size : kPlannedLayers) {
      if (size.name().find(layers) != std::string::npos) found.push_back(size);
    }
    return found;
  }
  // `layer` is of this type and these weights.
  ConvProblem Problem(const LayerSize& size, const BenchLayer& layer) const {
    return {type,          size.shape(),  &layer.filters,
            &layer.output, TargetAs(isa), weights.input_bits < 7};
  }
  // One key=value; false where `key` is none of these, or `value` none of its values.
  bool Take(const std::string& key, const std::string& value) {
    if (key == "type" && (value == "int8" || value == "float32")) {
      type = value == "int8" ? DataType::kInt8 : DataType::kFloat32;
    } else if (key == "kind" && (value == "two_valued" || value == "ternary")) {
      weights.kind = value == "ternary" ? WeightKind::kTernary : WeightKind::kTwoValued;
    } else if (key == "density") {
      weights.density = std::atof(value.c_str());
    } else if (key == "pattern") {
      return std::sscanf(value.c_str(), "%d:%d", &weights.pattern_n, &weights.pattern_m) == 2;
    } else if (key == "input_bits") {
      weights.input_bits = std::atoi(value.c_str());
      return weights.input_bits >= 1 && weights.input_bits <= 8;
    } else if (key == "background") {
      weights.background = value == "1";
    } else if (key == "isa") {
      isa = value;
    } else if (key == "layers") {
      layers = value;
    } else if (key == "width") {
      width = std::atoi(value.c_str());
    } else {
      return false;
    }
    return true;
  }
};

// Reads a command line of LayerRequest's options and those that `take_other`(key, value) takes;
// false, and a message, where there is something else or an instruction set that is not there.
template <typename TakeOther>
bool ParseArguments(const char* program, int argc, char** argv, LayerRequest* request,
                    const TakeOther& take_other) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string key = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (equals == std::string::npos || !(request->Take(key, value) || take_other(key, value))) {
      std::fprintf(stderr, "%s: unknown argument %s; the source's head lists them\n", program,
                   argv[i]);
      return false;
    }
  }
  PlanOptions options;
  options.isa = request->isa;
  const Status status = CheckPlanOptions(options);
  if (!status.ok()) std::fprintf(stderr, "%s: %s\n", program, status.message().c_str());
  return status.ok();
}

// Every configuration of the memory tables that can run the problem, cheapest by the cost model
// first.
inline std::vector<table::TablePlan> PossibleTables(const ConvProblem& problem,
                                                    const table::TableOps& ops) {
  std::vector<table::TablePlan> plans;
  const auto evaluate = [&](const table::TableConfig& config) {
    table::TablePlan plan = table::EvaluateTable(problem, ops, config);
    if (plan.possible) plans.push_back(plan);
  };
  const auto evaluate_tiles = [&](table::TableConfig config, int max_vectors) {
    for (config.rows = 1; config.rows <= max_vectors; ++config.rows) {
      config.flat = true;
      config.row_vectors = 1;
      evaluate(config);
      config.flat = false;
      for (; config.rows * config.row_vectors <= max_vectors; ++config.row_vectors) {
        if (config.rows <= problem.shape.out_h) evaluate(config);
      }
    }
  };
  for (int group = 1; group <= 8; ++group) {
    for (const int limit : {2, 3, group}) {
      if (limit > group || (limit < group && group < 5)) continue;
      for (const bool skip_zeros : {false, true}) {
        if (limit < group && !skip_zeros) continue;
        for (const int chunk : {1, 2, 3, 4, 6, 8, 12, 16, 32, 64}) {
          table::TableConfig config;
          config.stream.group = group;
          config.stream.limit = limit;
          config.stream.skip_zeros = skip_zeros;
          config.stream.chunk_groups = chunk;
          evaluate_tiles(config, ops.i16.max_vectors);
          config.bytes = true;
          if (problem.nonnegative) evaluate_tiles(config, ops.u8.max_vectors);
        }
      }
    }
  }
  std::sort(plans.begin(), plans.end(),
            [](const auto& a, const auto& b) { return a.cost_ns < b.cost_ns; });
  return plans;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_BENCH_PLANNED_LAYERS_H_
