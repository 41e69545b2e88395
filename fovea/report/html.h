// A report as one page that needs nothing beside it: no script, no file, no network.
#pragma once

#include <string>
#include <string_view>

#include "fovea/report/comparison.h"

namespace fovea::report {

std::string html_page(const Comparison& comparison);

std::string_view page_style();  // CSS, but for the colours of pictures

}  // namespace fovea::report
