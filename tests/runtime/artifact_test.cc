// SPDX-License-Identifier: Apache-2.0
// Models to .amoz and back; what is said of files that are none, are of a later release, or are damaged anywhere.
#include "runtime/artifact.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <string_view>

#include "runtime/digest.h"
#include "runtime/output_file.h"
#include "runtime/safetensors.h"
#include "runtime/zip_archive.h"
#include "tests/runtime/scratch.h"

namespace amo::runtime {
namespace {

using Bytes = std::vector<std::byte>;

Bytes ToBytes(std::string_view text) {
  Bytes bytes(text.size());
  if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::string ToText(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

Artifact Sample() {
  Artifact a;
  a.sources = {
      {"lib/ü.amo", "# a library\n"}, {"../lib/ü.amo", ""}, {"..", "x"}, {"/deep/ot.amo", "minimize 1\n\xff\n"}};
  a.problem = "transport";
  a.variant = "a \"quoted\" one";
  a.overrides = {{"N", "2 + 3"}, {"eps", "1e-3"}};
  a.record = R"({"loss": [1.5, 0.25]})";
  a.weights = {MakeDoubles("layer.weight", {2, 2}, {1, 2, NAN, -4}),
               Convert(MakeDoubles("layer.bias", {2}, {1, 2}), DType::kFloat32)};
  a.data = {Convert(MakeDoubles("labels", {3}, {1, 2, 3}), DType::kUint8), MakeDoubles("none", {0, 3}, {})};
  a.state = {Convert(MakeDoubles("step", {}, {12}), DType::kInt64)};
  a.version = "0.1.0";
  return a;
}

bool Same(const std::vector<Array>& a, const std::vector<Array>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Array& x, const Array& y) {
    return x.name == y.name && x.dtype == y.dtype && x.shape == y.shape && x.data == y.data;
  });
}

bool Same(const Artifact& a, const Artifact& b) {
  return a.sources == b.sources && a.problem == b.problem && a.variant == b.variant && a.overrides == b.overrides &&
         a.record == b.record && a.version == b.version && Same(a.weights, b.weights) && Same(a.data, b.data) &&
         Same(a.state, b.state);
}

void Put(const std::string& path, std::span<const std::byte> bytes) {
  const Result<Done> written = WriteFile(path, bytes);
  ASSERT_TRUE(written.ok()) << written.message();
}

std::string Message(const std::string& path) {
  const Result<Artifact> artifact = ReadArtifact(path);
  return artifact.ok() ? "" : artifact.message();
}

Bytes Written(const Artifact& artifact, const std::string& path) {
  const Result<Done> written = WriteArtifact(path, artifact);
  EXPECT_TRUE(written.ok()) << written.message();
  return ToBytes(Read(path));
}

std::vector<ZipEntry> Entries(const Bytes& bytes) {
  Result<std::vector<ZipEntry>> entries = ParseZip(bytes, bytes.size());
  EXPECT_TRUE(entries.ok()) << entries.message();
  return *entries;
}

// The message for the sample with its entries changed.
std::string Changed(const std::string& path, const std::function<void(std::vector<ZipEntry>&)>& change) {
  std::vector<ZipEntry> entries = Entries(Written(Sample(), path));
  change(entries);
  const Result<Bytes> bytes = PrintZip(entries);
  EXPECT_TRUE(bytes.ok()) << bytes.message();
  Put(path, *bytes);
  return Message(path);
}

// The same with one piece of the manifest replaced.
std::string ChangedManifest(const std::string& path, const std::string& from, const std::string& to) {
  return Changed(path, [&](std::vector<ZipEntry>& entries) {
    std::string text = ToText(entries[0].bytes);
    const std::size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << text;
    entries[0].bytes = ToBytes(text.replace(at, from.size(), to));
  });
}

TEST(Artifact, RoundTrips) {
  const std::string path = Folder() + "/ot.amoz";
  Written(Sample(), path);
  const Result<Artifact> back = ReadArtifact(path);
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_TRUE(Same(*back, Sample()));
}

TEST(Artifact, RoundTripsWhenEmpty) {
  const std::string path = Folder() + "/ot.amoz";
  Written(Artifact{}, path);
  const Result<Artifact> back = ReadArtifact(path);
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_TRUE(Same(*back, Artifact{}));
}

TEST(Artifact, RoundTripsWhateverTheValues) {
  const std::string path = Folder() + "/ot.amoz";
  std::mt19937 random(3);
  for (int k = 0; k < 50; ++k) {
    const auto text = [&] {
      std::string s(random() % 30, ' ');
      for (char& c : s) c = static_cast<char>(random() % 127 + 1);
      return s;
    };
    const auto arrays = [&] {
      std::vector<Array> list;
      for (unsigned n = random() % 4; n-- > 0;) {
        Array a = MakeArray(std::to_string(n) + text(), static_cast<DType>(random() % 6), {});
        for (unsigned d = random() % 4; d-- > 0;) a.shape.push_back(random() % 4);
        a.data.resize(static_cast<std::size_t>(Count(a)) * SizeOf(a.dtype));
        for (std::byte& b : a.data) b = std::byte(random() % 256);
        list.push_back(std::move(a));
      }
      return list;
    };
    Artifact a{{}, text(), text(), {}, text(), arrays(), arrays(), arrays(), text()};
    for (unsigned n = random() % 4; n-- > 0;) a.sources.emplace_back(text(), text());
    for (unsigned n = random() % 4; n-- > 0;) a.overrides.emplace_back(text(), text());
    Written(a, path);
    const Result<Artifact> back = ReadArtifact(path);
    ASSERT_TRUE(back.ok()) << back.message();
    ASSERT_TRUE(Same(*back, a));
  }
}

TEST(Artifact, EqualModelsGiveEqualFiles) {
  const std::string folder = Folder();
  EXPECT_EQ(Written(Sample(), folder + "/a.amoz"), Written(Sample(), folder + "/b.amoz"));
  EXPECT_EQ(Files(folder), 2U);
}

TEST(Artifact, EntriesStayWithinTheirFolder) {
  std::vector<std::string> names;
  for (const ZipEntry& e : Entries(Written(Sample(), Folder() + "/ot.amoz"))) names.push_back(e.name);
  EXPECT_EQ(names, (std::vector<std::string>{"manifest.json", "source/lib/__.amo", "source/1/lib/__.amo",
                                             "source/2/unnamed", "source/deep/ot.amo", "record.json",
                                             "weights.safetensors", "data.safetensors", "state.safetensors"}));
}

TEST(Artifact, FilesThatAreNoModels) {
  const std::string folder = Folder(), path = folder + "/x.amoz";
  EXPECT_EQ(Message(path), "file `" + path + "` does not exist");
  EXPECT_EQ(Message(folder), "`" + folder + "` is a folder, not a trained model");
  Put(path, {});
  EXPECT_EQ(Message(path), "`" + path + "` is empty: expected a trained model");
  Put(path, ToBytes("minimize x\n"));
  EXPECT_EQ(Message(path), "`" + path + "` is a text, not a trained model");
  Put(path, ToBytes(std::string(1000, '\0')));
  EXPECT_EQ(Message(path), "`" + path + "` is neither a zip archive nor a text, not a trained model");
  const std::string program = folder + "/x.amo";
  Put(program, ToBytes("minimize x  # ü\n"));
  EXPECT_EQ(Message(program), "`" + program + "` is a program, not a trained model: `amo train` makes one");
  for (const std::vector<ZipEntry>& entries : {std::vector<ZipEntry>{}, {{"x.npy", Bytes(10), ""}}}) {
    Put(path, *PrintZip(entries));
    EXPECT_EQ(Message(path), "`" + path + "` is a zip archive, but not an amo model: it has no `manifest.json`");
  }
}

TEST(Artifact, ALaterFormatIsNamed) {
  const std::string path = Folder() + "/ot.amoz", later = R"({"format": 2, "amo": "9.0", "entries": "elsewhere"})";
  EXPECT_EQ(Changed(path, [&](auto& entries) { entries[0].bytes = ToBytes(later); }),
            "`" + path + "` was written by a later release, amo 9.0: it has format 2, this one reads up to 1");
}

TEST(Artifact, WhatIsUnknownIsPassedOver) {
  const std::string path = Folder() + "/ot.amoz";
  EXPECT_EQ(ChangedManifest(path, "\"format\": 1", "\"format\": 1, \"new\": [1]"), "");
  EXPECT_EQ(Changed(path, [](auto& entries) { entries.push_back({"notes.txt", ToBytes("x"), ""}); }), "");
}

TEST(Artifact, MalformedManifests) {
  const std::string path = Folder() + "/ot.amoz", begin = "`manifest.json` in `" + path + "` is malformed: ";
  const auto whole = [&](const std::string& text) {
    return Changed(path, [&](auto& entries) { entries[0].bytes = ToBytes(text); });
  };
  EXPECT_EQ(whole(""), begin + "it is no JSON object");
  EXPECT_EQ(whole("[]"), begin + "it is no JSON object");
  EXPECT_EQ(whole("{}"), begin + "`format` is no number");
  EXPECT_EQ(whole(R"({"format": 0})"), begin + "`format` is no number");
  EXPECT_EQ(whole(R"({"format": "1"})"), begin + "`format` is no number");
  EXPECT_EQ(whole(R"({"format": 1})"), begin + "`amo` is missing or is no string");
  struct Case {
    const char *from, *to, *says;
  };
  const Case cases[] = {
      {"\"problem\": \"transport\"", "\"problem\": 3", "`problem` is missing or is no string"},
      {"\"variant\"", "\"other\"", "`variant` is missing or is no string"},
      {"\"2 + 3\"", "5", "`overrides` is no list of pairs of texts"},
      {"\"overrides\"", "\"other\"", "`overrides` is missing or is no array"},
      {"\"entry\": \"source/deep/ot.amo\"", "\"entry\": \"source/lib/__.amo\"", "`sources` has an entry twice"},
      {"\"entry\": \"source/deep/ot.amo\"", "\"entry\": \"source/ot.amo\"", "`entries` has no `source/ot.amo`"},
      {"\"path\"", "\"place\"", "`path` is missing or is no string"},
      {"\"weights.safetensors\": {", "\"other\": {", "`entries` has no `weights.safetensors`"},
      {"\"bytes\": 21", "\"bytes\": -21", "in the entry `record.json`, `bytes` is missing or is no number"},
      {"\"sha256\"", "\"sha1\"", "in the entry `data.safetensors`, `sha256` is missing or is no string"},
  };
  for (const Case& c : cases) EXPECT_EQ(ChangedManifest(path, c.from, c.to), begin + c.says) << c.from;
}

TEST(Artifact, DamagedEntriesAreNamed) {
  const std::string path = Folder() + "/ot.amoz";
  for (const ZipEntry& entry : Entries(Written(Sample(), path))) {
    if (entry.name == "manifest.json") continue;
    const auto find = [&](std::vector<ZipEntry>& entries) {
      return std::find_if(entries.begin(), entries.end(), [&](const ZipEntry& e) { return e.name == entry.name; });
    };
    const std::string damaged = "`" + entry.name + "` in `" + path + "` is damaged";
    // Zipped anew, so that the checksums of the archive itself are right.
    EXPECT_EQ(Changed(path, [&](auto& entries) { find(entries)->bytes.push_back(std::byte{1}); }), damaged);
    EXPECT_EQ(Changed(path, [&](auto& entries) { entries.erase(find(entries)); }),
              "`" + entry.name + "` in `" + path + "` is missing");
    if (entry.bytes.empty()) continue;
    EXPECT_EQ(Changed(path, [&](auto& entries) { find(entries)->bytes.back() ^= std::byte{1}; }), damaged);
    EXPECT_EQ(Changed(path, [&](auto& entries) { find(entries)->bytes.pop_back(); }), damaged);
    // In place, where the archive's checksum tells.
    Bytes whole = Written(Sample(), path);
    const auto at = std::search(whole.begin(), whole.end(), entry.bytes.begin(), entry.bytes.end());
    ASSERT_NE(at, whole.end());
    *at ^= std::byte{1};
    Put(path, whole);
    EXPECT_EQ(Message(path), damaged);
  }
  // A hash that is right does not make the entry one that can be read.
  const Bytes bad = ToBytes("not safetensors");
  const Bytes good = PrintSafetensors(Sample().weights);
  const std::string message = Changed(path, [&](std::vector<ZipEntry>& entries) {
    std::string manifest = ToText(entries[0].bytes);
    const std::string size = "\"bytes\": " + std::to_string(good.size());
    manifest.replace(manifest.find(size), size.size(), "\"bytes\": " + std::to_string(bad.size()));
    manifest.replace(manifest.find(Sha256(good)), 64, Sha256(bad));
    entries[0].bytes = ToBytes(manifest);
    for (ZipEntry& e : entries) {
      if (e.name == "weights.safetensors") e.bytes = bad;
    }
  });
  EXPECT_EQ(message, "`weights.safetensors` in `" + path + "` is not in .safetensors format");
}

TEST(Artifact, EveryTruncationIsAnError) {
  const std::string path = Folder() + "/ot.amoz";
  const Bytes whole = Written(Sample(), path);
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const Result<Artifact> cut =
        ParseArtifact(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)), "x");
    ASSERT_FALSE(cut.ok()) << size;
    EXPECT_EQ(cut.message(),
              "`x` is truncated or damaged: the zip archive's list of entries, at its end, cannot be read");
  }
  Put(path, std::span(whole).first(whole.size() / 2));
  EXPECT_TRUE(Message(path).starts_with("`" + path + "` is truncated or damaged: "));
}

