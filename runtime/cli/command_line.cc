// SPDX-License-Identifier: Apache-2.0
// CLI11 with our help and our words for wrong use.
#include "runtime/cli/command_line.h"

#include <fmt/format.h>

#include <cctype>
#include <utility>

#include "lang/diagnostic.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/terminal.h"

namespace amo::runtime::cli {
namespace {

// What is wrong with the first argument that no option took; "" when there is none.
std::string AboutExtra(const CLI::App& app) {
  const std::vector<std::string> extras = app.remaining();
  if (extras.empty()) return {};
  const std::string word = extras[0].substr(0, extras[0].find('='));
  if (word.size() < 2 || word[0] != '-') return fmt::format("unexpected argument `{}`", extras[0]);
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  const std::string nearest = lang::Nearest(word, known);
  return fmt::format("unknown option `{}`{}", word,
                     nearest.empty() ? "" : fmt::format("; did you mean `{}`?", nearest));
}

// CLI11's layout with nothing but the kind of value behind an option's name.
class Layout : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string type = option->get_type_name();
    return type.empty() ? "" : " " + type;
  }
};

std::string InOurStyle(std::string message) {
  while (!message.empty() && (message.back() == '.' || std::isspace(static_cast<unsigned char>(message.back())))) {
    message.pop_back();
  }
  return message;
}

}  // namespace

std::unique_ptr<CLI::App> MakeCommandLine(const std::string& name, const std::string& description,
                                          const std::string& example) {
  auto app = std::make_unique<CLI::App>(description, "amo " + name);
  app->allow_extras();  // so that ours is the message about them
  app->footer("Example:\n  " + example);
  const auto layout = std::make_shared<Layout>();
  layout->column_width(24);
  layout->label("Positionals", "Arguments");
  app->formatter(layout);
  app->set_help_flag("-h,--help", "this text");
  return app;
}

std::optional<int> ReadCommandLine(CLI::App& app, const std::vector<std::string>& arguments) {
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes them from the end
  } catch (const CLI::CallForHelp&) {
    Print(app.help());
    return kOk;
  } catch (const CLI::ParseError& error) {
    const std::string extra = AboutExtra(app);
    return WrongUse(app, extra.empty() ? InOurStyle(error.what()) : extra);
  }
  const std::string extra = AboutExtra(app);
  if (!extra.empty()) return WrongUse(app, extra);
  return std::nullopt;
}

int WrongUse(const CLI::App& app, const std::string& message) {
  PrintError(fmt::format("{0}: {1}\n`{0} --help` shows the use\n", app.get_name(), message));
  return kUsage;
}

}  // namespace amo::runtime::cli
