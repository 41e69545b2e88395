// The one list of errors. docs/errors.md is made from it: `fovea explain --markdown > docs/errors.md`.
#include "fovea/base/error_stories.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace fovea {
namespace {

constexpr auto stories = std::to_array<ErrorStory>({
    {ErrorId::internal, ExitCode::internal, "a fault of the program itself",
     "Something happened that the program holds to be impossible. Nothing that you gave should be able to cause it.", "none is known",
     "please report it, with the command and all that was printed"},

    {ErrorId::usage, ExitCode::usage, "the command cannot be carried out as it was given",
     "Flags or arguments are each understood, but not together.", "fovea bench op conv --threads 0",
     "`fovea COMMAND --help` shows what the command takes, with examples"},
    {ErrorId::command_line, ExitCode::usage, "the command line is not understood",
     "A command or flag does not exist, or an argument is missing, too many, or of another kind than the flag takes.",
     "fovea trian recipe.toml", "`fovea --help` and `fovea COMMAND --help` show what can be asked"},
    {ErrorId::flag_value, ExitCode::usage, "the value of a flag cannot be read",
     "Flags of `fovea train` are the keys of a recipe; what stands behind a flag is read as that key's value in a recipe would be.",
     "fovea train recipe.toml --epochs many", "give a value of the kind that `fovea train --help` shows; quote it where it has spaces"},
    {ErrorId::folder_holds_a_run, ExitCode::usage, "the folder holds a run already",
     "A run never writes over another one by itself, for its weights would be lost.", "fovea train recipe.toml --out runs/lenet5-1, twice",
     "name another --out, or give --overwrite to replace that run"},
    {ErrorId::problem_text, ExitCode::usage, "a problem for `fovea bench op` is not understood",
     "A problem is written in one line: an operator, its sizes and its options. The message says which word is wrong.",
     "fovea bench op 'conv 0x3'", "`fovea bench op --help` shows how problems are written"},
    {ErrorId::run_in_use, ExitCode::usage, "another process is running in the folder",
     "Two processes that write the same checkpoints would leave a run that is neither. The one that came first keeps the folder locked "
     "until it ends, however it ends.",
     "fovea train --resume DIR, twice at a time", "wait until the other one has ended, or name another --out"},

    {ErrorId::config, ExitCode::config, "a network or a recipe cannot be",
     "The text is read, but what it asks for is not possible. The message says what, and where it stands.",
     "pooling over a window of 0 x 2", "change what the message names"},
    {ErrorId::not_toml, ExitCode::config, "the file is not valid TOML",
     "Networks and recipes are TOML 1.0. The parser stopped at the line named in the message; the cause may stand a line or more before "
     "it, "
     "such as a string, bracket or brace that was not closed.",
     "layers = [ { conv2d = 6, kernel = 5 }", "look at that line and those before it; https://toml.io shows the whole language"},
    {ErrorId::missing_key, ExitCode::config, "a key is missing", "The table needs the key; there is no default that would suit most.",
     "{ conv2d = 6 }, which does not say its kernel", "add the key; models/README.md and docs/results.md list all of them"},
    {ErrorId::unknown_key, ExitCode::config, "a key that nobody reads",
     "Every key must mean something: a mistyped one would otherwise be ignored without a word, and another network or experiment would be "
     "trained than the one that was meant. The message names the key that was probably meant, and all that are known there.",
     "learning_rat = 0.1", "correct the name, or take the key out"},
    {ErrorId::bad_value, ExitCode::config, "a key has a value that it cannot take",
     "The value is of another type than the key takes, or outside its range: negative, zero, too large or not finite.", "epochs = -3",
     "give a value of that kind and range"},
    {ErrorId::unknown_name, ExitCode::config, "a value that should be one of several names is none of them",
     "The key takes a name out of a closed list, such as an optimiser, a schedule or an activation. The message lists all of them.",
     "optimizer = \"adan\"", "take one of the names that the message lists"},
    {ErrorId::no_such_text, ExitCode::config, "there is no such network or recipe",
     "A word is looked up among the networks or recipes that are shipped; what has a `/` or ends in .toml is read as a file.",
     "fovea models lenet6", "`fovea models` lists the networks; a file of your own is given as a path that ends in .toml"},
    {ErrorId::unfit_layer, ExitCode::config, "a layer does not fit what comes into it",
     "The shape that the layers before it give is none that this layer can take: a window larger than its input, channels that the groups "
     "do not divide, an image where values in a row are needed.",
     "{ conv2d = 8, kernel = 30 } on an image of 28 x 28", "change the layer or those before it; `fovea models FILE` shows every shape"},
    {ErrorId::too_large_layer, ExitCode::config, "a network is too large for any machine",
     "A tensor of a layer, or the work for one image, is beyond what any machine can hold or do: mostly a mistyped size.",
     "{ conv2d = 2147483647, kernel = 28 }", "make the sizes smaller"},
    {ErrorId::layer_names, ExitCode::config, "names of layers do not fit together",
     "Layers refer to each other by name, and weights are saved under it. So a name is given once, is made of letters, digits, `_` and "
     "`-`, "
     "stands before it is used, and no output is left that nobody takes.",
     "two layers with name = \"conv1\"", "correct the name, or what refers to it"},
    {ErrorId::blocks, ExitCode::config, "a block cannot be used like this",
     "A block is a list of layers with arguments, used by name. Every argument is given once, none is unknown, no block is left unused or "
     "uses itself, and `$name` stands only where the name has a value.",
     "{ block = \"residual\" }, whose block needs `channels`", "models/README.md shows blocks with their arguments"},
    {ErrorId::network_end, ExitCode::config, "a network does not end as its loss needs it",
     "The last layer gives one value per class, without an activation: the loss works on the values before it. binary_cross_entropy takes "
     "one value. Without a layer that has weights nothing can be trained.",
     "a convolution as the last layer", "end with `{ flatten = true },` and `{ linear = CLASSES },`"},
    {ErrorId::network_and_data, ExitCode::config, "network and data set do not fit",
     "A network is written for images of one size and a number of classes, and the data set has others.",
     "fovea train --model lenet5 --data cifar10:DIR, 28 x 28 x 1 against 32 x 32 x 3",
     "choose a network for such images, or change `input` and the last layer"},
    {ErrorId::contradiction, ExitCode::config, "keys of a recipe contradict each other",
     "Each key is right by itself, but one asks for what another rules out or leaves without meaning.",
     "schedule = \"plateau\" without images to validate on", "change or leave out one of the keys that the message names"},
    {ErrorId::recipe_and_data, ExitCode::config, "recipe and data set do not fit",
     "The recipe gives something per channel, per class or by class name, or takes a share of the images, and the data set has other "
     "channels, "
     "classes or too few images.",
     "mean = [0.5, 0.5, 0.5] for images of one channel", "take the numbers and names from the data set, as the message gives them"},
    {ErrorId::tensor_rules, ExitCode::config, "[[tensors]] leaves nothing to do",
     "A table in [[tensors]] sets nothing or matches no parameter, or all parameters are frozen, so that there is nothing to train.",
     "match = \"conv9.*\" in a network of two convolutions",
     "`fovea models NAME` lists the layers, whose names begin those of the parameters"},

    {ErrorId::data, ExitCode::data, "an input file or data set cannot be used", "The message names the file and what is wrong with it.",
     "a data set whose parts differ", "put the file right, or name another one"},
    {ErrorId::data_spec, ExitCode::data, "the text that asks for a data set is not understood",
     "A data set is asked for by its kind, then a `:` and what the kind needs.", "--data minst:data/mnist",
     "ask for one of: digits[:SEED], mnist:DIR, cifar10:DIR, synthetic:HxWxC:CLASSES[:TRAIN[:TEST]]"},
    {ErrorId::missing_data, ExitCode::data, "files of a data set are missing",
     "The folder does not exist or cannot be looked into, or lacks some of the files that the data set consists of. The message lists "
     "those "
     "that are expected.",
     "--data cifar10:DIR with five of the six batches", "put the files there, with the names that the message lists"},
    {ErrorId::not_idx, ExitCode::data, "the file is not the IDX file that its name says",
     "An IDX file begins with a magic number: 0x00000803 for images, 0x00000801 for labels. Another one means that the file is of another "
     "kind, or that images and labels were exchanged.",
     "train-images-idx3-ubyte is a copy of train-labels-idx1-ubyte", "check that each file is what its name says, or download it again"},
    {ErrorId::idx_length, ExitCode::data, "an IDX file is longer or shorter than its header says",
     "The header gives the sizes; they are compared with the length of the file before anything is read, and no memory is taken for what "
     "the "
     "file cannot hold. A download that broke off is the usual cause.",
     "a header of 60000 x 28 x 28 in a file of 1 MB", "download the file again"},
    {ErrorId::bad_gzip, ExitCode::data, "a gzip file is damaged",
     "The compressed data end too early, contradict themselves, differ from their checksum, or give more or less than the IDX header "
     "inside "
     "promises.",
     "train-images-idx3-ubyte.gz from a download that broke off", "download the file again; `gzip -t FILE` tests it"},
    {ErrorId::empty_data, ExitCode::data, "a data set has no images",
     "A file is whole but holds no image, or none for one of the parts. Nothing can be trained or tested on it.",
     "an IDX file of 0 x 28 x 28", "name a data set with at least one image in each part"},
    {ErrorId::mixed_data, ExitCode::data, "the files of a data set do not belong together",
     "Images and labels are of different number, training and test images of different size, or a label occurs in the test that training "
     "does not know. Mostly files of two data sets lie in one folder.",
     "60,000 images with 10,000 labels", "take all files from the same data set"},
    {ErrorId::cifar_length, ExitCode::data, "a CIFAR-10 batch has no whole number of images",
     "Each image takes 3,073 bytes in the binary version. The file was cut, or is of the Python or Matlab version.",
     "data_batch_1.bin of 1,000,000 bytes", "download the binary version, cifar-10-binary.tar.gz, again"},
    {ErrorId::bad_label, ExitCode::data, "a label is out of range",
     "The label of an image is none of the classes. The file is damaged or of another data set, such as CIFAR-100.",
     "a batch of CIFAR-10 with the label 200", "download the file again, or name the right data set"},
    {ErrorId::class_names, ExitCode::data, "the names of the classes do not fit",
     "The file of class names has more or fewer names than there are classes.", "batches.meta.txt with nine lines",
     "give one name on each line, or remove the file: then the usual names are used"},
    {ErrorId::empty_class, ExitCode::data, "a class has no image",
     "class_weights = \"balanced\" divides by the number of images of each class, and one has none.",
     "validation took the only image of a class", "give class_weights as numbers, or leave them out"},

    {ErrorId::cannot_read, ExitCode::data, "a file cannot be read",
     "The system refuses to open or read it, in the words that end the message: it does not exist, this user may not read it, or it is a "
     "folder.",
     "fovea train no_such_recipe.toml", "check the path and its permissions (`ls -l FILE`)"},
    {ErrorId::cannot_write, ExitCode::data, "a file or folder cannot be written",
     "The system refuses, in the words that end the message: no permission, no space, a file where a folder should be. Files are "
     "written beside their place and renamed when they are whole, so what was there before is still there.",
     "--out on a full disk", "make room or choose another folder (`df -h FOLDER`, `ls -ld FOLDER`)"},
    {ErrorId::too_large_file, ExitCode::data, "a file is far larger than its kind can be",
     "Networks, recipes and records are short texts. A file beyond the limit that the message names is not read at all.",
     "fovea train weights.bin", "name the text that was meant"},
    {ErrorId::bad_safetensors, ExitCode::data, "the file is no whole safetensors file",
     "A safetensors file is the length of its header, the header, and the tensors, each byte once. The message says where this one "
     "departs from that; it was cut, damaged, or is of another format.",
     "best.safetensors, of which half was copied", "copy or download the file again, or train anew"},
    {ErrorId::tensor_type, ExitCode::data, "a tensor is of a type that is not read", "fovea reads F32, F64, U8, U16 and I32.",
     "a file with tensors in BF16", "convert the tensors to F32 where they come from"},
    {ErrorId::not_a_model, ExitCode::data, "the file is not a model that fovea wrote",
     "It is a whole safetensors file, but lacks the metadata that `fovea train` writes beside the weights (the network's text, the "
     "normalisation, the classes), or they are damaged or of another version.",
     "weights saved by another program", "give the folder of a run, or a best.safetensors that `fovea train` wrote"},
    {ErrorId::foreign_weights, ExitCode::data, "the weights are not those of the network",
     "Each parameter of the network must be in the file under its name, as f32 and in its shape, and nothing else. Here the file mixes two "
     "networks, or was changed.",
     "the header of one run with the tensors of another", "give a best.safetensors as `fovea train` wrote it"},
    {ErrorId::bad_record, ExitCode::data, "a record or history is damaged",
     "Results are JSON and histories are tables with commas, whose keys and columns docs/results.md describes. This one is cut, lacks "
     "some, "
     "or is of another version.",
     "fovea table with an empty result.json", "name the files that `fovea train` wrote; docs/results.md describes them"},
    {ErrorId::nothing_to_draw, ExitCode::data, "the records hold nothing to draw",
     "A picture shows the accuracy of runs or speeds in images/s, and the files have neither.", "fovea plot results/time.jsonl",
     "give the folders of runs, or records whose unit is images/s"},
    {ErrorId::bad_checkpoint, ExitCode::data, "the file is no whole checkpoint",
     "Every byte of a checkpoint is under a checksum, and docs/checkpoints.md says where each belongs. This file was cut or changed, is of "
     "another format or version, or says what no run can have come to. Where the older generation is whole, --resume takes that.",
     "last.ckpt and previous.ckpt on a disk that lost blocks", "restore the file from a copy, or start the run anew with another --out"},
    {ErrorId::foreign_checkpoint, ExitCode::data, "the checkpoint is of another run",
     "A run goes on to the same bits only with the data, the network and the settings that it was started with; the message names the "
     "first difference. Settings that leave the result as it is may change: docs/checkpoints.md lists them.",
     "last.ckpt copied from the folder of another run", "restore what the run was started with, or start another one with another --out"},
    {ErrorId::no_run, ExitCode::data, "the folder holds no run",
     "A run begins with writing config.toml to its folder; without it there is nothing to go on with.", "fovea train --resume runs",
     "name the folder that `fovea train` said it would leave its files in"},
    {ErrorId::no_room, ExitCode::data, "the disk has no room for the checkpoints",
     "Two checkpoints are kept while the next one is written. Whether they fit is looked at before the first step, not after hours of "
     "training.",
     "--out on a disk that is nearly full", "make room (`df -h FOLDER`), or name another folder with --out"},
    {ErrorId::bad_tuning, ExitCode::data, "the file holds no choices that were measured",
     "A run that measures which engine or which backend is the fastest keeps what it found in tuning.json: JSON with the platform, and for "
     "each problem what was taken, what was rejected and both times. This file is cut, changed or of another kind, or names what this "
     "program does not have.",
     "a tuning.json that was edited by hand",
     "leave out --tuning, and the choices are measured; in the folder of a run remove the file: its checkpoints hold the choices too"},
    {ErrorId::foreign_tuning, ExitCode::data, "the choices were measured on another machine",
     "What is fastest depends on the device, its driver and its libraries, so choices that were measured elsewhere may be slow here or "
     "name "
     "what is not here. The message names both platforms.",
     "fovea train --tuning FILE with a file from another GPU", "leave out --tuning, and the choices are measured here"},

    {ErrorId::device, ExitCode::device, "a device cannot do what is asked", "The message names the device and the cause.",
     "fovea machine where no backend can measure", "`fovea doctor` shows what this machine has"},
    {ErrorId::unknown_backend, ExitCode::device, "there is no such backend",
     "No backend has that name in this version. Nothing is run on another one instead, so that a result is never of something else "
     "than what was asked for.",
     "--backend tpu", "take one that `fovea doctor` lists"},
    {ErrorId::absent_backend, ExitCode::device, "the backend is not available on this machine",
     "fovea knows the backend, but this build or machine lacks what it needs: a module, a driver or a device. Nothing is run on another "
     "one "
     "instead.",
     "--backend cuda without an NVIDIA GPU", "`fovea doctor` says what is missing and how to get it"},
    {ErrorId::device_failure, ExitCode::device, "the device reported a failure",
     "A call to the driver failed while the device was in use. The message holds its words.", "a GPU that was taken out of service",
     "`fovea doctor` tests the device; after a crash a new process may find it well again"},
    {ErrorId::wrong_results, ExitCode::device, "a backend computes wrong results",
     "`fovea doctor` runs a small convolution on each backend and compares it with the reference. One of them is beyond the tolerance.",
     "fovea doctor on a damaged GPU", "please report this with the lines above"},

    {ErrorId::memory, ExitCode::memory, "out of memory", "The system did not give the memory that was asked for.",
     "a data set larger than the memory", "use a smaller batch, network or data set"},
    {ErrorId::no_memory_for_images, ExitCode::memory, "no memory for the images of a data set",
     "Data sets are held in memory, a byte per pixel and channel. The message names the sizes.", "--data synthetic:4096x4096x3:10:1000000",
     "use fewer or smaller images, or a machine with more memory"},
    {ErrorId::no_memory_for_plan, ExitCode::memory, "no memory for the network",
     "Weights, activations and workspace are laid out before the first batch, and they need more memory than the device has free or "
     "memory_limit allows. The message names the largest batch that fits.",
     "a batch of 100,000 of resnet50",
     "use a smaller batch, `--batch auto`, `--recompute` or a smaller network; `fovea plan` shows what is needed"},

    {ErrorId::numeric, ExitCode::numeric, "a number is NaN or infinite", "The message says where it was seen.", "images of NaN",
     "train with a smaller learning_rate, or look for such values in the data"},
    {ErrorId::training_not_finite, ExitCode::numeric, "training gave NaN or infinity",
     "A loss or a gradient was no longer a finite number. The weights are as they were before that step, and so is the checkpoint. The "
     "message names the step and the layer where it came up first. Mostly the learning rate is too high.",
     "--learning-rate 1000", "train with a smaller learning_rate, with warmup_epochs, or with clip_norm"},
    {ErrorId::evaluation_not_finite, ExitCode::numeric, "evaluation gave NaN or infinity",
     "The losses of some images under evaluation are not finite: the weights, or what the layers make of them, are too large.",
     "the last step of an epoch with too high a learning rate",
     "train with a smaller learning_rate, other initial weights or another normalisation"},

    {ErrorId::target, ExitCode::target, "a stated target was not reached", "The message says which, and by how much.",
     "an accuracy below what was asked for", "look at the values that the message names"},
    {ErrorId::backends_differ, ExitCode::target, "two backends differ beyond tolerance",
     "`fovea diff` compares the same step on two backends part by part. The message names the first part whose results differ by more than "
     "the tolerance of its operators.",
     "fovea diff lenet5 reference eigen, after a change to a kernel",
     "`--all` shows every part, `--no-claims` the same with nothing fused"},

    {ErrorId::requeue, ExitCode::requeue, "stopped on request, to be continued",
     "The run has saved where it stands and can go on from there.", "a job that its scheduler takes back", "start it again with --resume"},
});

constexpr bool rising() {
  for (size_t i = 1; i < stories.size(); ++i)
    if (stories[i - 1].id >= stories[i].id) return false;
  return true;
}
static_assert(rising());

const ErrorStory* find_number(int number) {
  const auto found = std::ranges::lower_bound(stories, static_cast<ErrorId>(number), {}, &ErrorStory::id);
  return found != stories.end() && static_cast<int>(found->id) == number ? &*found : nullptr;
}

}  // namespace

std::span<const ErrorStory> error_stories() { return stories; }

const ErrorStory& story_of(ErrorId id) {
  const ErrorStory* story = find_number(static_cast<int>(id));
  return story != nullptr ? *story : stories.front();
}

const ErrorStory* find_story(std::string_view name) {
  if (name.starts_with('E') || name.starts_with('e')) name.remove_prefix(1);
  int number = 0;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
  return failure == std::errc() && end == name.data() + name.size() ? find_number(number) : nullptr;
}

ErrorId general_id(ExitCode code) {
  const auto found = std::ranges::find(stories, code, &ErrorStory::code);
  return found != stories.end() ? found->id : ErrorId::internal;
}

std::string name_of(ErrorId id) { return fmt::format("E{:04}", static_cast<int>(id)); }

}  // namespace fovea
