// The contraction of core/conv_alignment.hpp on the GPU, one sample a thread.
//
// The work on a block of 32 samples is a list of items, a tile of channels at some taps of one row of the kernel each.
// As many warps as keep the device busy take them in turn: neighbours, which are at the same tile, at the same time.
// First pass: every warp adds up its items in order and in double, each thread into partial sums of its own. Second
// pass: the shares of a sample are added in order. No atomics, so the same input gives the same bits on the same
// device.
#include "cuda/align_lanes.cuh"

#include <algorithm>
#include <cstdint>

#include "core/alignment_in_double.hpp"
#include "cuda/gradient_tile.cuh"

namespace gradcon::cuda {
namespace {

template <class Shape>
struct Items {
  OverlappingTiles<Shape::inner> inner;
  OverlappingTiles<Shape::outer> outer;
  uint32_t inner_tiles;
  uint32_t outer_tiles;
  uint32_t groups;
  uint32_t columns;  // of the kernel, in groups of taps
  uint32_t rows;     // of the kernel

  explicit Items(const Geometry& geometry)
      : inner{geometry.inner_channels_per_group()},
        outer{geometry.outer_channels_per_group()},
        inner_tiles(static_cast<uint32_t>(inner.count())),
        outer_tiles(static_cast<uint32_t>(outer.count())),
        groups(static_cast<uint32_t>(geometry.groups)),
        columns(static_cast<uint32_t>(geometry.width.kernel / Shape::taps)),
        rows(static_cast<uint32_t>(geometry.height.kernel)) {}

