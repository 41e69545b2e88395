// Every kind of error a user can meet: its id, which never changes its meaning, its exit code, and its story for `fovea explain`.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fovea {

// The documented exit codes of the program; each id has one.
enum class ExitCode : int {
  ok = 0,
  internal = 1,
  usage = 2,
  config = 3,  // model or recipe text
  data = 4,    // data sets and other input files
  device = 5,  // an asked-for backend or device is absent
  memory = 6,
  numeric = 7,   // NaN or infinity in loss or weights
  target = 8,    // a stated target was not reached
  requeue = 75,  // no error: a run stopped as it was asked to, and can go on
};

// The first two digits are the family; where it has a member 0, that is its general one. A new id goes behind the last of its family.
enum class ErrorId : int {
  internal = 1,

  usage = 100,
  command_line = 101,
  flag_value = 102,
  folder_holds_a_run = 103,
  problem_text = 104,
  run_in_use = 105,

  config = 200,
  not_toml = 201,
  missing_key = 202,
  unknown_key = 203,
  bad_value = 204,
  unknown_name = 205,
  no_such_text = 206,
  unfit_layer = 207,
  too_large_layer = 208,
  layer_names = 209,
  blocks = 210,
  network_end = 211,
  network_and_data = 212,
  contradiction = 213,
  recipe_and_data = 214,
  tensor_rules = 215,

  data = 300,
  data_spec = 301,
  missing_data = 302,
  not_idx = 303,
  idx_length = 304,
  bad_gzip = 305,
  empty_data = 306,
  mixed_data = 307,
  cifar_length = 308,
  bad_label = 309,
  class_names = 310,
  empty_class = 311,

  cannot_read = 401,
  cannot_write = 402,
  too_large_file = 403,
  bad_safetensors = 404,
  tensor_type = 405,
  not_a_model = 406,
  foreign_weights = 407,
  bad_record = 408,
  nothing_to_draw = 409,
  bad_checkpoint = 410,
  foreign_checkpoint = 411,
  no_run = 412,
  no_room = 413,
  bad_tuning = 414,
  foreign_tuning = 415,

  device = 500,
  unknown_backend = 501,
  absent_backend = 502,
  device_failure = 503,
  wrong_results = 504,

  memory = 600,
  no_memory_for_images = 601,
  no_memory_for_plan = 602,

  numeric = 700,
  training_not_finite = 701,
  evaluation_not_finite = 702,

  target = 800,
  backends_differ = 801,

  requeue = 900,
};

struct ErrorStory {
  ErrorId id;
  ExitCode code;
  std::string_view title, meaning;
  std::string_view example;  // what leads to it
  std::string_view remedy;   // one line, also the help of an error that gives none of its own
};

std::span<const ErrorStory> error_stories();  // by rising id
const ErrorStory& story_of(ErrorId id);
const ErrorStory* find_story(std::string_view name);  // "E0203", "e203" or "203"; nullptr if there is none
ErrorId general_id(ExitCode code);
std::string name_of(ErrorId id);  // "E0203"

}  // namespace fovea
