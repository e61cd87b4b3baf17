// Samples whose channels lie side by side have the scores, and the training gradients, that they have side by side
// themselves.
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "core/channel_lanes.hpp"
#include "spatial_chain.hpp"
#include "training_batch.hpp"

namespace {

using ChannelLane = core::Lane<double, 4, 4>;

Scores scores_in_channels(const Case& c, const Chain& chain, const std::vector<double>& pixels, int64_t count) {
  const BatchView<double> view = view_of(chain.images, pixels);
  const auto score = [&](const PackedChain<double>& packed, double* workspace, int64_t sample, int64_t,
                         const ScoreOutputs<double>& outputs) {
    core::BlockScorer<ChannelLane, Shape, packed_channels, PairShape> scorer(packed, workspace, ParallelFor{});
    core::channels_to_lanes<ChannelLane>(view, packed.strips.channels[0], {0, chain.images.rows}, sample,
                                         scorer.images());
    scorer.score(sample, 1, outputs);
  };
  return scores_by_blocks(c, packed_chain(in_channels(chain, ChannelLane::samples, chain.first_constrained)),
                          {packed_channels, PairShape::channels, chain.layers.size(), ChannelLane::samples}, chain, 1,
                          count, score);
}

template <class Lanes>
void take_a_step(TrainingBatch<Lanes>& batch) {
  batch.loss();
  batch.point_tangents(-0.5);
}

}  // namespace

TEST_CASE("scores do not depend on whether samples or channels lie side by side") {
  for (int trial = 0; trial < 300; ++trial) {
    const Case c = spatial_case(11);
    const Chain chain = c.chain();
    REQUIRE(can_be_in_channels(chain));
    const int64_t count = draw(1, 3);
    const std::vector<double> pixels = random_values(count * size_of(c.images), 1);
    const Scores expected = scores_of(c, chain, pixels, count);
    const Scores scores = scores_in_channels(c, chain, pixels, count);
    check_close(scores.losses, expected.losses);
    check_close(scores.cosines, expected.cosines);
  }
}

TEST_CASE("training gradients do not depend on it either") {
  for (int trial = 0; trial < 100; ++trial) {
    const Case c = spatial_case(11, true);
    const Chain chain = c.chain();
    const int64_t count = draw(1, 6);
    const std::vector<double> pixels = random_values(count * size_of(c.images), 1);
    TrainingBatch<LaneType> by_samples(c, chain, pixels, {}, count);
    TrainingBatch<ChannelLane> by_channels(c, chain, pixels, {}, count);
    take_a_step(by_samples);
    take_a_step(by_channels);
    for (size_t layer = 0; layer < chain.layers.size(); ++layer) {
      if (!chain.layers[layer].is_bilinear()) continue;
      for (const GradientOf of : {GradientOf::primal, GradientOf::constrained}) {
        if (of == GradientOf::primal && chain.layers[layer].reference < 0) continue;
        check_close(by_channels.gradient(layer, of), by_samples.gradient(layer, of));
      }
      check_close(by_channels.bias_gradient(layer), by_samples.bias_gradient(layer));
    }
  }
}

TEST_CASE("a chain that mixes channels otherwise has them not side by side") {
  Case mixed;
  mixed.linear(mixed.images, mixed.images, true);
  CHECK_FALSE(can_be_in_channels(mixed.chain()));
  Case grouped;
  grouped.images = {2, 3, 3};
  const int64_t weight = grouped.parameter({2, 1, 1, 1});
  grouped.add(LayerKind::conv, grouped.images, weight, -1, true, {1, 1, 0, 0, 1, 1, 2});
  CHECK_FALSE(can_be_in_channels(grouped.chain()));
}

TEST_CASE("a code is written channel by channel, and bytes are read as numbers from 0 to 1") {
  const Extents extents = {6, 2, 3};
  const ChannelArray array = {extents, ChannelLane::samples};
  std::vector<uint8_t> bytes(static_cast<size_t>(2 * size_of(extents)));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(draw(0, 255));
  const BatchView<uint8_t> view = {bytes.data(), size_of(extents), 6, 3, 1};
  const cpu::Scratch<double> lanes(2 * 6 * ChannelLane::samples);
  for (const Range& rows : {Range{0, 1}, Range{1, 2}}) {
    core::channels_to_lanes<ChannelLane>(view, array, rows, 1, lanes.data());
  }
  std::vector<double> code(static_cast<size_t>(size_of(extents)));
  core::from_channels<ChannelLane>(array, lanes.data(), code.data());
  for (size_t i = 0; i < code.size(); ++i) CHECK(code[i] == bytes[i + code.size()] / 255.0);
  for (int64_t position = 6; position < 12; ++position) {
    CHECK(lanes.data()[position * 4 + 2] == 0);
    CHECK(lanes.data()[position * 4 + 3] == 0);
  }
}
