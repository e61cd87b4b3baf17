// What memory is kept from one call to the next.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

#include "cpu/kept_memory.hpp"

using gradcon::cpu::KeptMemory;

namespace {

constexpr int64_t mebibyte = 1 << 20;

const std::byte* place_of(int64_t bytes) {
  const KeptMemory workspace(bytes);
  workspace.data()[bytes - 1] = std::byte{1};
  return workspace.data();
}

}  // namespace

TEST_CASE("the next one of the same size, or of a smaller one, is where the last one was") {
  const std::byte* first = place_of(40 * mebibyte);
  CHECK(place_of(40 * mebibyte) == first);
  CHECK(place_of(33 * mebibyte) == first);
  CHECK(place_of(40 * mebibyte) == first);
}

TEST_CASE("two at a time share nothing") {
  place_of(40 * mebibyte);
  const KeptMemory one(40 * mebibyte);
  const KeptMemory other(40 * mebibyte);
  CHECK((other.data() >= one.data() + 40 * mebibyte || one.data() >= other.data() + 40 * mebibyte));
}

TEST_CASE("a larger one than the kept one is of its own size") {
  place_of(40 * mebibyte);
  place_of(60 * mebibyte);
  place_of(100 * mebibyte);
}

TEST_CASE("one that is too large to be kept leaves nothing, until it is asked for") {
  const auto is_kept = [](int64_t bytes) {
    const std::byte* first = place_of(bytes);
    const KeptMemory between(bytes);  // takes the first one's place, if that is free
    return between.data() == first && between.data()[bytes - 1] == std::byte{1};
  };
  CHECK(is_kept(64 * mebibyte));
  CHECK_FALSE(is_kept(65 * mebibyte));
  KeptMemory::most_kept() = INT64_MAX;
  CHECK(is_kept(65 * mebibyte));
  KeptMemory::most_kept() = gradcon::cpu::most_bytes_at_once;
}
