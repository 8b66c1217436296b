#include "engine/kernels/table/costs.h"

#include <algorithm>

namespace tf_signbin {
namespace table {
namespace {

// Columns of costs. kAvx512Intel, kAvx2Intel: Intel's cores since Ice Lake; kAvx2Zen3: AMD's whose
// only vectors are AVX2's; kAvx2Near: others where the first level of the caches has more than 32
// KiB.
enum Measured {
  kAvx512,
  kAvx512Intel,
  kAvx2Zen3,
  kAvx2,
  kAvx2Near,
  kAvx2Intel,
  kNeon,
  kNeonDot,
  kPortable,
  kMeasured
};

Measured MeasuredAs(Isa isa, const Target& target) {
  switch (isa) {
    case Isa::kAmx:
    case Isa::kAvx512:
    case Isa::kAvx512Vnni:
      return target.core == Core::kIntel ? kAvx512Intel : kAvx512;
    case Isa::kAvx2:
    case Isa::kAvxVnni:
      if (target.core == Core::kZen3) return kAvx2Zen3;
      if (target.caches.level1 <= 32 << 10) return kAvx2;
      return target.OfIntel() ? kAvx2Intel : kAvx2Near;
    case Isa::kNeon:
      return kNeon;
    case Isa::kNeonDot:
    case Isa::kNeonI8mm:
      return kNeonDot;
    case Isa::kPortable:
      break;
  }
  return kPortable;
}

// Nanoseconds of one, with tables of bytes, int16 and floats. x86's are measured: Intel's on
// Emerald Rapids, at 3 GHz as all costs of its cores, by bench/table_costs.cc and
// tools/fit_table_costs.py; the others on Zen 5, and AVX2's on Zen 3, on Zen 4 (but of bytes on Zen
// 3) and on Zen 5 (docs/performance.md). Estimated are what backgrounds cost on Zen 4 and Zen 5,
// and their AVX-512 tables of bytes: those of int16 with what llvm-mca says of widening, and a half
// more loads, since two of three taps cross a cache line. NEON's are llvm-mca's cycles
// (tools/arm_cost.py) of a Cortex-A72 at 1.5 GHz, and with dot products of an A76 at 2.4 GHz, those
// of bytes not fitted. Zeros: there are no such kernels, or no such work.
struct UnitCost {
  double Work::*what;
  double ns[kMeasured][3];
};
// clang-format off
constexpr UnitCost kUnitCosts[] = {
    //                      AVX-512                AVX-512, Intel         kAvx2Zen3               kAvx2                     kAvx2Near              kAvx2Intel                NEON                NEON, dot products  portable
    {&Work::loads,         {{0.20, 0.155, 0.122},  {0.176, 0.163, 0.198}, {0.192, 0.2, 0.207},    {0.181, 0.147, 0.197},    {0.126, 0.126, 0.126}, {0.211, 0.164, 0.16},     {0.67, 0.67, 0.67}, {0.23, 0.23, 0.21}, {0, 1.4, 0.17}}},
    {&Work::misses,        {{0.075, 0.075, 0.125}, {0.234, 0.272, 0.261}, {0.0681, 0.122, 0.128}, {0.0405, 0.17, 0.153},    {0.068, 0.091, 0.081}, {0.192, 0.128, 0.107},    {0.9, 0.9, 0.9},    {0.25, 0.25, 0.25}, {0, 0.02, 0.02}}},
    {&Work::offsets,       {{0.155, 0.155, 0.26},  {0.134, 0.218, 0.118}, {0.163, 0.121, 0.107},  {0.124, 0.166, 0.0756},   {0.05, 0.123, 0.047},  {0.0578, 0.282, 0.196},   {0.84, 0.84, 0.33}, {0.17, 0.17, 0.11}, {0, 0.5, 0.5}}},
    {&Work::passes,        {{0.5, 0.5, 0.5},       {0, 0, 0},             {0.921, 1.68, 0.376},   {0.297, 0.436, 0.279},    {0.675, 0.6, 0.07},    {1.34, 0.687, 0.549},     {8.4, 8.4, 13},     {7.8, 7.8, 5},      {0, 2, 2}}},
    {&Work::accumulates,   {{0.33, 0.33, 0.97},    {0.644, 0.597, 0.359}, {0.58, 0.0793, 0.215},  {0.243, 0.363, 0.335},    {0.613, 0.148, 0.341}, {0, 0.119, 0.199},        {0.67, 0.67, 2},    {0.42, 0.42, 0.6},  {0, 2, 2}}},
    {&Work::shifts,        {{0, 0.02, 0.02},       {0, 0.199, 0},         {0, 0.0507, 0},         {0, 0.158, 0.0189},       {0, 0.09, 0.0065},     {0, 0.207, 0.174},        {0, 1, 0.33},       {0, 0.1, 0.21},     {0, 2, 2}}},
    {&Work::branch_misses, {{3.5, 3.5, 3.5},       {6.48, 5.97, 6.02},    {8.58, 11.5, 5.22},     {4.73, 8.1, 3.78},        {34, 14.6, 5.1},       {10.3, 5.5, 4.65},        {10, 10, 10},       {4.5, 4.5, 4.5},    {0, 3.5, 3.5}}},
    {&Work::stores,        {{0.42, 0.42, 0.32},    {0.144, 1.05, 1.35},   {0.406, 0.642, 0.575},  {0.405, 0.308, 0.432},    {0.085, 0.211, 0.208}, {0.45, 0.85, 0.68},       {1.55, 1.55, 1.4},  {0.8, 0.8, 0.47},   {0, 1.5, 0.27}}},
    {&Work::elements_in,   {{0.055, 0.086, 0.078}, {0.11, 0.218, 0.255},  {0.12, 0.131, 0.195},   {0.081, 0.135, 0.112},    {0.054, 0.089, 0.144}, {0.13, 0.145, 0.234},     {0.25, 0.43, 0.43}, {0.1, 0.3, 0.18},   {0, 1, 1}}},
    {&Work::elements_out,  {{0.105, 0.105, 0.38},  {0.514, 0.278, 0.482}, {0.181, 0.182, 0.293},  {0.176, 0.15, 0.176},     {0.11, 0.11, 0.136},   {0.252, 0.236, 0.327},    {0.56, 0.56, 0.7},  {0.15, 0.35, 0.3},  {0, 7, 3}}},
    {&Work::summed_in,     {{0.02, 0.02, 0.02},    {0.04, 0.02, 0.04},    {0.0625, 0.03, 0.035},  {0.0338, 0.0338, 0.0338}, {0.025, 0.025, 0.025}, {0.0357, 0.0119, 0.0634}, {0.17, 0.17, 0.17}, {0.05, 0.05, 0.05}, {0, 1, 1}}},
    {&Work::backgrounds,   {{0.05, 0.05, 0.02},    {0.001, 0.001, 0.005}, {0.0299, 0.04, 0.01},   {0.0338, 0.0338, 0.027},  {0.025, 0.025, 0.02},  {0.0559, 0.087, 0.0034},  {0.3, 0.3, 0.3},    {0.1, 0.1, 0.1},    {0, 1, 1}}},
    {&Work::widenings,     {{0.20, 0, 0},          {0.41, 0, 0},          {0.0708, 0, 0},         {0.149, 0, 0},            {0.06, 0, 0},          {0.319, 0, 0},            {0.67, 0, 0},       {0.23, 0, 0},       {0, 0, 0}}},
};
// clang-format on
// Bytes of tables from which on a part of what is read and written misses the near caches.
constexpr double kNearBytes[kMeasured][3] = {
    {45056, 45056, 45056}, {28672, 54272, 54272},  {32768, 49152, 49152},
    {28672, 54272, 46080}, {43008, 114688, 65536}, {43008, 43008, 49152},
    {28672, 28672, 28672}, {57344, 57344, 57344},  {28672, 28672, 28672}};

// Zen 4's 512-bit units are half as wide as Zen 5's. On Arm only the portable code's costs are Zen
// 5's; a Cortex-A72 has about an eighth of its instructions a second.
double CoreFactor(Core core, Measured isa, TableElements elements) {
  if (core == Core::kArm) return isa == kPortable ? 8 : 1;
  if (core == Core::kZen5 || isa != kAvx512) return 1;
  return elements == TableElements::kFloat ? 1.65 : 1.85;
}

// Measured on Zen 4 alone, and of use where other families compete: not in its view avx2.
double RunNs(const Target& target) {
  return target.core == Core::kGeneric && target.Has(feature::kAvx512Vbmi) ? 1000 : 0;
}

}  // namespace

double UnitCosts::Of(const Work& work) const {
  double sum = 0;
  for (const UnitCost& cost : kUnitCosts) sum += work.*cost.what * ns.*cost.what;
  return sum * core_factor + run_ns;
}

UnitCosts UnitCostsOf(Isa isa, TableElements elements, const Target& target) {
  const Measured measured = MeasuredAs(isa, target);
  UnitCosts costs;
  for (const UnitCost& cost : kUnitCosts) {
    costs.ns.*cost.what = cost.ns[measured][static_cast<int>(elements)];
  }
  costs.core_factor = CoreFactor(target.core, measured, elements);
  costs.run_ns = RunNs(target);
  costs.near_bytes = costs.level1_bytes = kNearBytes[measured][static_cast<int>(elements)];
  if (isa == Isa::kAvx2 || isa == Isa::kAvxVnni) {
    costs.level1_bytes = static_cast<double>(target.caches.level1) * 7 / 8;
    costs.near_bytes = std::max(costs.near_bytes, costs.level1_bytes);
  }
  return costs;
}

}  // namespace table
}  // namespace tf_signbin
