// Rows of a sample in several lanes, so that one sample fills a vector, and a block of large images fits a cache.
//
// A block holds `samples / strips` samples; lane `strip * (samples / strips) + sample` holds consecutive rows of one.
// All strips have equally many rows, which may be more than they are apart, and may go beyond the grid. Each row counts
// in one strip, the last that it is in; wherever else it stands, every array holds zeros. A contraction reads rows of
// other strips as well. They are gathered beforehand in an array in which each lane has all the rows that it reads.
#pragma once

#include <cstdint>
#include <vector>

#include "core/chain.hpp"
#include "core/contraction.hpp"
#include "core/gather_pairs.hpp"

namespace gradcon {

// The direction in which a layer is run forward; the backward pass is the other one.
GRADCON_INLINE Direction forward_direction(const ChainLayer& layer) {
  return layer.kind == LayerKind::conv_transposed ? Direction::to_outer : Direction::to_inner;
}

GRADCON_INLINE Direction backward_direction(const ChainLayer& layer) {
  return layer.kind == LayerKind::conv_transposed ? Direction::to_inner : Direction::to_outer;
}

// Rows [strip * step, strip * step + rows) of a grid.
struct Strip {
  int64_t step = 0;
  int64_t rows = 0;
};

// How one array is cut.
struct CutRows {
  int64_t grid_rows;
  int64_t step;
  int64_t strip_rows;
  int64_t columns;
  int64_t strips;

  // Where a row of the grid counts.
  GRADCON_INLINE int64_t strip_of(int64_t grid_row) const {
    const int64_t strip = grid_row / step;
    return strip < strips ? strip : strips - 1;
  }
  // How many rows count in a strip.
  GRADCON_INLINE int64_t rows_in(int64_t strip) const {
    const int64_t rows = grid_rows - strip * step;
    if (rows <= 0) return 0;
    return strip < strips - 1 && rows > step ? step : rows;
  }
};

// The source rows of one strip: [strip * step + first, strip * step + first + count).
struct SourceRows {
  int64_t step = 0;
  int64_t first = 0;
  int64_t count = 0;
};

// A contraction as one lane sees it.
struct StripContraction {
  Geometry geometry;
  SourceRows sources;
  // In lanes of channels: whether its sources are counted in vectors, and not its targets.
  bool sums_sources = false;
};

// With these targets in a strip. Outer ones are a multiple of the stride apart.
StripContraction strips_to_inner(const Geometry& geometry, const Strip& inner);
StripContraction strips_to_outer(const Geometry& geometry, const Strip& outer);

// The two arrays of a convolution: a lane has some inner rows, and all the outer ones that they meet.
struct ConvInStrips {
  Geometry geometry;
  CutRows inner;
  CutRows outer;
  SourceRows outer_rows;
};

// Of one strip it is the geometry as it is.
ConvInStrips cut(const Geometry& geometry, int64_t count);

// Multiply-adds of a lane that meet no padding.
double products_of(const Geometry& geometry);

// An array in lanes of channels: its extents, and how many numbers are from one position to the next. That is a vector,
// or where its few channels are only read one by one, no more than these.
struct ChannelArray {
  Extents extents;
  int64_t step;

  GRADCON_INLINE int64_t positions() const { return extents.rows * extents.columns; }
  GRADCON_INLINE bool is_dense() const { return step == extents.channels; }
};

// How a chain is cut into strips; or where a vector has several channels of one sample, what it has of each layer
// (core/channel_lanes.hpp).
struct ChainStrips {
  int64_t count = 1;
  // Of value k.
  std::vector<CutRows> values;
  // Of value k, where a vector has several.
  std::vector<ChannelArray> channels;
  // Of layer k, where it is bilinear.
  std::vector<StripContraction> to_inner;
  std::vector<StripContraction> to_outer;

  GRADCON_INLINE bool is_one() const { return count == 1; }
  GRADCON_INLINE bool is_of_channels() const { return !channels.empty(); }
  // As one lane sees it.
  GRADCON_INLINE Contraction contraction(const Chain& chain, int64_t layer, Direction direction) const {
    const bool is_whole = is_one() && !is_of_channels();
    return {is_whole ? chain.layers[static_cast<size_t>(layer)].geometry : of(layer, direction).geometry, direction};
  }
  GRADCON_INLINE const StripContraction& of(int64_t layer, Direction direction) const {
    return (direction == Direction::to_inner ? to_inner : to_outer)[static_cast<size_t>(layer)];
  }
};

// Whether all layers keep rows in their order.
bool can_be_cut(const Chain& chain);

struct ChainInStrips {
  Chain chain;
  ChainStrips strips;
};

// A chain whose extents are those of a strip, for a backward pass that ends at the output of layer `last`. Of one strip
// it is the chain as it is.
ChainInStrips cut(const Chain& chain, int64_t count, int64_t last);

// Multiply-adds of a lane in the score of a block, or what takes as long.
double products_of_a_lane(const ChainInStrips& cut);

// Positions from one channel to the next in a copy of that many. An odd number of vectors apart, the channels of a
// position are in different sets of a cache; those of images whose sides are a power of two would all be in one.
GRADCON_INLINE int64_t pitch_of_copy(int64_t positions) { return positions | 1; }

// Numbers of a lane in the largest copy of sources that a contraction reads.
int64_t largest_copy(const Chain& chain, const ChainStrips& strips);

// Has contractions computed in pairs where that takes less time, packing the weights for so many blocks included.
void choose_pairs(Chain& chain, double blocks);

}  // namespace gradcon
