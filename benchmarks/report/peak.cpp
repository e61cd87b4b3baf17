// Multiply-adds in registers alone: nothing is loaded or stored, and no sum waits for the one before it.
#include <cstdint>

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif
constexpr int lanes = vector_bytes / sizeof(float);
// As many as hide the latency of an addition on two units, and fit the registers.
constexpr int sums = 12;

using Vector [[gnu::vector_size(vector_bytes)]] = float;

}  // namespace

extern "C" int64_t multiply_adds_of(int64_t rounds) { return rounds * sums * lanes; }

// Returns a number that depends on all of them, so that no compiler may leave one out.
extern "C" float multiply_add(int64_t rounds, float factor) {
  Vector left = factor - Vector{};
  Vector sum[sums];
  for (int i = 0; i < sums; ++i) sum[i] = factor + static_cast<float>(i) - Vector{};  // No two are the same.
  for (int64_t round = 0; round < rounds; ++round) {
    asm("" : "+x"(left));  // For all the compiler knows, another factor each time.
#pragma GCC unroll 16
    for (int i = 0; i < sums; ++i) sum[i] += left * left;
  }
  float total = 0;
  for (const Vector& each : sum) total += each[0];
  return total;
}
