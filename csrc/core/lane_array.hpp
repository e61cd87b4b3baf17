// An array of things that are made of lanes.
//
// Not a std::vector: the standard headers come before the pragma that asks for an instruction set, so what they define
// may pass lanes about in another way than the variant does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "core/variant.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

template <class Element>
class LaneArray {
 public:
  explicit LaneArray(int64_t count)
      : begin_(static_cast<Element*>(::operator new(static_cast<size_t>(count) * sizeof(Element), alignment))),
        end_(begin_ + count) {
    for (Element* element = begin_; element != end_; ++element) new (element) Element();
  }
  ~LaneArray() { ::operator delete(begin_, alignment); }
  LaneArray(const LaneArray&) = delete;
  LaneArray& operator=(const LaneArray&) = delete;

  Element* begin() { return begin_; }
  const Element* begin() const { return begin_; }
  Element* end() { return end_; }
  const Element* end() const { return end_; }

 private:
  static constexpr std::align_val_t alignment{alignof(Element)};

  Element* begin_;
  Element* end_;
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
