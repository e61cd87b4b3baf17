#include "core/chain.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace gradcon {
namespace {

constexpr size_t fields = 14;
constexpr int64_t largest_extent = int64_t{1} << 31;
constexpr int64_t largest_sample = int64_t{1} << 40;

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument("score_autoencoder: " + message);
}

void check_extents(const Extents& extents) {
  for (const int64_t extent : {extents.channels, extents.rows, extents.columns}) {
    require(extent > 0 && extent < largest_extent, "channels, rows and columns must be positive and below 2^31");
  }
  require(extents.rows * extents.columns <= largest_sample / extents.channels, "a value of a sample is too large");
}

class Reader {
 public:
  Reader(const std::vector<int64_t>& program, const std::vector<double>& constants, const Shapes& parameters,
         const Shapes& references)
      : program_(program), constants_(constants), parameters_(parameters), references_(references) {
    require(program.size() % fields == 0 && program.size() / fields == constants.size(),
            "expected 14 integers and one constant a layer");
  }

  ChainLayer layer(size_t index, const Extents& input) const {
    const int64_t* record = program_.data() + index * fields;
    require(record[0] >= 0 && record[0] <= static_cast<int64_t>(Kind::tanh), "unknown kind of layer");
    ChainLayer layer;
    layer.kind = static_cast<Kind>(record[0]);
    layer.weight = record[1];
    layer.bias = record[2];
    layer.reference = record[3];
    layer.input = input;
    layer.output = {record[4], record[5], record[6]};
    layer.constant = constants_[index];
    check_extents(layer.output);
    require(layer.reference == -1 || (layer.is_bilinear() && layer.kind != Kind::bottleneck),
            "only convolutions and linear layers can be constrained");
    switch (layer.kind) {
      case Kind::conv:
      case Kind::conv_transposed:
        read_convolution(record, layer);
        break;
      case Kind::linear:
      case Kind::bottleneck:
        read_linear(layer);
        break;
      case Kind::affine:
        require(same(input, layer.output), "an affine layer keeps its shape");
        require_shape(layer.weight, {input.channels});
        require_shape(layer.bias, {input.channels});
        break;
      case Kind::upsample:
        require(layer.output.channels == input.channels && layer.output.rows % input.rows == 0 &&
                    layer.output.columns % input.columns == 0,
                "upsampling is by whole factors");
        break;
      case Kind::reshape:
        require(size_of(input) == size_of(layer.output), "a reshape keeps the number of elements");
        break;
      default:
        require(same(input, layer.output), "an activation keeps its shape");
        require(layer.constant >= 0, "slope and alpha of an activation must not be negative");
    }
    return layer;
  }

 private:
  static bool same(const Extents& left, const Extents& right) {
    return left.channels == right.channels && left.rows == right.rows && left.columns == right.columns;
  }

  const std::vector<int64_t>& shape_of(int64_t parameter) const {
    require(parameter >= 0 && parameter < static_cast<int64_t>(parameters_.size()), "no such parameter");
    return parameters_[static_cast<size_t>(parameter)];
  }

  void require_shape(int64_t parameter, const std::vector<int64_t>& shape) const {
    require(shape_of(parameter) == shape, "a parameter does not fit its layer");
  }

  void require_reference(const ChainLayer& layer) const {
    if (layer.reference == -1) return;
    require(layer.reference >= 0 && layer.reference < static_cast<int64_t>(references_.size()), "no such reference");
    require(references_[static_cast<size_t>(layer.reference)] == shape_of(layer.weight),
            "a reference does not have the shape of its weight");
  }

