// The contraction of core/conv_alignment.hpp on the GPU, one sample a thread.
//
// The work on a block of 32 samples is a list of items, a tile of channels at one kernel tap each. The list is cut into
// as many shares as keep the device busy; a warp takes one share of one block of samples. First pass: every warp adds
// up its items in order and in double, each thread into partial sums of its own. Second pass: the shares of a sample
// are added in order. No atomics, so the same input gives the same bits on the same device.
#include "cuda/align_lanes.cuh"

#include <algorithm>
#include <cstdint>

#include "core/alignment_in_double.hpp"
namespace gradcon::cuda {
namespace {

template <int InnerTile, int OuterTile>
struct Items {
  portable::OverlappingTiles<InnerTile> inner;
  portable::OverlappingTiles<OuterTile> outer;
  int64_t groups;
  int64_t taps;

  explicit Items(const Geometry& geometry)
      : inner{geometry.inner_channels_per_group()},
        outer{geometry.outer_channels_per_group()},
        groups(geometry.groups),
        taps(geometry.taps()) {}

  __host__ __device__ int64_t count() const { return groups * inner.count() * outer.count() * taps; }
};

// Sums of one share of the items: dots (shares, references, lanes) and squared norms (shares, lanes), where lanes is
// the number of samples rounded up to whole warps.
struct PartialSums {
  double* dots;
  double* sq_norms;
  int64_t lanes;
};

// With a single inner channel nvcc by itself aims at so few registers that it spills; four blocks a multiprocessor
// leave 128 a thread.
template <class T, int InnerTile, int OuterTile>
__global__ void __launch_bounds__(threads_per_block, InnerTile == 1 ? 4 : 0)
    conv_alignment_kernel(Geometry geometry, Items<InnerTile, OuterTile> items, Lanes<T> inner_lanes,
                          Lanes<T> outer_lanes, portable::References<T> references, int64_t shares,
                          PartialSums partial) {
  using Lane = ThreadLane<T>;
  const Piece piece(shares);
  if (piece.block * warp_size >= partial.lanes) return;
  const int64_t share = piece.index;
  const int64_t sample = piece.block * warp_size + piece.lane;

  const T* inner_of_block = inner_lanes.at(piece.block, 0, piece.lane);
  const T* outer_of_block = outer_lanes.at(piece.block, 0, piece.lane);
  double* dots = partial.dots + share * references.count * partial.lanes + sample;
  for (int64_t k = 0; k < references.count; ++k) dots[k * partial.lanes] = 0;
  double sq_norm = 0;

  const portable::WeightStrides strides(geometry);
  const int64_t end = (share + 1) * items.count() / shares;
  for (int64_t item = share * items.count() / shares; item < end; ++item) {
    const int64_t tap = item % items.taps;
    const int64_t tile = item / items.taps;
    const int64_t outer_tile = tile % items.outer.count();
    const int64_t inner_tile = tile / items.outer.count() % items.inner.count();
    const int64_t group = tile / items.outer.count() / items.inner.count();

    const portable::Span rows = portable::span_of_tap(geometry.height, tap / geometry.width.kernel);
    const portable::Span columns = portable::span_of_tap(geometry.width, tap % geometry.width.kernel);
    if (rows.empty() || columns.empty()) continue;

    const int64_t inner_channel = group * items.inner.channels + items.inner.begin(inner_tile);
    const int64_t outer_channel = items.outer.begin(outer_tile);
    const portable::TileOperands<T> operands = {
        inner_of_block + inner_channel * geometry.inner_positions() * warp_size,
        outer_of_block + (group * items.outer.channels + outer_channel) * geometry.outer_positions() * warp_size,
    };
    Lane gradient[InnerTile][OuterTile] = {};
    portable::form_tile<Lane, InnerTile, OuterTile>(geometry, operands, rows, columns, gradient);

    const portable::Counted counted = {items.inner.counted(inner_tile), items.outer.counted(outer_tile)};
    const T* reference = references.data + inner_channel * strides.inner + outer_channel * strides.outer + tap;
    for (int64_t k = 0; k < references.count; ++k, reference += geometry.weights()) {
      dots[k * partial.lanes] += portable::dot_of_tile(gradient, reference, strides, counted).value;
    }
    sq_norm += portable::sq_norm_of_tile(gradient, counted).value;
  }
  partial.sq_norms[share * partial.lanes + sample] = sq_norm;
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

template <class T, class Result, int InnerTile, int OuterTile>
void align_lanes_in(const Launcher& launcher, const Geometry& geometry, Lanes<T> inner, Lanes<T> outer,
                    const portable::References<T>& references, int64_t samples, const AlignmentOutput<Result>& output) {
  const Items<InnerTile, OuterTile> items(geometry);
  const int64_t sample_blocks = ceil_div(samples, warp_size);
  const int64_t count = references.count;
  const int64_t shares =
      std::max<int64_t>(1, std::min(items.count(), ceil_div(launcher.warps_to_fill(), sample_blocks)));
  const int64_t lanes = sample_blocks * warp_size;
  const auto dots = launcher.array<double>(shares * count * lanes);
  const auto sq_norms = launcher.array<double>(shares * lanes);
  const PartialSums partial = {dots.data(), sq_norms.data(), lanes};
  launcher.run(conv_alignment_kernel<T, InnerTile, OuterTile>, ceil_div(sample_blocks * shares, warps_per_block),
               geometry, items, inner, outer, references, shares, partial);
  launcher.run(sum_shares_kernel<Result>, ceil_div(lanes * (count + 1), threads_per_block), partial, shares, count,
               samples, output);
}

}  // namespace

// The largest tile that the channels fill: 8x8 reads 16 lanes for 64 multiply-adds. float64 takes twice the registers.
template <class T, class Result>
void align_lanes(const Launcher& launcher, const Geometry& geometry, Lanes<T> inner, Lanes<T> outer,
                 const portable::References<T>& references, int64_t samples, const AlignmentOutput<Result>& output) {
  constexpr int largest = sizeof(T) == 4 ? 8 : 4;
  const int64_t inner_channels = geometry.inner_channels_per_group();
  const int64_t outer_channels = geometry.outer_channels_per_group();
  const auto align = inner_channels >= largest && outer_channels >= largest
                         ? align_lanes_in<T, Result, largest, largest>
                     : inner_channels >= largest && outer_channels >= 3 ? align_lanes_in<T, Result, largest, 3>
                     : inner_channels >= 3 && outer_channels >= largest ? align_lanes_in<T, Result, 3, largest>
                     : inner_channels >= 2 && outer_channels >= 2       ? align_lanes_in<T, Result, 2, 2>
                     : inner_channels >= largest                        ? align_lanes_in<T, Result, largest, 1>
                     : outer_channels >= largest                        ? align_lanes_in<T, Result, 1, largest>
                                                                        : align_lanes_in<T, Result, 1, 1>;
  align(launcher, geometry, inner, outer, references, samples, output);
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
