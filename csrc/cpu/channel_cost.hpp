// What lanes of channels cost, beside those of samples.
#pragma once

#include <cstdint>

#include "core/strips.hpp"

namespace gradcon::cpu {

// Multiply-adds of a sample's score whose channels are side by side, in those that take as long with samples side by
// side; by measurement. A tile of few columns has few accumulators for each weight that it loads; pixels are summed
// across lanes; and weights that no near cache holds are brought again for every sample but the first.
double products_of_channels(const ChainInStrips& channels, int64_t batch);

}  // namespace gradcon::cpu
