// Scores of random chains by the CUDA sources on the emulated GPU, against those of the core.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/random_chain.hpp"
#include "cuda/chain_scorer.cuh"
#include "emulation.hpp"

namespace {

template <class T>
std::vector<std::vector<T>> converted(const std::vector<std::vector<double>>& arrays) {
  std::vector<std::vector<T>> result;
  for (const std::vector<double>& array : arrays) result.emplace_back(array.begin(), array.end());
  return result;
}

template <class T>
std::vector<ArrayView<T>> views_of(const std::vector<std::vector<T>>& arrays, const Shapes& shapes) {
  std::vector<ArrayView<T>> result;
  for (size_t i = 0; i < arrays.size(); ++i) result.push_back({arrays[i].data(), shapes[i]});
  return result;
}

template <class T>
struct Results {
  std::vector<T> reconstruction, latent, cosine;

  bool operator==(const Results& other) const {
    return reconstruction == other.reconstruction && latent == other.latent && cosine == other.cosine;
  }
};

template <class T>
Results<T> emulated_scores(const Case& c, const ImagesView<T>& images, int64_t count) {
  const Chain chain = c.chain();
  const std::vector<std::vector<T>> parameters = converted<T>(c.parameters);
  const std::vector<std::vector<T>> references = converted<T>(c.references);
  const auto samples = static_cast<size_t>(count);
  Results<T> results = {std::vector<T>(samples), std::vector<T>(samples), std::vector<T>(samples * references.size())};
  const emulation::Launcher launcher;
  cuda::ChainScorer<T> scorer(launcher, chain, views_of(parameters, c.shapes),
                              views_of(references, c.reference_shapes));
  scorer.score(images, count,
               {results.reconstruction.data(), results.latent.data(), results.cosine.data(),
                static_cast<int64_t>(references.size())});
  return results;
}

template <class Pixel>
BatchView<Pixel> view_of(const std::vector<Pixel>& pixels, const Extents& e) {
  return {pixels.data(), size_of(e), e.rows * e.columns, e.columns, 1};
}

void check_close(double value, double expected, double tolerance) {
  REQUIRE(std::abs(value - expected) <= tolerance * (1 + std::abs(expected)));
}

}  // namespace

TEST_CASE_TEMPLATE("chains of all kinds of layers", T, float, double) {
  const double tolerance = sizeof(T) == sizeof(float) ? 2e-3 : 1e-9;
  for (int trial = 0; trial < 30; ++trial) {
    const int64_t sizes[] = {0, 1, 31, 33, 65};
    const int64_t count = sizes[trial % 5];
    const Case c = random_case(false);
    const std::vector<double> pixels = random_values(count * size_of(c.images), 0.3);
    const std::vector<T> narrow(pixels.begin(), pixels.end());
    const Results<T> results = emulated_scores<T>(c, {view_of(narrow, c.images), {}}, count);
    const Scores expected = scores_of(c, c.chain(), pixels, count);
    for (size_t i = 0; i < expected.losses.size(); ++i) {
      check_close(static_cast<double>(results.reconstruction[i]) + static_cast<double>(results.latent[i]),
                  expected.losses[i], tolerance);
    }
    for (size_t i = 0; i < expected.cosines.size(); ++i) {
      check_close(static_cast<double>(results.cosine[i]), expected.cosines[i], tolerance);
    }
  }
}

TEST_CASE("images of bytes") {
  for (int trial = 0; trial < 5; ++trial) {
    const Case c = random_case(false);
    std::vector<uint8_t> bytes(static_cast<size_t>(33 * size_of(c.images)));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(draw(0, 255));
    std::vector<double> pixels;
    for (const uint8_t byte : bytes) pixels.push_back(byte / 255.0);
    const Results<double> of_bytes = emulated_scores<double>(c, {{}, view_of(bytes, c.images)}, 33);
    CHECK(of_bytes == emulated_scores<double>(c, {view_of(pixels, c.images), {}}, 33));
  }
}

TEST_CASE("the order of threads is not seen") {
  for (int trial = 0; trial < 5; ++trial) {
    const Case c = random_case(false);
    const std::vector<double> pixels = random_values(33 * size_of(c.images), 0.3);
    const std::vector<float> narrow(pixels.begin(), pixels.end());
    const Results<float> results = emulated_scores<float>(c, {view_of(narrow, c.images), {}}, 33);
    for (uint32_t seed = 0; seed < 3; ++seed) {
      emulation::shuffle(seed);
      CHECK(emulated_scores<float>(c, {view_of(narrow, c.images), {}}, 33) == results);
    }
  }
}
