#include "core/chain.hpp"

#include <algorithm>

#include "core/require.hpp"

namespace gradcon {
namespace {

void check_extents(const Extents& extents) {
  for (const int64_t extent : {extents.channels, extents.rows, extents.columns}) {
    require(extent > 0 && extent < largest_extent, "channels, rows and columns must be positive and below 2^31");
  }
  checked_product({extents.channels, extents.rows, extents.columns}, largest_sample, "a value of a sample");
}

void check_shapes(const Shapes& shapes, const char* what) {
  for (const std::vector<int64_t>& shape : shapes) {
    int64_t size = 1;
    for (const int64_t extent : shape) size = checked_product({size, extent}, largest_array, what);
    if (size == 0) refuse(std::string(what) + " is empty");
  }
}

// The integers of one layer.
class Record {
 public:
  explicit Record(const int64_t* numbers) : numbers_(numbers) {}

  int64_t operator[](LayerField field) const { return numbers_[static_cast<size_t>(field)]; }

  static constexpr size_t size() { return static_cast<size_t>(LayerField::groups) + 1; }

 private:
  const int64_t* numbers_;
};

class Reader {
 public:
  Reader(const std::vector<int64_t>& program, const std::vector<double>& constants, const Shapes& parameters,
         const Shapes& references)
      : program_(program), constants_(constants), parameters_(parameters), references_(references) {
    require(program.size() % Record::size() == 0 && program.size() / Record::size() == constants.size(),
            "the program does not have an integer for every field of a layer, and a constant for every layer");
    check_shapes(parameters, "a parameter");
    check_shapes(references, "a reference");
  }

  ChainLayer layer(size_t index, const Extents& input) const {
    const Record record(program_.data() + index * Record::size());
    const int64_t kind = record[LayerField::kind];
    require(kind >= 0 && kind <= static_cast<int64_t>(LayerKind::tanh), "unknown kind of layer");
    ChainLayer layer;
    layer.kind = static_cast<LayerKind>(kind);
    layer.weight = record[LayerField::weight];
    layer.bias = record[LayerField::bias];
    layer.reference = record[LayerField::reference];
    layer.input = input;
    layer.output = {record[LayerField::channels], record[LayerField::rows], record[LayerField::columns]};
    layer.constant = constants_[index];
    check_extents(layer.output);
    require(layer.reference == -1 || (layer.is_bilinear() && layer.kind != LayerKind::bottleneck),
            "only convolutions and linear layers can be constrained");
    switch (layer.kind) {
      case LayerKind::conv:
      case LayerKind::conv_transposed:
        read_convolution(record, layer);
        break;
      case LayerKind::linear:
      case LayerKind::bottleneck:
        read_linear(layer);
        break;
      case LayerKind::affine:
        require(same(input, layer.output), "an affine layer keeps its shape");
        require_shape(layer.weight, {input.channels});
        require_shape(layer.bias, {input.channels});
        break;
      case LayerKind::upsample:
        require(layer.output.channels == input.channels && layer.output.rows % input.rows == 0 &&
                    layer.output.columns % input.columns == 0,
                "upsampling is by whole factors");
        break;
      case LayerKind::reshape:
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

  static void check_axis(const Axis& axis) {
    require(axis.kernel > 0 && axis.stride > 0 && axis.dilation > 0 && axis.padding >= 0,
            "kernel, stride and dilation must be positive");
    for (const int64_t number : {axis.kernel, axis.stride, axis.padding, axis.dilation}) {
      require(number < largest_extent, "kernel, stride, padding and dilation must be below 2^31");
    }
    // The last inner position must be one that a convolution over the outer grid has.
    const int64_t reach = (axis.inner - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
    require(reach <= axis.outer + 2 * axis.padding, "the shapes of a convolution do not fit");
  }

  void read_convolution(const Record& record, ChainLayer& layer) const {
    const std::vector<int64_t>& shape = shape_of(layer.weight);
    require(shape.size() == 4, "the weight of a convolution is 4-dimensional");
    const bool transposed = layer.kind == LayerKind::conv_transposed;
    const Extents& inner = transposed ? layer.input : layer.output;
    const Extents& outer = transposed ? layer.output : layer.input;
    Geometry& geometry = layer.geometry;
    geometry.inner_channels = inner.channels;
    geometry.outer_channels = outer.channels;
    geometry.groups = record[LayerField::groups];
    require(geometry.groups > 0 && inner.channels % geometry.groups == 0 && outer.channels % geometry.groups == 0,
            "groups must divide the channels");
    require(shape[0] == inner.channels && shape[1] == geometry.outer_channels_per_group(),
            "a weight does not fit the channels of its convolution");
    geometry.height = {inner.rows,
                       outer.rows,
                       shape[2],
                       record[LayerField::stride_rows],
                       record[LayerField::padding_rows],
                       record[LayerField::dilation_rows]};
    geometry.width = {inner.columns,
                      outer.columns,
                      shape[3],
                      record[LayerField::stride_columns],
                      record[LayerField::padding_columns],
                      record[LayerField::dilation_columns]};
    check_axis(geometry.height);
    check_axis(geometry.width);
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
    if (layer.kind != LayerKind::bottleneck) return;
    require(layer.bias == layer.weight + 1, "the bias of a bottleneck's mean follows its weight");
    require_shape(layer.weight + 2, {outputs, inputs});
    require_shape(layer.bias + 2, {outputs});
  }

  const std::vector<int64_t>& program_;
  const std::vector<double>& constants_;
  const Shapes& parameters_;
  const Shapes& references_;
};

}  // namespace

#define GRADCON_NAME(name) #name,
std::vector<std::string> layer_kind_names() { return {GRADCON_LAYER_KINDS(GRADCON_NAME)}; }
std::vector<std::string> layer_field_names() { return {GRADCON_LAYER_FIELDS(GRADCON_NAME)}; }
std::vector<std::string> loss_names() { return {GRADCON_LOSSES(GRADCON_NAME)}; }
#undef GRADCON_NAME

Chain read_chain(const Extents& images, const std::vector<int64_t>& program, const std::vector<double>& constants,
                 int64_t loss, const Shapes& parameters, const Shapes& references) {
  const Reader reader(program, constants, parameters, references);
  check_extents(images);
  require(loss >= 0 && loss <= static_cast<int64_t>(Loss::evidence_bound), "unknown loss");
  Chain chain;
  chain.images = images;
  chain.pixels = size_of(images);
  chain.reconstruction =
      static_cast<Loss>(loss) == Loss::squared_error ? Reconstruction::squared_error : Reconstruction::cross_entropy;
  std::vector<int64_t> uses(references.size());
  Extents shape = images;
  for (size_t index = 0; index < constants.size(); ++index) {
    chain.layers.push_back(reader.layer(index, shape));
    const ChainLayer& layer = chain.layers.back();
    shape = layer.output;
    if (layer.reference >= 0) ++uses[static_cast<size_t>(layer.reference)];
    if (layer.kind == LayerKind::bottleneck) {
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

}  // namespace gradcon
