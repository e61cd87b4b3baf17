// What the emulated GPU notices.
#include <doctest/doctest.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "emulation.hpp"

namespace {

constexpr unsigned threads = gradcon::cuda::threads_per_block;

// Each thread takes what its neighbour has written.
__global__ void rotate(bool with_barrier, double* result) {
  __shared__ double shared[threads];
  shared[threadIdx.x] = blockIdx.x * threads + threadIdx.x;
  if (with_barrier) __syncthreads();
  result[blockIdx.x * threads + threadIdx.x] = shared[(threadIdx.x + 1) % threads];
  if (with_barrier) __syncthreads();
}

__global__ void barrier_for_some() {
  if (threadIdx.x == 0) __shfl_down_sync(~0U, 1, 1);
}

__global__ void sum_of_lanes(double* sums) {
  double value = threadIdx.x;
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(~0U, value, offset);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
}

std::vector<double> rotated(bool with_barrier, uint32_t seed) {
  std::vector<double> result(3 * threads);
  emulation::shuffle(seed);
  emulation::Launcher().run(rotate, 3, with_barrier, result.data());
  return result;
}

}  // namespace

TEST_CASE("a missing barrier shows as other numbers") {
  CHECK(rotated(true, 1) == rotated(true, 2));
  CHECK(rotated(true, 1)[threads] == threads + 1);
  CHECK(rotated(false, 1) != rotated(true, 1));
  CHECK(rotated(false, 1) != rotated(false, 2));
}

TEST_CASE("a lane that is missing in a shuffle is an error") {
  CHECK_THROWS_AS(emulation::Launcher().run(barrier_for_some, 1), std::logic_error);
}

TEST_CASE("shuffles within warps") {
  std::vector<double> sums(4);
  emulation::Launcher().run(sum_of_lanes, 1, sums.data());
  CHECK(sums == std::vector<double>{496, 1520, 2544, 3568});
}
