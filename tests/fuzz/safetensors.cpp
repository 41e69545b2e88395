// Safetensors: no tensor holds other bytes than its shape says, and all of them together no more than the file.
#include "fovea/io/safetensors.h"

#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  fuzz::read_or_refuse([&] {
    size_t bytes = 0;
    for (const io::NamedTensor& tensor : io::parse_safetensors(fuzz::text_of({data, size}), "input.safetensors").tensors) {
      fuzz::require(tensor.bytes.size() == static_cast<size_t>(tensor.shape.elements()) * bytes_of(tensor.dtype));
      bytes += tensor.bytes.size();
    }
    fuzz::require(bytes <= size);
  });
  return 0;
}
