// A tile of one sample's weight gradient in the registers of its thread: inner channels x outer channels x taps of a
// row.
//
// Neighbouring taps of a row meet overlapping outer numbers, which are read once for all of them: with 8 x 4 channels
// and four taps two apart, four columns read 72 numbers for 512 multiply-adds.
#pragma once

#include <cstdint>

#include "core/geometry.hpp"
#include "core/weight_gradient.hpp"
#include "cuda/row_window.cuh"
#include "cuda/thread_lane.cuh"

namespace gradcon::cuda {

// `stride` of the columns of several taps; 0 for any, which goes with one tap.
template <int Inner, int Outer, int Taps, int Stride>
struct GradientShape {
  static constexpr int inner = Inner;
  static constexpr int outer = Outer;
  static constexpr int taps = Taps;
  static constexpr int stride = Stride;
};

// Tiles of exactly `Size` channels, of which there are at least as many. Where the size does not divide them, the last
// tile reaches back over channels that its neighbour has counted: less code than tiles of every size.
template <int Size>
struct OverlappingTiles {
  int64_t channels;

  __host__ __device__ int64_t count() const { return (channels + Size - 1) / Size; }
  __host__ __device__ int64_t begin(int64_t tile) const {
    return (tile + 1) * Size <= channels ? tile * Size : channels - Size;
  }
  // Leading channels of the tile that its neighbour has counted.
  __host__ __device__ int counted(int64_t tile) const { return static_cast<int>(tile * Size - begin(tile)); }
};

// Inner columns that are taken at a time.
constexpr int columns_at_a_time = 2;

template <class T, class Shape>
using Gradient = T[Shape::taps][Shape::inner][Shape::outer];

// Adds the products of a row of inner numbers with the outer ones that taps from `first_tap` of a row join to them.
// Both operands are moved to their row and to the first channels of the tile.
template <class Shape, class T>
__device__ __forceinline__ void add_gradient_row(const Geometry& geometry, int64_t first_tap,
                                                 const portable::TileOperands<T>& row, Gradient<T, Shape>& gradient) {
  constexpr int step = Shape::stride == 0 ? 1 : Shape::stride;  // in numbers read
  constexpr int window = (columns_at_a_time - 1) * step + Shape::taps;
  const Axis& width = geometry.width;
  const int64_t between = Shape::stride == 0 ? width.stride : 1;
  const int64_t inner_channel = geometry.inner_positions() * warp_size;
  const int64_t outer_channel = geometry.outer_positions() * warp_size;
  GRADCON_KEEP_ROLLED for (int64_t column = 0; column < width.inner; column += columns_at_a_time) {
    const int64_t outer_column = column * width.stride - width.padding + first_tap * width.dilation;
    const uint32_t in_outer = inside<window>(outer_column, between, width.outer);
    if (in_outer == 0) continue;
    const uint32_t in_inner = inside<columns_at_a_time>(column, 1, width.inner);
    T inner[Shape::inner][columns_at_a_time];
    const T* next_inner = row.inner + column * warp_size;
    GRADCON_UNROLL for (int i = 0; i < Shape::inner; ++i, next_inner += inner_channel) {
      read(next_inner, 1, in_inner, inner[i]);
    }
    const T* next_outer = row.outer + outer_column * warp_size;
    GRADCON_UNROLL for (int o = 0; o < Shape::outer; ++o, next_outer += outer_channel) {
      T outer[window];
      read(next_outer, between, in_outer, outer);
      GRADCON_UNROLL for (int at = 0; at < columns_at_a_time; ++at) {
        GRADCON_UNROLL for (int tap = 0; tap < Shape::taps; ++tap) {
          GRADCON_UNROLL for (int i = 0; i < Shape::inner; ++i) {
            gradient[tap][i][o] = fma(inner[i][at], outer[at * step + tap], gradient[tap][i][o]);
          }
        }
      }
    }
  }
}

// The gradient of all positions, at taps of row `tap_row` from column `first_tap` on.
template <class Shape, class T>
__device__ __forceinline__ void form_gradient(const Geometry& geometry, int64_t tap_row, int64_t first_tap,
                                              const portable::TileOperands<T>& tile, Gradient<T, Shape>& gradient) {
  const portable::Span rows = portable::span_of_tap(geometry.height, tap_row);
  GRADCON_KEEP_ROLLED for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t outer_row = rows.outer_begin + (row - rows.begin) * geometry.height.stride;
    const portable::TileOperands<T> operands = {tile.inner + row * geometry.width.inner * warp_size,
                                                tile.outer + outer_row * geometry.width.outer * warp_size};
    add_gradient_row<Shape>(geometry, first_tap, operands, gradient);
  }
}

// Leading channels of a tile whose gradient another tile has counted.
struct Counted {
  int inner;
  int outer;
};

template <class Shape, class T>
__device__ __forceinline__ void leave_out(const Counted& counted, Gradient<T, Shape>& gradient) {
  if (counted.inner == 0 && counted.outer == 0) return;
  GRADCON_UNROLL for (int tap = 0; tap < Shape::taps; ++tap) {
    GRADCON_UNROLL for (int i = 0; i < Shape::inner; ++i) {
      GRADCON_UNROLL for (int o = 0; o < Shape::outer; ++o) {
        if (i < counted.inner || o < counted.outer) gradient[tap][i][o] = 0;
      }
    }
  }
}

// The product with a reference, moved to the first weight of the tile: a sum for each tap, then these.
template <class Shape, class T>
__device__ __forceinline__ T dot_of(const Gradient<T, Shape>& gradient, const T* reference,
                                    const portable::WeightStrides& strides) {
  T sums[Shape::taps] = {};
  GRADCON_UNROLL for (int i = 0; i < Shape::inner; ++i) {
    GRADCON_UNROLL for (int o = 0; o < Shape::outer; ++o) {
      const T* weights = reference + i * strides.inner + o * strides.outer;
      GRADCON_UNROLL for (int tap = 0; tap < Shape::taps; ++tap) {
        sums[tap] = fma(gradient[tap][i][o], weights[tap], sums[tap]);
      }
    }
  }
  GRADCON_UNROLL for (int tap = 1; tap < Shape::taps; ++tap) sums[0] += sums[tap];
  return sums[0];
}

// And with itself.
template <class Shape, class T>
__device__ __forceinline__ T sq_norm_of(const Gradient<T, Shape>& gradient) {
  T sums[Shape::taps] = {};
  GRADCON_UNROLL for (int i = 0; i < Shape::inner; ++i) {
    GRADCON_UNROLL for (int o = 0; o < Shape::outer; ++o) {
      GRADCON_UNROLL for (int tap = 0; tap < Shape::taps; ++tap) {
        sums[tap] = fma(gradient[tap][i][o], gradient[tap][i][o], sums[tap]);
      }
    }
  }
  GRADCON_UNROLL for (int tap = 1; tap < Shape::taps; ++tap) sums[0] += sums[tap];
  return sums[0];
}

}  // namespace gradcon::cuda