  uint32_t count() const { return groups * inner_tiles * outer_tiles * columns * rows; }
};

// Sums of one share of the items: dots (shares, references, lanes) and squared norms (shares, lanes), where lanes is
// the number of samples rounded up to whole warps.
struct PartialSums {
  double* dots;
  double* sq_norms;
  int64_t lanes;
};

// How many blocks a multiprocessor shares its registers among: 65536 of them, of which a thread needs those of its tile
// and 100 others.
template <class T, class Shape>
constexpr int blocks_of =
    65536 / threads_per_block / (Shape::inner * Shape::outer * Shape::taps * static_cast<int>(sizeof(T)) / 4 + 100);

// Registers for the tile, and as many warps as there is room for then.
template <class T, class Shape>
__global__ void __launch_bounds__(threads_per_block, blocks_of<T, Shape>)
    conv_alignment_kernel(Geometry geometry, Items<Shape> items, uint32_t count, Lanes<T> inner_lanes,
                          Lanes<T> outer_lanes, portable::References<T> references, uint32_t shares,
                          PartialSums partial) {
  const Piece piece(shares);
  if (int64_t{piece.block} * warp_size >= partial.lanes) return;
  const int64_t sample = int64_t{piece.block} * warp_size + piece.lane;
  double* dots = partial.dots + piece.index * references.count * partial.lanes + sample;
  for (int64_t k = 0; k < references.count; ++k) dots[k * partial.lanes] = 0;
  double sq_norm = 0;

  const portable::WeightStrides strides(geometry);
  for (uint32_t item = piece.index; item < count; item += shares) {
    const uint32_t row = item % items.rows;
    const uint32_t first_tap = item / items.rows % items.columns * Shape::taps;
    const uint32_t tile = item / items.rows / items.columns;
    const uint32_t outer_tile = tile % items.outer_tiles;
    const uint32_t inner_tile = tile / items.outer_tiles % items.inner_tiles;
    const uint32_t group = tile / items.outer_tiles / items.inner_tiles;

    const int64_t inner_channel = group * items.inner.channels + items.inner.begin(inner_tile);
    const int64_t outer_channel = items.outer.begin(outer_tile);
    const int64_t outer_of_all = group * items.outer.channels + outer_channel;
    const portable::TileOperands<T> operands = {
        inner_lanes.at(piece.block, inner_channel * geometry.inner_positions(), piece.lane),
        outer_lanes.at(piece.block, outer_of_all * geometry.outer_positions(), piece.lane),
    };
    Gradient<T, Shape> gradient = {};
    form_gradient<Shape>(geometry, row, first_tap, operands, gradient);

    leave_out<Shape>({items.inner.counted(inner_tile), items.outer.counted(outer_tile)}, gradient);
    const T* reference = references.data + inner_channel * strides.inner + outer_channel * strides.outer +
                         row * geometry.width.kernel + first_tap;
    for (int64_t k = 0; k < references.count; ++k, reference += geometry.weights()) {
      dots[k * partial.lanes] += dot_of<Shape>(gradient, reference, strides);
    }
    sq_norm += sq_norm_of<Shape>(gradient);
  }
  partial.sq_norms[piece.index * partial.lanes + sample] = sq_norm;
}

template <class Result>
__global__ void __launch_bounds__(threads_per_block)
    sum_shares_kernel(PartialSums partial, int64_t shares, int64_t references, int64_t samples,
                      AlignmentOutput<Result> output) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * threads_per_block + threadIdx.x;
  const int64_t sample = index % partial.lanes;
  const int64_t k = index / partial.lanes;  // references stands for the squared norm
  if (sample >= samples || k > references) return;
  double sum = 0;
  if (k == references) {
    for (int64_t share = 0; share < shares; ++share) sum += partial.sq_norms[share * partial.lanes + sample];
    output.sq_norm[sample] = static_cast<Result>(sum);
  } else {
    for (int64_t share = 0; share < shares; ++share) {
      sum += partial.dots[(share * references + k) * partial.lanes + sample];
    }
    output.dot[sample * references + k] = static_cast<Result>(sum);
  }
}

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    align_lost_kernel(Geometry geometry, Lanes<T> inner_lanes, Lanes<T> outer_lanes, const T* reference,
                      const double* reference_norm, int64_t samples, AlignmentOutput<double> output) {
  const Piece piece(1);
  const int64_t sample = piece.block * warp_size + piece.lane;
  if (sample >= samples) return;
  if (portable::products_in_range<T>(output.dot[sample], output.sq_norm[sample], *reference_norm)) return;
  const portable::TileOperands<T> operands = {inner_lanes.at(piece.block, 0, piece.lane),
                                              outer_lanes.at(piece.block, 0, piece.lane)};
  if (portable::all_zero(operands.inner, geometry.inner_size(), warp_size)) return;
  if (portable::all_zero(operands.outer, geometry.outer_size(), warp_size)) return;
  portable::Sum<ThreadLane<T>> dot;
  portable::Sum<ThreadLane<T>> sq_norm;
  portable::align_in_double<ThreadLane<T>>(geometry, operands, reference, dot, sq_norm);
  output.dot[sample] = dot.value;
  output.sq_norm[sample] = sq_norm.value;
}

template <class T, class Result, class Shape>
void align_lanes_in(const Launcher& launcher, const Geometry& geometry, Lanes<T> inner, Lanes<T> outer,
                    const portable::References<T>& references, int64_t samples, const AlignmentOutput<Result>& output) {
  const Items<Shape> items(geometry);
  const int64_t sample_blocks = ceil_div(samples, warp_size);
  const int64_t count = references.count;
  const int64_t shares =
      std::max<int64_t>(1, std::min<int64_t>(items.count(), ceil_div(launcher.warps_to_fill(), sample_blocks)));
  const int64_t lanes = sample_blocks * warp_size;
  const auto dots = launcher.array<double>(shares * count * lanes);
  const auto sq_norms = launcher.array<double>(shares * lanes);
  const PartialSums partial = {dots.data(), sq_norms.data(), lanes};
  launcher.run(conv_alignment_kernel<T, Shape>, ceil_div(sample_blocks * shares, warps_per_block), geometry, items,
               items.count(), inner, outer, references, static_cast<uint32_t>(shares), partial);
  launcher.run(sum_shares_kernel<Result>, ceil_div(lanes * (count + 1), threads_per_block), partial, shares, count,
               samples, output);
}

template <class T, class Result>
using Align = void (*)(const Launcher&, const Geometry&, Lanes<T>, Lanes<T>, const portable::References<T>&, int64_t,
                       const AlignmentOutput<Result>&);

// Whole rows of the usual kernels; any other tap by tap.
template <class Result, int Inner, int Outer>
Align<float, Result> with_taps(const Geometry& geometry) {
  const Axis& width = geometry.width;
  if (width.dilation == 1 && width.kernel == 4 && width.stride == 2) {
    return align_lanes_in<float, Result, GradientShape<Inner, Outer, 4, 2>>;
  }
  if (width.dilation == 1 && width.kernel == 3 && width.stride == 1) {
    return align_lanes_in<float, Result, GradientShape<Inner, Outer, 3, 1>>;
  }
  return align_lanes_in<float, Result, GradientShape<Inner, Outer, 1, 0>>;
}

// The largest tile that the channels fill.
template <class Result>
Align<float, Result> align_for(float, Result, const Geometry& geometry) {
  const int64_t inner = geometry.inner_channels_per_group();
  const int64_t outer = geometry.outer_channels_per_group();
  return inner >= 8 && outer >= 4   ? with_taps<Result, 8, 4>(geometry)
         : inner >= 8 && outer >= 3 ? with_taps<Result, 8, 3>(geometry)
         : inner >= 3 && outer >= 8 ? with_taps<Result, 3, 8>(geometry)
         : inner >= 2 && outer >= 2 ? with_taps<Result, 2, 2>(geometry)
         : inner >= 8               ? with_taps<Result, 8, 1>(geometry)
         : outer >= 8               ? with_taps<Result, 1, 8>(geometry)
                                    : with_taps<Result, 1, 1>(geometry);
}

// Numbers of float64 take twice the registers, and nobody is in a hurry with them.
Align<double, double> align_for(double, double, const Geometry& geometry) {
  return geometry.inner_channels_per_group() >= 4 && geometry.outer_channels_per_group() >= 4
             ? align_lanes_in<double, double, GradientShape<4, 4, 1, 0>>
             : align_lanes_in<double, double, GradientShape<1, 1, 1, 0>>;
}

}  // namespace

