#include "cpu/group_gradients.hpp"

#include <utility>

namespace gradcon::cpu {

template <class T>
GroupGradients<T>::GroupGradients(const Chain& chain, Tasks tasks, int64_t groups)
    : chain_(chain), tasks_(std::move(tasks)), groups_(groups) {
  for (const GradientTask<T>& task : tasks_) numbers_of_a_group_ += numbers_of(task);
}

template <class T>
typename GroupGradients<T>::Tasks GroupGradients<T>::of_group(int64_t group, T* numbers) const {
  Tasks result = tasks_;
  if (groups_ == 1) return result;
  int64_t place = group * numbers_of_a_group_;
  for (GradientTask<T>& task : result) {
    const int64_t size = numbers_of(task);
    task.weight = numbers + place;
    if (task.bias != nullptr) task.bias = numbers + place + weights_of(task);
    place += size;
  }
  return result;
}

template <class T>
void GroupGradients<T>::add_up(T* numbers, const Threads& threads) const {
  if (groups_ == 1) return;
  std::vector<Tasks> parts;
  parts.reserve(static_cast<size_t>(groups_));
  for (int64_t group = 0; group < groups_; ++group) parts.push_back(of_group(group, numbers));
  share_parts(threads, static_cast<int64_t>(tasks_.size()), [&](int64_t part) {
    const auto index = static_cast<size_t>(part);
    const GradientTask<T>& task = tasks_[index];
    std::vector<double> sums(static_cast<size_t>(numbers_of(task)));
    for (const Tasks& of_a_group : parts) {
      const T* terms = of_a_group[index].weight;  // and of the bias behind it
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(terms[i]);
    }
    const auto weights = static_cast<size_t>(weights_of(task));
    for (size_t i = 0; i < weights; ++i) task.weight[i] = static_cast<T>(sums[i]);
    for (size_t i = weights; i < sums.size(); ++i) task.bias[i - weights] = static_cast<T>(sums[i]);
  });
}

template <class T>
int64_t GroupGradients<T>::weights_of(const GradientTask<T>& task) const {
  return chain_.layers[static_cast<size_t>(task.layer)].geometry.weights();
}

template <class T>
int64_t GroupGradients<T>::numbers_of(const GradientTask<T>& task) const {
  const ChainLayer& layer = chain_.layers[static_cast<size_t>(task.layer)];
  return weights_of(task) + (task.bias == nullptr ? 0 : layer.output.channels);
}

template class GroupGradients<float>;
template class GroupGradients<double>;

}  // namespace gradcon::cpu
