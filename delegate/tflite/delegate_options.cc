#include "tflite/delegate_options.h"

#include <cerrno>
#include <cstdlib>
#include <string>

#include "engine/planner.h"

namespace tf_signbin {
namespace {

constexpr char kKnown[] =
    "num_threads, log_level, claim_builtin, claim_dense, strict, isa, kernel, group, profile";
constexpr int kMaxThreads = 256;
constexpr int kMaxGroup = 64;

Status Bad(const std::string& key, const std::string& value, const std::string& expected) {
  return Status::Error("delegate option " + key + " is '" + value + "'; it must be " + expected);
}

Status ParseInt(const std::string& key, const std::string& value, int least, int most,
                int* result) {
  char* end = nullptr;
  errno = 0;
  const long number = std::strtol(value.c_str(), &end, 10);
  if (value.empty() || *end != 0 || errno != 0 || number < least || number > most) {
    return Bad(key, value,
               "an integer from " + std::to_string(least) + " to " + std::to_string(most));
  }
  *result = static_cast<int>(number);
  return Status::Ok();
}

// Python's str(True), C's 1 and the usual words.
Status ParseBool(const std::string& key, const std::string& value, bool* result) {
  if (value == "true" || value == "True" || value == "1") {
    *result = true;
  } else if (value == "false" || value == "False" || value == "0") {
    *result = false;
  } else {
    return Bad(key, value, "true or false");
  }
  return Status::Ok();
}

Status ParseLogLevel(const std::string& key, const std::string& value, LogLevel* level) {
  if (value == "error") {
    *level = LogLevel::kError;
  } else if (value == "warning") {
    *level = LogLevel::kWarning;
  } else if (value == "info") {
    *level = LogLevel::kInfo;
  } else {
    return Bad(key, value, "error, warning or info");
  }
  return Status::Ok();
}

Status ParseOne(const std::string& key, const std::string& value, DelegateOptions* options) {
  if (key == "num_threads") return ParseInt(key, value, 1, kMaxThreads, &options->num_threads);
  if (key == "log_level") return ParseLogLevel(key, value, &options->log_level);
  if (key == "claim_builtin") return ParseBool(key, value, &options->claim_builtin);
  if (key == "claim_dense") return ParseBool(key, value, &options->claim_dense);
  if (key == "strict") return ParseBool(key, value, &options->strict);
  if (key == "profile") return ParseBool(key, value, &options->profile);
  if (key == "group") return ParseInt(key, value, 0, kMaxGroup, &options->plan.group);
  if (key == "isa") {
    options->plan.isa = value;
    return CheckPlanOptions(options->plan);
  }
  if (key == "kernel") {
    options->plan.family = value;
    return CheckPlanOptions(options->plan);
  }
  return Status::Error("unknown delegate option '" + key + "'; known options: " + kKnown);
}

// `benchmark_model` splits 'key:value; key:value' at its separators and keeps the blanks.
std::string WithoutBlanks(const char* text) {
  const std::string whole = text;
  const char* const blanks = " \t\r\n";
  const size_t first = whole.find_first_not_of(blanks);
  if (first == std::string::npos) return "";
  return whole.substr(first, whole.find_last_not_of(blanks) - first + 1);
}

}  // namespace

Status ParseDelegateOptions(const char* const* keys, const char* const* values, size_t count,
                            DelegateOptions* options) {
  if (count > 0 && (keys == nullptr || values == nullptr)) {
    return Status::Error("delegate options without keys or values");
  }
  for (size_t i = 0; i < count; ++i) {
    if (keys[i] == nullptr || values[i] == nullptr) {
      return Status::Error("delegate option " + std::to_string(i) + " is null");
    }
    const std::string key = WithoutBlanks(keys[i]), value = WithoutBlanks(values[i]);
    const Status status = ParseOne(key, value, options);
    if (!status.ok()) return status;
    options->given += (options->given.empty() ? "" : ", ") + key + "=" + value;
  }
  return Status::Ok();
}

}  // namespace tf_signbin
