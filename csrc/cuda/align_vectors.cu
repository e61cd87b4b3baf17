#include "cuda/align_vectors.cuh"

#include "cuda/warp_sum.cuh"

namespace gradcon::cuda {
namespace {

// One position a sample: <g, a_k> = <y, a_k x> and |g|^2 = |x|^2 |y|^2. `projected` is a_k x, (samples, K, outputs).
// A warp a sample; row `references` of its results stands for the squared norm.
template <class Source, class T = Computed<Source>>
__global__ void __launch_bounds__(threads_per_block)
    align_vectors_kernel(VectorPairs<Source> pairs, const T* projected, int64_t references, AlignmentOutput<T> result) {
  const int64_t sample = static_cast<int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  const int lane = threadIdx.x % warp_size;
  if (sample >= pairs.samples) return;
  const Source* x = pairs.input.data + sample * pairs.input.sample_stride;
  const Source* y = pairs.grad_output.data + sample * pairs.grad_output.sample_stride;

  double input_sq_norm = 0;
  for (int64_t i = lane; i < pairs.inputs; i += warp_size) {
    const double value = widened(x[i * pairs.input.channel_stride]);
    input_sq_norm += value * value;
  }
  double output_sq_norm = 0;
  for (int64_t o = lane; o < pairs.outputs; o += warp_size) {
    const double value = widened(y[o * pairs.grad_output.channel_stride]);
    output_sq_norm += value * value;
  }
  const double sq_norm = warp_sum(input_sq_norm) * warp_sum(output_sq_norm);
  if (lane == 0) result.sq_norm[sample] = static_cast<T>(sq_norm);

  for (int64_t k = 0; k < references; ++k) {
    const T* row = projected + (sample * references + k) * pairs.outputs;
    double dot = 0;
    for (int64_t o = lane; o < pairs.outputs; o += warp_size) {
      dot += static_cast<double>(widened(y[o * pairs.grad_output.channel_stride])) * static_cast<double>(row[o]);
    }
    dot = warp_sum(dot);
    if (lane == 0) result.dot[sample * references + k] = static_cast<T>(dot);
  }
}

}  // namespace

template <class Source>
void align_vectors(const Launcher& launcher, const VectorPairs<Source>& pairs, const Computed<Source>* projected,
                   int64_t references, const AlignmentOutput<Computed<Source>>& output) {
  launcher.run(align_vectors_kernel<Source>, ceil_div(pairs.samples, warps_per_block), pairs, projected, references,
               output);
}

template void align_vectors(const Launcher&, const VectorPairs<float>&, const float*, int64_t,
                            const AlignmentOutput<float>&);
template void align_vectors(const Launcher&, const VectorPairs<double>&, const double*, int64_t,
                            const AlignmentOutput<double>&);
template void align_vectors(const Launcher&, const VectorPairs<__half>&, const float*, int64_t,
                            const AlignmentOutput<float>&);
template void align_vectors(const Launcher&, const VectorPairs<__nv_bfloat16>&, const float*, int64_t,
                            const AlignmentOutput<float>&);

}  // namespace gradcon::cuda
