// From lanes to contiguous samples.
#pragma once

#include <cstdint>

#include "core/chain.hpp"
#include "core/strips.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// Writes `count` samples [sample][channel][row][column].
template <class LaneType, class T = typename LaneType::Scalar>
inline void from_lanes(const Extents& extents, const T* lanes, int64_t count, T* samples) {
  const int64_t size = size_of(extents);
  for (int64_t position = 0; position < size; ++position) {
    for (int64_t sample = 0; sample < count; ++sample) {
      samples[sample * size + position] = lanes[position * LaneType::samples + sample];
    }
  }
}

// The same of samples that are cut into strips.
template <class LaneType, class T = typename LaneType::Scalar>
inline void from_strips(const CutRows& cut, int64_t channels, const T* lanes, int64_t count, T* samples) {
  const int64_t samples_of_block = LaneType::samples / cut.strips;
  for (int64_t channel = 0; channel < channels; ++channel) {
    for (int64_t row = 0; row < cut.grid_rows; ++row) {
      const int64_t strip = cut.strip_of(row);
      const T* line = lanes + (channel * cut.strip_rows + row - strip * cut.step) * cut.columns * LaneType::samples;
      for (int64_t sample = 0; sample < count; ++sample) {
        T* target = samples + ((sample * channels + channel) * cut.grid_rows + row) * cut.columns;
        for (int64_t column = 0; column < cut.columns; ++column) {
          target[column] = line[column * LaneType::samples + strip * samples_of_block + sample];
        }
      }
    }
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
