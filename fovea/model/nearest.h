// The known word that a mistyped one was probably meant to be.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fovea::model {

// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
size_t edit_distance(std::string_view a, std::string_view b);

// The known word that begins the same or is at most a third of the letters away; "" if there is none.
std::string nearest(std::string_view word, std::span<const std::string> known);

// "did you mean `learning_rate`? known keys: a, b, c"; without the question where no word is near. `what` names the words: "keys".
std::string suggestion(std::string_view word, std::string_view what, std::span<const std::string> known);

}  // namespace fovea::model
