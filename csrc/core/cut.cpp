// How the rows of a chain's values are cut into strips.
#include <algorithm>
#include <numeric>

#include "core/strips.hpp"

namespace gradcon {
namespace {

// Strips are a multiple of the strides, which must not become large numbers.
constexpr int64_t largest_stride = 64;

int64_t floor_div(int64_t value, int64_t divisor) {
  return value / divisor - (value % divisor != 0 && value < 0 ? 1 : 0);
}

int64_t ceil_div(int64_t value, int64_t divisor) { return -floor_div(-value, divisor); }

// Consecutive values whose rows are in the same strips: no bilinear layer is between them. An upsampling makes so many
// rows of each.
struct Section {
  size_t first = 0;
  std::vector<int64_t> factors;
  // What the rows from one strip of the first value to the next are a multiple of.
  int64_t period = 1;
};

// The fewest rows that `count` strips of a grid can have, `period` or a multiple of it apart.
Strip shortest_strip(int64_t grid_rows, int64_t count, int64_t period) {
  const int64_t near = grid_rows / count / period * period;
  const int64_t far = ceil_div(ceil_div(grid_rows, count), period) * period;
  const int64_t rows_if_near = grid_rows - (count - 1) * near;
  if (near > 0 && rows_if_near <= far) return {near, rows_if_near};
  return {far, std::min(far, grid_rows)};
}

// Finds the strips of every value.
class StripFinder {
 public:
  StripFinder(const Chain& chain, int64_t count, int64_t last) : chain_(chain), count_(count), last_(last) {
    for (size_t next = 0; next <= chain.layers.size(); next += sections_.back().factors.size()) {
      sections_.push_back(section_from(next));
    }
    // The loss compares the last value with the images.
    const Section& end = sections_.back();
    const int64_t factor = end.factors.back();
    const int64_t period = std::lcm(sections_[0].period, end.period * factor);
    images_ = shortest_strip(chain.images.rows, count, period);
    images_.rows = ceil_div(images_.rows, factor) * factor;
  }

  std::vector<Strip> find() const {
    std::vector<Strip> strips;
    for (const Section& section : sections_) {
      const Strip strip = strip_of(section);
      for (const int64_t factor : section.factors) strips.push_back({strip.step * factor, strip.rows * factor});
    }
    return strips;
  }

 private:
  int64_t grid_rows(size_t value) const {
    return value == 0 ? chain_.images.rows : chain_.layers[value - 1].output.rows;
  }

  // That of its first value.
  Strip strip_of(const Section& section) const {
    if (section.first == 0) return images_;
    if (&section != &sections_.back()) return shortest_strip(grid_rows(section.first), count_, section.period);
    return {images_.step / section.factors.back(), images_.rows / section.factors.back()};
  }

  Section section_from(size_t first) const {
    Section section = {first, {1}, stride_of(first)};
    for (size_t index = first; index < chain_.layers.size() && !chain_.layers[index].is_bilinear(); ++index) {
      const ChainLayer& layer = chain_.layers[index];
      section.factors.push_back(section.factors.back() * (layer.output.rows / layer.input.rows));
      const int64_t stride = stride_of(index + 1);
      section.period = std::lcm(section.period, stride / std::gcd(stride, section.factors.back()));
    }
    return section;
  }

  // The strides of the layers that scatter to a value: forward that before it, backward that behind it.
  int64_t stride_of(size_t value) const {
    int64_t stride = 1;
    if (value > 0 && chain_.layers[value - 1].kind == LayerKind::conv_transposed) {
      stride = chain_.layers[value - 1].geometry.height.stride;
    }
    if (static_cast<int64_t>(value) > last_ && value < chain_.layers.size() &&
        chain_.layers[value].kind == LayerKind::conv) {
      stride = std::lcm(stride, chain_.layers[value].geometry.height.stride);
    }
    return stride;
  }

