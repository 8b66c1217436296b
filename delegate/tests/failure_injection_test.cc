// Memory and threads that run out, at every single point where the library asks for them: a clean
// error or a right result, nothing thrown across the C ABI, nothing leaked, and once there is
// memory again the same objects work.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <ostream>
#include <string>
#include <vector>

#include "engine/conv.h"
#include "fuzz/case_model.h"
#include "fuzz/seeds.h"
#include "tests/low_bit_layer.h"
#include "tflite/delegate.h"
#include "tflite/register.h"

namespace {

// Allocations that still succeed; those after it fail: one of them, or all.
constexpr long kNever = std::numeric_limits<long>::max() / 2;
std::atomic<long> allowed{kNever};
std::atomic<bool> fail_all{false};
std::atomic<long> live{0};              // blocks that this program holds
std::atomic<long> aligned_requests{0};  // that the linker's --wrap works
std::atomic<int> threads_allowed{1 << 30};
// The fake runtime's own allocations are not the library's.
thread_local bool inside_runtime = false;

bool MustFail() {
  if (inside_runtime || allowed.load() == kNever) return false;
  const long left = allowed.fetch_sub(1);
  return fail_all.load() ? left <= 0 : left == 0;
}

void* Counted(void* block) {
  if (block != nullptr) live.fetch_add(1);
  return block;
}

}  // namespace

extern "C" {
void* __real_malloc(size_t bytes);
void* __real_calloc(size_t count, size_t bytes);
void __real_free(void* block);
int __real_posix_memalign(void** block, size_t alignment, size_t bytes);

void* __wrap_malloc(size_t bytes) { return MustFail() ? nullptr : Counted(__real_malloc(bytes)); }
void* __wrap_calloc(size_t count, size_t bytes) {
  return MustFail() ? nullptr : Counted(__real_calloc(count, bytes));
}
void __wrap_free(void* block) {
  if (block != nullptr) live.fetch_sub(1);
  __real_free(block);
}
int __wrap_posix_memalign(void** block, size_t alignment, size_t bytes) {
  aligned_requests.fetch_add(1);
  if (MustFail()) return ENOMEM;
  const int error = __real_posix_memalign(block, alignment, bytes);
  if (error == 0) live.fetch_add(1);
  return error;
}

// Found before libpthread's.
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const Create real = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  if (threads_allowed.fetch_sub(1) <= 0) return EAGAIN;
  return real(thread, attributes, start, argument);
}

tf_signbin::abi::TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys,
                                                               const char* const* values,
                                                               size_t count,
                                                               void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(tf_signbin::abi::TfLiteDelegate* delegate);
const char* tf_signbin_describe(tf_signbin::abi::TfLiteDelegate* delegate);
const char* tf_signbin_take_error();
}

// The calls below go through --wrap.
// Not inlined: GCC would see malloc and free in place of new and delete, and warn.
__attribute__((noinline)) void* operator new(size_t bytes) {
  void* block = std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
__attribute__((noinline)) void* operator new[](size_t bytes) { return operator new(bytes); }
// A sanitizer has one of its own, which would not fit the delete below.
__attribute__((noinline)) void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(bytes == 0 ? 1 : bytes);
}
__attribute__((noinline)) void operator delete(void* block) noexcept { std::free(block); }
__attribute__((noinline)) void operator delete[](void* block) noexcept { std::free(block); }
__attribute__((noinline)) void operator delete(void* block, size_t) noexcept { std::free(block); }
__attribute__((noinline)) void operator delete[](void* block, size_t) noexcept { std::free(block); }

namespace tf_signbin {
namespace {

// From the n-th allocation on, n >= 0, while it lives.
class Exhaustion {
 public:
  Exhaustion(long n, bool all) {
    fail_all = all;
    allowed = n;
  }
  ~Exhaustion() { Stop(); }
  // Whether an allocation failed.
  bool Stop() {
    const long left = allowed.exchange(kNever);
    if (left != kNever) failed_ = left < 0;
    return failed_;
  }

