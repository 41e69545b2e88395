// SHA-256 of bytes, as lower-case hexadecimal.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace fovea {

std::string sha256(std::span<const std::byte> bytes);

}  // namespace fovea