  const Chain& chain_;
  int64_t count_;
  int64_t last_;
  std::vector<Section> sections_;
  Strip images_;
};

bool keeps_rows_in_order(const ChainLayer& layer) {
  switch (layer.kind) {
    case LayerKind::conv:
    case LayerKind::conv_transposed:
      return layer.geometry.height.stride <= largest_stride;
    case LayerKind::linear:
    case LayerKind::bottleneck:
    case LayerKind::reshape:
      return false;
    default:
      return true;
  }
}

// Pairs of an inner and an outer position that a tap joins.
double pairs_of(const Axis& axis) {
  double pairs = 0;
  for (int64_t tap = 0; tap < axis.kernel; ++tap) {
    const portable::Span span = portable::span_of_tap(axis, tap);
    if (!span.empty()) pairs += static_cast<double>(span.end - span.begin);
  }
  return pairs;
}

// With fewer sources, what is done once a tile takes too long.
constexpr int64_t fewest_channels_of_pairs = 3;

// To pack a weight in pairs takes as long as so many multiply-adds.
constexpr double products_of_packing = 10;

// The differences and the copy are made beside the multiply-adds.
double work_in_pairs(const Contraction& contraction) { return 1.3 * PairContraction(contraction).products(); }

}  // namespace

StripContraction strips_to_inner(const Geometry& geometry, const Strip& inner) {
  const Axis& height = geometry.height;
  StripContraction strip = {geometry, {inner.step * height.stride, -height.padding, 0}};
  strip.sources.count = (inner.rows - 1) * height.stride + (height.kernel - 1) * height.dilation + 1;
  strip.geometry.height.inner = inner.rows;
  strip.geometry.height.outer = strip.sources.count;
  strip.geometry.height.padding = 0;
  return strip;
}

StripContraction strips_to_outer(const Geometry& geometry, const Strip& outer) {
  const Axis& height = geometry.height;
  StripContraction strip = {geometry, {outer.step / height.stride, 0, 0}};
  strip.sources.first = ceil_div(height.padding - (height.kernel - 1) * height.dilation, height.stride);
  strip.sources.count = floor_div(outer.rows - 1 + height.padding, height.stride) - strip.sources.first + 1;
  strip.geometry.height.inner = strip.sources.count;
  strip.geometry.height.outer = outer.rows;
  strip.geometry.height.padding = height.padding - height.stride * strip.sources.first;
  return strip;
}

double products_of(const Geometry& geometry) {
  return pairs_of(geometry.height) * pairs_of(geometry.width) * static_cast<double>(geometry.inner_channels) *
         static_cast<double>(geometry.outer_channels_per_group());
}

ConvInStrips cut(const Geometry& geometry, int64_t count) {
  const Axis& height = geometry.height;
  const Strip strip = count == 1 ? Strip{height.inner, height.inner} : shortest_strip(height.inner, count, 1);
  const StripContraction in_strips =
      count == 1 ? StripContraction{geometry, {0, 0, height.outer}} : strips_to_inner(geometry, strip);
  // Rows behind the last that a tap meets must not be multiplied with the zeros beyond the inner grid.
  const int64_t met = (height.inner - 1) * height.stride - height.padding + (height.kernel - 1) * height.dilation + 1;
  const SourceRows& rows = in_strips.sources;
  return {in_strips.geometry,
          {height.inner, strip.step, strip.rows, geometry.width.inner, count},
          {std::max<int64_t>(1, std::min(height.outer, met)), rows.step, rows.count, geometry.width.outer, count},
          rows};
}

bool can_be_cut(const Chain& chain) {
  return std::all_of(chain.layers.begin(), chain.layers.end(), keeps_rows_in_order);
}

ChainInStrips cut(const Chain& chain, int64_t count, int64_t last) {
  ChainInStrips result = {chain, {}};
  if (count == 1) return result;
  ChainStrips& strips = result.strips;
  strips.count = count;
  const std::vector<Strip> found = StripFinder(chain, count, last).find();
  const auto add_value = [&](Extents& extents, size_t value) {
    strips.values.push_back({extents.rows, found[value].step, found[value].rows, extents.columns, count});
    extents.rows = found[value].rows;
  };
  add_value(result.chain.images, 0);
  for (size_t index = 0; index < chain.layers.size(); ++index) {
    ChainLayer& layer = result.chain.layers[index];
    layer.input.rows = found[index].rows;
    add_value(layer.output, index + 1);
    strips.to_inner.emplace_back();
    strips.to_outer.emplace_back();
    if (!layer.is_bilinear()) continue;
    const bool transposed = layer.kind == LayerKind::conv_transposed;
    strips.to_inner.back() = strips_to_inner(layer.geometry, found[transposed ? index : index + 1]);
    if (transposed || static_cast<int64_t>(index) > last) {
      strips.to_outer.back() = strips_to_outer(layer.geometry, found[transposed ? index + 1 : index]);
    }
    // What a weight gradient is formed of: inner rows of a strip, and all the outer ones that they meet.
    layer.geometry = strips.to_inner.back().geometry;
  }
  return result;
}

double products_of_a_lane(const ChainInStrips& cut) {
  const Chain& chain = cut.chain;
  double products = 0;
  for (size_t index = 0; index < chain.layers.size(); ++index) {
    const ChainLayer& layer = chain.layers[index];
    if (!layer.is_bilinear()) continue;
    const auto at = static_cast<int64_t>(index);
    const auto in_direction = [&](Direction direction) {
      const Contraction contraction = cut.strips.contraction(chain, at, direction);
      return layer.is_in_pairs(direction) ? work_in_pairs(contraction) : products_of(contraction.geometry);
    };
    products += in_direction(forward_direction(layer));
    if (at > chain.first_constrained) products += in_direction(backward_direction(layer));
    if (layer.reference >= 0) products += products_of(layer.geometry);
  }
  return products;
}

int64_t largest_copy(const Chain& chain, const ChainStrips& strips) {
  int64_t largest = 0;
  for (size_t index = 0; index < chain.layers.size(); ++index) {
    const ChainLayer& layer = chain.layers[index];
    if (!layer.is_bilinear()) continue;
    for (const Direction direction : {Direction::to_inner, Direction::to_outer}) {
      const Contraction contraction = strips.contraction(chain, static_cast<int64_t>(index), direction);
      if (layer.is_in_pairs(direction)) largest = std::max(largest, PairContraction(contraction).source_size());
      if (strips.is_one()) continue;
      const int64_t channels = contraction.geometry.groups * contraction.sources_per_group();
      largest = std::max(largest, channels * pitch_of_copy(contraction.source_positions()));
    }
  }
  return largest;
}

void choose_pairs(Chain& chain, double blocks) {
  for (ChainLayer& layer : chain.layers) {
    if (!layer.is_bilinear() || !has_pairs(layer.geometry)) continue;
    for (const Direction direction : {Direction::to_inner, Direction::to_outer}) {
      const Contraction contraction = {layer.geometry, direction};
      const double saved = blocks * (products_of(layer.geometry) - work_in_pairs(contraction));
      layer.in_pairs[static_cast<int>(direction)] =
          contraction.sources_per_group() >= fewest_channels_of_pairs &&
          saved > products_of_packing * static_cast<double>(layer.geometry.weights());
    }
  }
}

}  // namespace gradcon
