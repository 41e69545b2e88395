// Where cuDNN and cuBLASLt lie. Nothing of them is linked: they are opened when the backend is.
#pragma once

#include "fovea/backend/module.h"

namespace fovea::cudnn {

enum class Which { cudnn, cublas_lt };

Absence absence_of_libraries();     // looks for files and opens nothing, unless only the loader could know one
void* open_library(Which library);  // throws Error (device) with the loader's words

}  // namespace fovea::cudnn