  static Axis axis_of(int64_t inner, int64_t outer, int64_t kernel, const int64_t* record) {
    const Axis axis = {inner, outer, kernel, record[0], record[2], record[4]};
    require(axis.kernel > 0 && axis.stride > 0 && axis.dilation > 0 && axis.padding >= 0,
            "kernel, stride and dilation must be positive");
    for (const int64_t number : {axis.kernel, axis.stride, axis.padding, axis.dilation}) {
      require(number < largest_extent, "kernel, stride, padding and dilation must be below 2^31");
    }
    // The last inner position must be one that a convolution over the outer grid has.
    const int64_t reach = (axis.inner - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
    require(reach <= axis.outer + 2 * axis.padding, "the shapes of a convolution do not fit");
    return axis;
  }

  void read_convolution(const int64_t* record, ChainLayer& layer) const {
    const std::vector<int64_t>& shape = shape_of(layer.weight);
    require(shape.size() == 4, "the weight of a convolution is 4-dimensional");
    const bool transposed = layer.kind == Kind::conv_transposed;
    const Extents& inner = transposed ? layer.input : layer.output;
    const Extents& outer = transposed ? layer.output : layer.input;
    Geometry& geometry = layer.geometry;
    geometry.inner_channels = inner.channels;
    geometry.outer_channels = outer.channels;
    geometry.groups = record[13];
    require(geometry.groups > 0 && inner.channels % geometry.groups == 0 && outer.channels % geometry.groups == 0,
            "groups must divide the channels");
    require(shape[0] == inner.channels && shape[1] == geometry.outer_channels_per_group(),
            "a weight does not fit the channels of its convolution");
    geometry.height = axis_of(inner.rows, outer.rows, shape[2], record + 7);
    geometry.width = axis_of(inner.columns, outer.columns, shape[3], record + 8);
    if (layer.bias != -1) require_shape(layer.bias, {layer.output.channels});
    require_reference(layer);
  }

  void read_linear(ChainLayer& layer) const {
    const int64_t inputs = size_of(layer.input);
    const int64_t outputs = size_of(layer.output);
    require(inputs < largest_extent && outputs < largest_extent, "a linear layer is too large");
    layer.geometry.inner_channels = outputs;
    layer.geometry.outer_channels = inputs;
    require_shape(layer.weight, {outputs, inputs});
    if (layer.bias != -1) require_shape(layer.bias, {outputs});
    require_reference(layer);
    if (layer.kind != Kind::bottleneck) return;
    require(layer.bias == layer.weight + 1, "the bias of a bottleneck's mean follows its weight");
    require_shape(layer.weight + 2, {outputs, inputs});
    require_shape(layer.bias + 2, {outputs});
  }

  const std::vector<int64_t>& program_;
  const std::vector<double>& constants_;
  const Shapes& parameters_;
  const Shapes& references_;
};

// Whether the derivative of a layer is taken from what it returned.
bool reads_output(const ChainLayer& layer) { return layer.is_activation() && !derives_from_input(layer.kind); }

class LayoutMaker {
 public:
  LayoutMaker(const Chain& chain, int64_t kept_from, bool for_training)
      : chain_(chain), kept_from_(kept_from), for_training_(for_training) {
    // A reshape shares memory with what it is given, which must then be kept as well.
    while (kept_from_ > 0 && chain.layers[static_cast<size_t>(kept_from_) - 1].kind == Kind::reshape) --kept_from_;
  }

  Layout make() {
    // The images are the target of the loss, so nothing writes over them.
    layout_.values.push_back(0);
    layout_.size = size_of(chain_.images);
    turn_of_.push_back(none);
    for (size_t index = 0; index < chain_.layers.size(); ++index) place(static_cast<int64_t>(index));
    if (!for_training_) place_turns();
    if (chain_.bottleneck >= 0) place_bottleneck();
    return layout_;
  }

 private:
  static constexpr int none = -1;

  // Whether a layer can write over what it reads, as far as it alone is concerned.
  bool can_overwrite(const ChainLayer& layer) const {
    if (layer.is_activation()) return for_training_ ? is_piecewise_linear(layer.kind) : reads_output(layer);
    return layer.kind == Kind::affine;
  }