template <class T, class Result>
void align_lanes(const Launcher& launcher, const Geometry& geometry, Lanes<T> inner, Lanes<T> outer,
                 const portable::References<T>& references, int64_t samples, const AlignmentOutput<Result>& output) {
  align_for(T{}, Result{}, geometry)(launcher, geometry, inner, outer, references, samples, output);
}

template <class T>
void align_lost_in_double(const Launcher& launcher, const Geometry& geometry, Lanes<T> inner, Lanes<T> outer,
                          const T* reference, const double* reference_norm, int64_t samples,
                          const AlignmentOutput<double>& output) {
  if constexpr (sizeof(T) < sizeof(double)) {
    launcher.run(align_lost_kernel<T>, ceil_div(ceil_div(samples, warp_size), warps_per_block), geometry, inner, outer,
                 reference, reference_norm, samples, output);
  }
}

template void align_lanes(const Launcher&, const Geometry&, Lanes<float>, Lanes<float>,
                          const portable::References<float>&, int64_t, const AlignmentOutput<float>&);
template void align_lanes(const Launcher&, const Geometry&, Lanes<float>, Lanes<float>,
                          const portable::References<float>&, int64_t, const AlignmentOutput<double>&);
template void align_lanes(const Launcher&, const Geometry&, Lanes<double>, Lanes<double>,
                          const portable::References<double>&, int64_t, const AlignmentOutput<double>&);

template void align_lost_in_double(const Launcher&, const Geometry&, Lanes<float>, Lanes<float>, const float*,
                                   const double*, int64_t, const AlignmentOutput<double>&);
template void align_lost_in_double(const Launcher&, const Geometry&, Lanes<double>, Lanes<double>, const double*,
                                   const double*, int64_t, const AlignmentOutput<double>&);

}  // namespace gradcon::cuda
