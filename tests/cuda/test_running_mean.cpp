// The running mean by the CUDA sources on the emulated GPU, against the core's.
#include "cuda/running_mean.cuh"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/cosine.hpp"
#include "core/running_mean.hpp"
#include "emulation.hpp"

using namespace gradcon;

TEST_CASE_TEMPLATE("running means of sizes around a chunk", T, float, double) {
  std::mt19937 generator(1);
  std::normal_distribution<T> normal;
  for (const int64_t size : {0, 1, 127, 129, 8192, 8193, 20000}) {
    for (const int64_t count : {0, 1, 7}) {
      std::vector<T> mean(static_cast<size_t>(size)), grad(mean);
      for (T& value : mean) value = normal(generator);
      for (T& value : grad) value = normal(generator);
      std::vector<T> expected = mean;
      const CosineSums sums = portable::running_mean(expected.data(), grad.data(), size, count);
      T cosine = 2;
      std::vector<T> shuffled = mean;
      cuda::running_mean(emulation::Launcher(), mean.data(), grad.data(), size, count, &cosine);
      CHECK(mean == expected);
      const double wanted =
          count == 0 ? 0 : portable::cosine_of(sums.dot, std::sqrt(sums.grad_sq_norm), std::sqrt(sums.mean_sq_norm));
      CHECK(static_cast<double>(cosine) == doctest::Approx(wanted).epsilon(1e-6));
      for (uint32_t seed = 0; seed < 3; ++seed) {
        emulation::shuffle(seed);
        std::vector<T> again = shuffled;
        T other = 2;
        cuda::running_mean(emulation::Launcher(), again.data(), grad.data(), size, count, &other);
        CHECK(other == cosine);
      }
    }
  }
}
