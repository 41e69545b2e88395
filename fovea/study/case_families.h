// The cases of one shape, forward and backward, overwriting and adding: the building blocks of the table and of the random cases.
#pragma once

#include "fovea/study/op_cases.h"

namespace fovea::study {

std::string text_of(const Conv2dShape& shape);
std::string text_of(const PoolShape& shape);

// Appends to `cases`; `prefix` names the layer where the shape is one of a known network.
void add_conv2d(std::vector<OpCase>& cases, const Conv2dShape& shape, const std::string& prefix = "");
void add_max_pool(std::vector<OpCase>& cases, const PoolShape& shape, const std::string& prefix = "");
void add_avg_pool(std::vector<OpCase>& cases, const PoolShape& shape, CountPadding count_padding, const std::string& prefix = "");
void add_linear(std::vector<OpCase>& cases, const LinearShape& shape, const std::string& prefix = "");
void add_bias(std::vector<OpCase>& cases, int64_t rows, int64_t k);

void add_batch_norms(std::vector<OpCase>& cases);
void add_joins(std::vector<OpCase>& cases);  // add, concat, shortcut
void add_updates(std::vector<OpCase>& cases);

}  // namespace fovea::study
