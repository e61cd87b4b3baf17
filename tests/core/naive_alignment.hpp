// What an alignment and a norm are, in plain loops.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/geometry.hpp"
#include "naive_products.hpp"

// Calls take(weight, its gradient), one weight of one sample at a time.
template <class T, class Take>
void for_each_weight(const gradcon::Geometry& g, const T* inner, const T* outer, const Take& take) {
  for (int64_t weight = 0; weight < g.weights(); ++weight) {
    const JoinedChannels channels(g, weight);
    double gradient = 0;
    for_each_product(g, weight, [&](int64_t row, int64_t column, int64_t y, int64_t x) {
      gradient += static_cast<double>(inner[(channels.inner * g.height.inner + row) * g.width.inner + column]) *
                  static_cast<double>(outer[(channels.outer * g.height.outer + y) * g.width.outer + x]);
    });
    take(weight, gradient);
  }
}

template <class T>
void naive(const gradcon::Geometry& g, const T* inner, const T* outer, const T* reference, double& dot,
           double& sq_norm) {
  dot = sq_norm = 0;
  for_each_weight(g, inner, outer, [&](int64_t weight, double gradient) {
    dot += gradient * static_cast<double>(reference[weight]);
    sq_norm += gradient * gradient;
  });
}

template <class T>
double naive_l1_norm(const gradcon::Geometry& g, const T* inner, const T* outer) {
  double norm = 0;
  for_each_weight(g, inner, outer, [&](int64_t, double gradient) { norm += std::abs(gradient); });
  return norm;
}
