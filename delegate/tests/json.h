// Reads JSON that this repository wrote: tests' vectors. Dies on anything else.
#ifndef TF_SIGNBIN_TESTS_JSON_H_
#define TF_SIGNBIN_TESTS_JSON_H_

#include <cctype>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace tf_signbin {

// Null, number, string, array or object.
struct Json {
  bool null = false;
  double number = 0;
  std::string text;
  std::vector<Json> items;
  std::map<std::string, Json> members;

  const Json& operator[](const char* key) const { return members.at(key); }

  // All numbers of nested arrays, in order.
  template <typename T>
  std::vector<T> Flat() const {
    std::vector<T> all;
    Append(&all);
    return all;
  }

  static Json Parse(const std::string& text) {
    const char* at = text.c_str();
    return Read(&at);
  }

 private:
  template <typename T>
  void Append(std::vector<T>* all) const {
    if (items.empty()) all->push_back(static_cast<T>(number));
    for (const Json& item : items) item.Append(all);
  }

  static char Next(const char** at) {
    while (std::isspace(static_cast<unsigned char>(**at))) ++*at;
    return **at;
  }
  static void Expect(const char** at, char c) {
    if (Next(at) != c) std::abort();
    ++*at;
  }
  static std::string ReadText(const char** at) {
    Expect(at, '"');
    std::string text;
    for (; **at != '"'; ++*at) {
      if (**at == 0 || **at == '\\') std::abort();
      text += **at;
    }
    ++*at;
    return text;
  }
  static Json Read(const char** at) {
    Json value;
    const char first = Next(at);
    if (first == '[' || first == '{') {
      const char end = first == '[' ? ']' : '}';
      Expect(at, first);
      while (Next(at) != end) {
        if (first == '[') {
          value.items.push_back(Read(at));
        } else {
          const std::string key = ReadText(at);
          Expect(at, ':');
          value.members[key] = Read(at);
        }
        if (Next(at) != end) Expect(at, ',');
      }
      Expect(at, end);
    } else if (first == '"') {
      value.text = ReadText(at);
    } else if (first == 'n') {
      for (const char c : {'n', 'u', 'l', 'l'}) Expect(at, c);
      value.null = true;
    } else {
      char* end = nullptr;
      value.number = std::strtod(*at, &end);
      if (end == *at) std::abort();
      *at = end;
    }
    return value;
  }
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TESTS_JSON_H_
