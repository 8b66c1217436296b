#include "tflite/delegate_options.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace tf_signbin {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Status Parse(const Pairs& pairs, DelegateOptions* options) {
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : pairs) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  return ParseDelegateOptions(keys.data(), values.data(), pairs.size(), options);
}

std::string Error(const Pairs& pairs) {
  DelegateOptions options;
  return Parse(pairs, &options).message();
}

TEST(DelegateOptions, Defaults) {
  DelegateOptions options;
  ASSERT_TRUE(Parse({}, &options).ok());
  EXPECT_EQ(options.num_threads, 0);
  EXPECT_EQ(options.log_level, LogLevel::kWarning);
  EXPECT_TRUE(options.claim_builtin);
  EXPECT_TRUE(options.claim_dense);
  EXPECT_FALSE(options.strict);
  EXPECT_EQ(options.plan.isa, "auto");
  EXPECT_EQ(options.plan.family, "auto");
  EXPECT_EQ(options.plan.group, 0);
  EXPECT_FALSE(options.profile);
}

TEST(DelegateOptions, ReadsEveryOption) {
  DelegateOptions options;
  const Status status = Parse({{"num_threads", "3"},
                               {"log_level", "info"},
                               {"claim_builtin", "False"},
                               {"claim_dense", "0"},
                               {"strict", "true"},
                               {"isa", "portable"},
                               {"kernel", "reference"},
                               {"group", "5"},
                               {"profile", "1"}},
                              &options);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(options.num_threads, 3);
  EXPECT_EQ(options.log_level, LogLevel::kInfo);
  EXPECT_FALSE(options.claim_builtin);
  EXPECT_FALSE(options.claim_dense);
  EXPECT_TRUE(options.strict);
  EXPECT_EQ(options.plan.isa, "portable");
  EXPECT_EQ(options.plan.family, "reference");
  EXPECT_EQ(options.plan.group, 5);
  EXPECT_TRUE(options.profile);
}

TEST(DelegateOptions, BlanksDoNotCount) {
  DelegateOptions options;
  const Status status = Parse({{" num_threads", " 3"},
                               {"\tlog_level ", "info "},
                               {"isa", " portable\n"},
                               {"  strict  ", "  true  "}},
                              &options);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(options.num_threads, 3);
  EXPECT_EQ(options.log_level, LogLevel::kInfo);
  EXPECT_EQ(options.plan.isa, "portable");
  EXPECT_TRUE(options.strict);
  EXPECT_EQ(options.given, "num_threads=3, log_level=info, isa=portable, strict=true");
  EXPECT_NE(Error({{"num_threads", " "}}).find("num_threads is ''"), std::string::npos);
  EXPECT_NE(Error({{"num_threads", "1 2"}}).find("num_threads is '1 2'"), std::string::npos);
  EXPECT_NE(Error({{" ", "1"}}).find("unknown delegate option ''"), std::string::npos);
}

TEST(DelegateOptions, UnknownOptionListsTheKnownOnes) {
  const std::string error = Error({{"threads", "2"}});
  for (const char* known : {"threads", "num_threads", "log_level", "claim_builtin", "claim_dense",
                            "strict", "isa", "kernel", "group", "profile"}) {
    EXPECT_NE(error.find(known), std::string::npos) << known << " in: " << error;
  }
}

TEST(DelegateOptions, BadValuesAreNamed) {
  for (const char* threads : {"0", "-1", "two", "", "2.5", "1e3", "99999999999999999999", "257"}) {
    EXPECT_NE(Error({{"num_threads", threads}}).find("num_threads is '" + std::string(threads)),
              std::string::npos)
        << threads;
  }
  EXPECT_NE(Error({{"log_level", "loud"}}).find("error, warning or info"), std::string::npos);
  EXPECT_NE(Error({{"strict", "maybe"}}).find("true or false"), std::string::npos);
  EXPECT_NE(Error({{"group", "-2"}}).find("group is '-2'"), std::string::npos);
  EXPECT_NE(Error({{"isa", "mmx"}}).find("portable"), std::string::npos);
  EXPECT_NE(Error({{"kernel", "magic"}}).find("reference"), std::string::npos);
}

TEST(DelegateOptions, NullsAreErrors) {
  DelegateOptions options;
  const char* key = "strict";
  const char* none = nullptr;
  EXPECT_FALSE(ParseDelegateOptions(nullptr, nullptr, 1, &options).ok());
  EXPECT_FALSE(ParseDelegateOptions(&key, &none, 1, &options).ok());
  EXPECT_FALSE(ParseDelegateOptions(&none, &key, 1, &options).ok());
}

}  // namespace
}  // namespace tf_signbin
