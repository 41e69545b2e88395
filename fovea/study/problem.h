// Problems as oneDNN's benchdnn writes them, so that one line can be given to both programs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fovea/study/op_cases.h"

namespace fovea::study {

// `--conv --dir=BWD_W g1mb32ic64ih56oc64kh3ph1n"layer1"`: settings, then one descriptor, parted by spaces.
//
// Settings: the driver --conv, --pool, --bnorm, --ip or --matmul, which may be left out where the entries tell it; --dir=, one or several
// of FWD_D, FWD_I, BWD_D, BWD_W, BWD_DW separated by commas (without it: every direction that there is); --alg=max, avg_np or avg_p of a
// pool; --mb=, instead of the descriptor's.
// Entries: g mb ic ih iw oc oh ow kh kw sh sw ph pw dh dw eps, each with a number; n and a name at the end; `_` parts them at will. Without
// width entries all is square, without height entries the image is a row. mb is 2 if it is not given, g 1, a stride 1, a dilation 0 (no
// gap). Output sizes follow from the padding, or the padding from the output sizes (half of it in front, rounded down); with neither it
// is 0. A matrix product is MxK:KxN.
//
// A case for each direction, named NAME/OPERATOR. Throws Error (usage) with the entry that cannot be and what there is.
std::vector<OpCase> parse_problem(std::string_view text);

bool looks_like_problem(std::string_view text);  // rather than like the name of a case

// The problem that parses to this operator, every entry of it: `--conv --dir=FWD_D g1mb32...`; "" where benchdnn has none like it.
std::string problem_of(const Op& op);

}  // namespace fovea::study
