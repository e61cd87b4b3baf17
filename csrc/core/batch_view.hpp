// A batch of samples in memory, as a tensor holds it.
#pragma once

#include <cstdint>

namespace gradcon {

// A batch (sample, channel, row, column) of any strides, counted in elements. Non-contiguous tensors need no copy.
template <class T>
struct BatchView {
  const T* data = nullptr;
  int64_t sample_stride = 0;
  int64_t channel_stride = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 0;
};

// Images as numbers, or as bytes where `bytes.data` is not null.
template <class T>
struct ImagesView {
  BatchView<T> numbers;
  BatchView<uint8_t> bytes;
};

// The extents of one sample.
struct Extents {
  int64_t channels;
  int64_t rows;
  int64_t columns;
};

}  // namespace gradcon
