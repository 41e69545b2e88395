// The loops of this backend over ranges of an operator's units, for itself and for a backend that shares them out among threads.
// Different ranges of a run write different memory, and each has a workspace of its own.
#pragma once

#include "fovea/backend/backend.h"

namespace fovea::eigen {

// What the work of an operator is counted in: elements, rows or images.
struct Units {
  int64_t count = 1;
  int64_t floats = 1;            // read and written for one of them, about; more where computing takes longer than that
  int64_t workspace_floats = 0;  // of a range
};

// Units [first, first + count).
struct Range {
  int64_t first = 0, count = 0;
};

// Defined by the files of the operator families for what needs no sum over all its units.
template <class Op>
Units units_of(const Op& op);
template <class Op>
void run_part(const Op& op, const Range& range, const Buffers& buffers, void* workspace);

bool has_loops(const Augment& op);  // for its types and numbers of means
bool has_loops(const Reorder& op);  // between these layouts

}  // namespace fovea::eigen