  void place(int64_t index) {
    const ChainLayer& layer = chain_.layers[static_cast<size_t>(index)];
    const bool kept = index + 1 >= kept_from_;
    const bool input_kept = index >= kept_from_;
    const bool in_place = layer.kind == Kind::reshape || (overwritable_ && can_overwrite(layer) && kept == input_kept);
    if (in_place) {
      layout_.values.push_back(layout_.values.back());
      turn_of_.push_back(turn_of_.back());
    } else if (kept) {
      layout_.values.push_back(take(size_of(layer.output)));
      turn_of_.push_back(none);
    } else {
      layout_.values.push_back(0);  // Known once the sizes of both halves are.
      turn_of_.push_back(turn_);
      largest_[turn_] = std::max(largest_[turn_], size_of(layer.output));
      turn_ = 1 - turn_;
    }
    // The derivative of a bottleneck's latent loss is taken from its code.
    const bool output_read = reads_output(layer) || layer.kind == Kind::bottleneck;
    if (layer.kind != Kind::reshape) overwritable_ = !kept || !output_read;
  }

  // Gradients take the place of the values that are forgotten by then.
  void place_turns() {
    int64_t gradient = size_of(chain_.images);
    for (size_t index = static_cast<size_t>(kept_from_); index < chain_.layers.size(); ++index) {
      gradient = std::max(gradient, size_of(chain_.layers[index].input));
    }
    for (int half = 0; half < 2; ++half) layout_.turns[half] = take(std::max(gradient, largest_[half]));
    for (size_t index = 0; index < turn_of_.size(); ++index) {
      if (turn_of_[index] != none) layout_.values[index] = layout_.turns[turn_of_[index]];
    }
  }

  void place_bottleneck() {
    const int64_t size = size_of(chain_.layers[static_cast<size_t>(chain_.bottleneck)].output);
    layout_.log_variance = take(size);
    layout_.mean = for_training_ ? take(size) : layout_.values[static_cast<size_t>(chain_.bottleneck) + 1];
  }

  int64_t take(int64_t size) {
    const int64_t begin = layout_.size;
    layout_.size += size;
    return begin;
  }

  const Chain& chain_;
  int64_t kept_from_;
  bool for_training_;
  Layout layout_;
  std::vector<int> turn_of_;
  int64_t largest_[2] = {0, 0};
  int turn_ = 0;
  bool overwritable_ = false;
};

}  // namespace

Chain read_chain(const Extents& images, const std::vector<int64_t>& program, const std::vector<double>& constants,
                 const std::string& loss, const Shapes& parameters, const Shapes& references) {
  const Reader reader(program, constants, parameters, references);
  check_extents(images);
  require(loss == "squared_error" || loss == "evidence_bound", "unknown loss '" + loss + "'");
  Chain chain;
  chain.images = images;
  chain.reconstruction = loss == "squared_error" ? Reconstruction::squared_error : Reconstruction::cross_entropy;
  std::vector<int64_t> uses(references.size());
  Extents shape = images;
  for (size_t index = 0; index < constants.size(); ++index) {
    chain.layers.push_back(reader.layer(index, shape));
    const ChainLayer& layer = chain.layers.back();
    shape = layer.output;
    if (layer.reference >= 0) ++uses[static_cast<size_t>(layer.reference)];
    if (layer.kind == Kind::bottleneck) {
      require(chain.bottleneck == -1, "more than one bottleneck");
      chain.bottleneck = static_cast<int64_t>(index);
    }
  }
  require(shape.channels == images.channels && shape.rows == images.rows && shape.columns == images.columns,
          "the last layer must return images");
  require(!references.empty() && std::all_of(uses.begin(), uses.end(), [](int64_t count) { return count == 1; }),
          "every reference must belong to one layer");
  require((chain.bottleneck != -1) == (chain.reconstruction == Reconstruction::cross_entropy),
          "the evidence bound takes one bottleneck, the squared error none");
  while (chain.layers[static_cast<size_t>(chain.first_constrained)].reference == -1) ++chain.first_constrained;
  return chain;
}

Layout make_scoring_layout(const Chain& chain) { return LayoutMaker(chain, chain.first_constrained, false).make(); }

Layout make_training_layout(const Chain& chain) { return LayoutMaker(chain, 0, true).make(); }

}  // namespace gradcon
