// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without a fuzzer: over every file of the folders named as arguments, and over mutations of them.
// The mutations are seeded; AMO_SEED=N reproduces a run.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kMutations = 40;  // of each file

void Run(const std::string& text) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

// Words, signs and white space, so that a mutation is a mistake that people make.
std::vector<std::string> Tokens(const std::string& text) {
  std::vector<std::string> tokens;
  const auto is_word = [](unsigned char c) { return std::isalnum(c) || c == '_' || c >= 0x80; };
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    if (is_word(text[i])) {
      while (end < text.size() && is_word(text[end])) ++end;
    }
    tokens.push_back(text.substr(i, end - i));
    i = end;
  }
  return tokens;
}

std::string Mutated(const std::string& text, std::mt19937_64& random) {
  std::vector<std::string> tokens = Tokens(text);
  if (tokens.size() < 2) return text;
  const auto pick = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (std::size_t edits = 1 + pick(3); edits > 0; --edits) {
    const std::size_t i = pick(tokens.size()), j = pick(tokens.size());
    switch (pick(5)) {
      case 0:
        tokens[i].clear();
        break;
      case 1:
        tokens[i] += tokens[i];
        break;
      case 2:
        std::swap(tokens[i], tokens[j]);
        break;
      case 3:
        tokens[i] = tokens[j];
        break;
      case 4:
        tokens[i] += std::string(1, static_cast<char>(pick(256)));
        break;
    }
  }
  std::string out;
  for (const std::string& token : tokens) out += token;
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const char* given = std::getenv("AMO_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  fmt::print("AMO_SEED={}\n", seed);
  std::mt19937_64 random(seed);
  std::vector<std::filesystem::path> paths;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      if (entry.is_regular_file()) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::size_t files = 0;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    Run(text);
    for (int i = 0; i < kMutations; ++i) Run(Mutated(text, random));
    ++files;
  }
  fmt::print("{} files, {} mutations of each\n", files, kMutations);
  return files > 0 ? 0 : 1;
}