 private:
  bool failed_ = false;
};

struct InsideRuntime {
  explicit InsideRuntime(bool inside = true) : before(inside_runtime) { inside_runtime = inside; }
  ~InsideRuntime() { inside_runtime = before; }
  const bool before;
};

// The fake runtime's calls, without failures of its own.
struct Calls {
  decltype(abi::TfLiteContext::ResizeTensor) resize;
  decltype(abi::TfLiteContext::ReplaceNodeSubsetsWithDelegateKernels) replace;
  decltype(abi::TfLiteRegistration::init) init;
} real;

void Report(abi::TfLiteContext* context, const char* format, ...) {
  InsideRuntime exempt;
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  static_cast<FakeRuntime*>(context->impl_)->error += text;
}

void ExemptRuntime(abi::TfLiteContext* context) {
  real.resize = context->ResizeTensor;
  real.replace = context->ReplaceNodeSubsetsWithDelegateKernels;
  context->ResizeTensor = [](abi::TfLiteContext* c, abi::TfLiteTensor* tensor,
                             abi::TfLiteIntArray* dims) {
    InsideRuntime exempt;
    return real.resize(c, tensor, dims);
  };
  context->ReplaceNodeSubsetsWithDelegateKernels =
      [](abi::TfLiteContext* c, abi::TfLiteRegistration registration,
         const abi::TfLiteIntArray* nodes, abi::TfLiteDelegate* delegate) {
        InsideRuntime exempt;
        real.init = registration.init;
        registration.init = [](abi::TfLiteContext* context, const char* buffer, size_t length) {
          InsideRuntime library(false);
          return real.init(context, buffer, length);
        };
        return real.replace(c, registration, nodes, delegate);
      };
  context->ReportError = Report;
}

// A packed and a builtin convolution, a packed and a builtin fully connected layer.
constexpr uint64_t kSeeds[] = {2, 5, 8, 3};

struct Plan {
  const char* family;
  int threads;
  bool profile = false;
};

// In the names of the tests.
void PrintTo(const Plan& plan, std::ostream* stream) {
  *stream << plan.family << " kernels, " << plan.threads << " threads";
}

DelegateOptions Options(const Plan& plan) {
  DelegateOptions options;
  options.log_level = LogLevel::kError;
  options.num_threads = plan.threads;
  options.plan.family = plan.family;
  options.profile = plan.profile;
  return options;
}

std::vector<uint8_t> Succeed(CaseModel* model) {
  std::vector<uint8_t> result;
  model->runtime.error.clear();
  EXPECT_TRUE(model->Run(&result)) << model->runtime.error;
  return result;
}

// One life of a delegate and a model, the n-th allocation failing; whether one failed.
bool LiveThrough(const OpCase& op_case, const Plan& plan, long n, bool all,
                 const std::vector<uint8_t>& expected) {
  bool failed;
  abi::TfLiteDelegate* delegate = CreateDelegate(Options(plan));
  {
    CaseModel model(op_case);
    FakeRuntime& runtime = model.runtime;
    ExemptRuntime(runtime.context());
    EXPECT_TRUE(model.SetInput());
    bool applied, ran;
    {
      Exhaustion exhaustion(n, all);
      applied = delegate->Prepare(runtime.context(), delegate) == abi::kOk;
      ran = applied && runtime.Prepare() == abi::kOk && runtime.Invoke() == abi::kOk;
      failed = exhaustion.Stop();
    }
    EXPECT_TRUE(ran || failed) << runtime.error;
    EXPECT_EQ(ran, runtime.error.empty()) << runtime.error;
    if (!ran) {
      EXPECT_NE(runtime.error.find("out of memory"), std::string::npos) << runtime.error;
    }
    if (ran) {
      EXPECT_EQ(model.Output(), expected);
    }
    if (applied) {
      EXPECT_EQ(Succeed(&model), expected);
    } else {
      CaseModel again(op_case);
      EXPECT_EQ(delegate->Prepare(again.runtime.context(), delegate), abi::kOk)
          << again.runtime.error;
      EXPECT_EQ(Succeed(&again), expected);
    }
    // Nothing that frees needs memory.
    allowed = 0;
    fail_all = true;
  }
  DestroyDelegate(delegate);
  allowed = kNever;
  return failed;
}

class Memory : public testing::TestWithParam<Plan> {};

// The instruction set without which a family runs nothing.
std::string NeededIsa(const std::string& family) {
  return family == "permute" ? "avx512" : family == "dense" ? "avx512vnni" : "portable";
}

TEST_P(Memory, EveryAllocationMayFail) {
  const Plan& plan = GetParam();
  const std::vector<std::string>& isas = SupportedIsas();
  if (std::find(isas.begin(), isas.end(), NeededIsa(plan.family)) == isas.end()) {
    GTEST_SKIP() << "this CPU has no " << NeededIsa(plan.family);
  }
  int supported = 0, points = 0;
  for (const uint64_t seed : kSeeds) {
    const OpCase op_case = SeedCase(seed);
    std::vector<uint8_t> expected;
    {
      abi::TfLiteDelegate* delegate = CreateDelegate(Options(plan));
      {
        CaseModel model(op_case);
        if (delegate->Prepare(model.runtime.context(), delegate) == abi::kOk &&
            model.runtime.replaced() == 1) {
          model.Run(&expected);
        }
      }
      DestroyDelegate(delegate);
    }
    if (expected.empty()) continue;  // the family does not run this layer
    ++supported;
    // Once before blocks are counted: why a call failed is kept as long as the thread lives.
    LiveThrough(op_case, plan, 0, false, expected);
    for (const bool all : {false, true}) {
      const long before = live;
      long n = 0;
      while (LiveThrough(op_case, plan, n, all, expected)) ++n;
      points += static_cast<int>(n);
      EXPECT_EQ(live, before) << "blocks leaked";
      if (HasFailure()) FAIL() << "seed " << seed << ", allocation " << n << ", all " << all;
    }
  }
  EXPECT_EQ(supported, 4);
  EXPECT_GT(points, 30 * supported);
  if (plan.family != std::string("reference")) {
    EXPECT_GT(aligned_requests, 0) << "the linker did not wrap the allocator";
  }
  std::printf("%d failed allocations\n", points);
}

INSTANTIATE_TEST_SUITE_P(Plans, Memory,
                         testing::Values(Plan{"auto", 1}, Plan{"auto", 3}, Plan{"reference", 1},
                                         Plan{"table", 2}, Plan{"permute", 2}, Plan{"dense", 2},
                                         Plan{"auto", 2, true}),
                         [](const auto& info) {
                           return std::string(info.param.family) +
                                  std::to_string(info.param.threads) +
                                  (info.param.profile ? "profiled" : "");
                         });

// Inputs below the claimed range: the first call that meets one prepares a kernel for any input.
TEST(LowBitInputs, TheKernelForAnyInputIsPreparedOrItsLackIsSaid) {
  if (!HasByteTables()) GTEST_SKIP() << "no tables of bytes";
  RandomLayer layer = LowBitLayer(4);
  layer.input_i8[0] = -128;
  ThreadPool pool(1);
  const auto create = [&] {
    Status status;
    auto conv = Conv2D::Create(layer.type, layer.filters, layer.output, TableOptions(), &status);
    EXPECT_TRUE(conv != nullptr && conv->Resize(layer.shape, 1).ok()) << status.message();
    return conv;
  };
  std::vector<int8_t> expected(layer.outputs()), output(layer.outputs());
  {
    const auto conv = create();
    ASSERT_TRUE(conv->kernel()->needs_nonnegative());
    ASSERT_TRUE(conv->Run(layer.input(), expected.data(), pool).ok());
  }
  for (const bool all : {false, true}) {
    const long before = live;
    long n = 0;
    for (bool failed = true; failed && !HasFailure(); ++n) {
      const auto conv = create();
      std::fill(output.begin(), output.end(), int8_t{77});
      Status status;
      {
        Exhaustion exhaustion(n, all);
        status = conv->Run(layer.input(), output.data(), pool);
        failed = exhaustion.Stop();
      }
      EXPECT_TRUE(status.ok() || failed) << status.message();
      EXPECT_EQ(status.ok(), output == expected) << n;
      if (!status.ok()) {
        EXPECT_NE(status.message().find("out of memory"), std::string::npos) << status.message();
      }
      EXPECT_TRUE(conv->Run(layer.input(), output.data(), pool).ok());
      EXPECT_EQ(output, expected) << n;
    }
    EXPECT_EQ(live, before) << "blocks leaked";
    EXPECT_GT(n, 30);
  }
}

std::string reported;
void KeepReport(const char* message) {
  InsideRuntime exempt;
  reported = message;
}

TEST(EntryPoints, ThrowNothingWhenMemoryRunsOut) {
  const char* keys[] = {"num_threads", "kernel", "log_level", "profile"};
  const char* values[] = {"2", "reference", "error", "true"};
  reported.reserve(4096);  // its block is not a leak
  // Once without failures: what lives as long as the program or the thread is made.
  tf_signbin_take_error();
  tflite_plugin_destroy_delegate(tflite_plugin_create_delegate(keys, values, 4, KeepReport));
  for (const bool all : {false, true}) {
    bool failed = true;
    for (long n = 0; failed; ++n) {
      const long before = live;
      reported.clear();
      abi::TfLiteDelegate* delegate = nullptr;
      {
        Exhaustion exhaustion(n, all);
        EXPECT_NO_THROW(delegate = tflite_plugin_create_delegate(keys, values, 4, KeepReport));
        failed = exhaustion.Stop();
      }
      EXPECT_EQ(delegate == nullptr, !reported.empty()) << reported;
      EXPECT_TRUE(failed || delegate != nullptr) << reported;
      if (delegate == nullptr) {
        EXPECT_NE(reported.find("out of memory"), std::string::npos) << reported;
        EXPECT_EQ(tf_signbin_take_error(), reported);
        EXPECT_STREQ(tf_signbin_take_error(), "");  // only once
      } else {
        Exhaustion exhaustion(0, true);
        EXPECT_NO_THROW(tf_signbin_describe(delegate));
        EXPECT_NO_THROW(tflite_plugin_destroy_delegate(delegate));
      }
      EXPECT_EQ(live, before) << "allocation " << n;
      ASSERT_FALSE(HasFailure()) << "allocation " << n << ", all " << all;
    }
  }
}

// Operators in a program's own op resolver, without a delegate.
TEST(StaticRegistration, EveryAllocationMayFail) {
  for (const uint64_t seed : kSeeds) {
    const OpCase op_case = SeedCase(seed);
    if (op_case.op > kPackedFullyConnected) continue;
    auto* registration = reinterpret_cast<abi::TfLiteRegistration*>(
        op_case.op == kPackedConv ? TfSignBinRegister_CONV_2D()
                                  : TfSignBinRegister_FULLY_CONNECTED());
    const auto live_through = [&](long n, std::vector<uint8_t>* result) {
      CaseModel model(op_case);
      abi::TfLiteContext* context = model.runtime.context();
      ExemptRuntime(context);
      EXPECT_TRUE(model.SetInput());
      abi::TfLiteNode* node;
      abi::TfLiteRegistration* unresolved;
      context->GetNodeAndRegistration(context, 0, &node, &unresolved);
      const auto run = [&] {
        return registration->prepare(context, node) == abi::kOk &&
               registration->invoke(context, node) == abi::kOk;
      };
      bool ran, failed;
      {
        Exhaustion exhaustion(n, n % 2 == 1);
        node->user_data =
            registration->init(context, static_cast<const char*>(node->custom_initial_data),
                               static_cast<size_t>(node->custom_initial_data_size));
        ran = run();
        failed = exhaustion.Stop();
      }
      EXPECT_EQ(ran, model.runtime.error.empty()) << model.runtime.error;
      EXPECT_TRUE(ran || failed) << model.runtime.error;
      if (node->user_data != nullptr) {
        EXPECT_TRUE(run()) << model.runtime.error;
        *result = model.Output();
        registration->free(context, node->user_data);
        node->user_data = nullptr;
      }
      return failed;
    };
    std::vector<uint8_t> expected;
    live_through(kNever / 2, &expected);
    ASSERT_FALSE(expected.empty());
    // The first failure of a thread leaves it the block that its last error is kept in.
    std::vector<uint8_t> ignored;
    live_through(0, &ignored);
    bool failed = true;
    for (long n = 0; failed; ++n) {
      const long before = live;
      {
        std::vector<uint8_t> result = expected;
        failed = live_through(n, &result);
        EXPECT_EQ(result, expected);
      }
      EXPECT_EQ(live, before) << "blocks leaked";
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", allocation " << n;
    }
  }
}

TEST(Threads, FewerThanWantedRunAndAreReported) {
  const OpCase op_case = SeedCase(0);
  std::vector<uint8_t> expected;
  for (const int could_start : {3, 2, 1, 0}) {
    DelegateOptions options = Options({"auto", 4});
    options.log_level = LogLevel::kWarning;
    testing::internal::CaptureStderr();
    abi::TfLiteDelegate* delegate = CreateDelegate(options);
    {
      CaseModel model(op_case);
      threads_allowed = could_start;
      EXPECT_EQ(delegate->Prepare(model.runtime.context(), delegate), abi::kOk);
      const std::vector<uint8_t> result = Succeed(&model);
      threads_allowed = 1 << 30;
      if (could_start == 3) expected = result;
      EXPECT_FALSE(result.empty());
      EXPECT_EQ(result, expected) << could_start;
    }
    DestroyDelegate(delegate);
    const std::string log = testing::internal::GetCapturedStderr();
    const std::string message = "started " + std::to_string(could_start + 1) + " of 4 threads";
    EXPECT_EQ(log.find(message) != std::string::npos, could_start < 3) << log;
  }
}

}  // namespace
}  // namespace tf_signbin
