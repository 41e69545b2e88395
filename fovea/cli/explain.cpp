// fovea explain: the long story of an error.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "fovea/base/error.h"
#include "fovea/cli/commands.h"

namespace fovea::cli {
namespace {

constexpr const char* description = R"(Tells what an error means, what leads to it and how to put it right.

Examples:
  fovea explain E0203    the error whose message began with error[E0203]
  fovea explain          all of them in a line each
)";

void tell(const std::string& name) {
  const ErrorStory* story = find_story(name);
  if (story == nullptr)
    throw Error(ErrorId::command_line, fmt::format("there is no error `{}`", name))
        .help("`fovea explain` lists all of them, such as E0203");
  fmt::print("{}: {} (exit code {})\n\n{}\n\nFor example: {}\nRemedy: {}\n", name_of(story->id), story->title,
             static_cast<int>(story->code), story->meaning, story->example, story->remedy);
}

void list() {
  for (const ErrorStory& story : error_stories()) fmt::print("{}  {}\n", name_of(story.id), story.title);
}

void print_markdown() {
  fmt::print(
      "# Errors\n<!-- written by `fovea explain --markdown > docs/errors.md` -->\n"
      "Every error that the program reports begins with `error[ID]`. An id keeps its meaning; `fovea explain ID` tells what stands "
      "here.\n");
  for (const ErrorStory& story : error_stories())
    fmt::print("\n## {}: {}\n{}\n\n| | |\n| --- | --- |\n| exit code | {} |\n| for example | {} |\n| remedy | {} |\n", name_of(story.id),
               story.title, story.meaning, static_cast<int>(story.code), story.example, story.remedy);
}

}  // namespace

void add_explain(CLI::App& program) {
  CLI::App* command = program.add_subcommand("explain", description);
  struct Arguments {
    std::string id;
    bool markdown = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("id", arguments->id, "as in the brackets of the message")->type_name("ID");
  command->add_flag("--markdown", arguments->markdown, "all of them, as docs/errors.md");
  command->callback([arguments] {
    if (arguments->markdown) return print_markdown();
    arguments->id.empty() ? list() : tell(arguments->id);
  });
  const auto and_no_more = [](const std::string& id) {
    tell(id);
    throw CLI::Success();
  };
  program.add_option_function<std::string>("--explain", and_no_more, "the same as `fovea explain ID`")->type_name("ID")->trigger_on_parse();
}

}  // namespace fovea::cli
