// Where the values of a chain lie.
#include <algorithm>
#include <array>

#include "core/chain.hpp"
#include "core/require.hpp"

namespace gradcon {
namespace {

// Whether the derivative of a layer is taken from what it returned.
bool reads_output(const ChainLayer& layer) { return layer.is_activation() && !derives_from_input(layer.kind); }

class LayoutMaker {
 public:
  LayoutMaker(const Chain& chain, int64_t kept_from, bool for_training)
      : chain_(chain), kept_from_(kept_from), for_training_(for_training) {
    // A reshape shares memory with what it is given, which must then be kept as well.
    while (kept_from_ > 0 && chain.layers[static_cast<size_t>(kept_from_) - 1].kind == LayerKind::reshape) --kept_from_;
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
    return layer.kind == LayerKind::affine;
  }

  void place(int64_t index) {
    const ChainLayer& layer = chain_.layers[static_cast<size_t>(index)];
    const bool kept = index + 1 >= kept_from_;
    const bool input_kept = index >= kept_from_;
    const bool in_place =
        layer.kind == LayerKind::reshape || (overwritable_ && can_overwrite(layer) && kept == input_kept);
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
    const bool output_read = reads_output(layer) || layer.kind == LayerKind::bottleneck;
    if (layer.kind != LayerKind::reshape) overwritable_ = !kept || !output_read;
  }

  // Gradients take the place of the values that are forgotten by then. The first of these is in whichever half makes
  // both together the smaller.
  void place_turns() {
    const std::array<int64_t, 2> gradients = largest_gradients();
    const auto sizes_from = [&](int first) {
      return std::array{std::max(gradients[0], largest_[first]), std::max(gradients[1], largest_[1 - first])};
    };
    const auto total = [](const std::array<int64_t, 2>& sizes) { return sizes[0] + sizes[1]; };
    const int first = total(sizes_from(0)) <= total(sizes_from(1)) ? 0 : 1;
    for (int half = 0; half < 2; ++half) layout_.turns[half] = take(sizes_from(first)[static_cast<size_t>(half)]);
    for (size_t index = 0; index < turn_of_.size(); ++index) {
      if (turn_of_[index] != none) layout_.values[index] = layout_.turns[turn_of_[index] ^ first];
    }
  }

  // Of the gradients that take turns, the loss's first, by halves.
  std::array<int64_t, 2> largest_gradients() const {
    std::array<int64_t, 2> largest = {size_of(chain_.images), 0};
    size_t half = 0;
    for (auto index = static_cast<int64_t>(chain_.layers.size()) - 1; index > chain_.first_constrained; --index) {
      const ChainLayer& layer = chain_.layers[static_cast<size_t>(index)];
      if (!layer.passes_gradient_in_place()) half = 1 - half;
      largest[half] = std::max(largest[half], size_of(layer.input));
    }
    return largest;
  }

  void place_bottleneck() {
    const int64_t size = size_of(chain_.layers[static_cast<size_t>(chain_.bottleneck)].output);
    layout_.log_variance = take(size);
    layout_.mean = for_training_ ? take(size) : layout_.values[static_cast<size_t>(chain_.bottleneck) + 1];
  }

  int64_t take(int64_t size) {
    const int64_t begin = layout_.size;
    layout_.size = checked_sum(layout_.size, size, largest_sample, "all that is kept of a sample");
    return begin;
  }

  const Chain& chain_;
  int64_t kept_from_;
  bool for_training_;
  Layout layout_;
  std::vector<int> turn_of_;
  int64_t largest_[2] = {0, 0};  // of the values that take turns
  int turn_ = 0;
  bool overwritable_ = false;
};

}  // namespace

Layout make_scoring_layout(const Chain& chain) { return LayoutMaker(chain, chain.first_constrained, false).make(); }

Layout make_training_layout(const Chain& chain) { return LayoutMaker(chain, 0, true).make(); }

}  // namespace gradcon