// A byte that changes anywhere is found, or is one that says nothing about the model.
TEST(Artifact, DamageAnywhereIsFoundOrHarmless) {
  const Bytes whole = Written(Sample(), Folder() + "/ot.amoz");
  const Artifact sample = Sample();
  int refused = 0;
  const auto judge = [&](const Bytes& bytes) {
    const Result<Artifact> artifact = ParseArtifact(bytes, "x.amoz");
    refused += !artifact.ok();
    if (artifact.ok()) { ASSERT_TRUE(Same(*artifact, sample)); }
  };
  std::mt19937 random(5);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128, 255, static_cast<int>(random() % 255 + 1)}) {
      Bytes bytes = whole;
      bytes[at] ^= static_cast<std::byte>(flip);
      judge(bytes);
    }
  }
  for (int k = 0; k < 2000; ++k) {  // whole regions
    Bytes bytes = whole;
    const std::size_t at = random() % bytes.size(), size = random() % std::min<std::size_t>(64, bytes.size() - at) + 1;
    for (std::size_t j = at; j < at + size; ++j) bytes[j] = std::byte(random() % 256);
    judge(bytes);
  }
  EXPECT_GT(refused, static_cast<int>(whole.size()));
}

TEST(Artifact, WritingSaysWhyItCannot) {
  const std::string folder = Folder(), path = folder + "/ot.amoz";
  const auto message = [&](const std::string& to, const Artifact& a) {
    const Result<Done> written = WriteArtifact(to, a);
    return written.ok() ? "" : written.message();
  };
  EXPECT_EQ(message(folder + "/x/ot.amoz", Sample()),
            "cannot write `" + folder + "/x/ot.amoz`: no such folder `" + folder + "/x`");
  EXPECT_EQ(message(folder, Sample()), "cannot write `" + folder + "`: it is a folder");
  Artifact twice = Sample();
  twice.data.push_back(twice.data[0]);
  EXPECT_EQ(message(path, twice), "cannot write `" + path + "`: `data.safetensors`: two fields are called `labels`");
  EXPECT_EQ(Files(folder), 0U);

  Written(Sample(), path);
  Artifact large = Sample();
  large.record = std::string(100000, ' ');
  std::string full_message;
  {
    const FullDisk full(20000);
    full_message = message(path, large);
  }
  EXPECT_EQ(full_message, "cannot write `" + path + "`: " + std::strerror(EFBIG));
  const Result<Artifact> back = ReadArtifact(path);
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_TRUE(Same(*back, Sample()));
  EXPECT_EQ(Files(folder), 1U);
}

TEST(Digest, KnownValues) {
  EXPECT_EQ(Sha256({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256(ToBytes("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Zip, NoLengthIsBelieved) {
  const Bytes bytes = *PrintZip({{"a", Bytes(1000), ""}, {"b", Bytes(10), ""}});
  const Result<std::vector<ZipEntry>> entries = ParseZip(bytes, 999);
  ASSERT_TRUE(entries.ok()) << entries.message();
  EXPECT_EQ((*entries)[0].damage, "it is too large for its archive");
  EXPECT_EQ((*entries)[0].bytes.size(), 0U);
  EXPECT_EQ((*entries)[1].bytes.size(), 10U);
}

}  // namespace
}  // namespace amo::runtime
