// gradcon_ext._runtime: the facts of this build, and scores of images. It knows nothing of torch, so it loads beside
// any torch and can say which one the ops were built for, and scores where there is none. setup.py defines the GRADCON_
// macros.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/chain.hpp"
#include "core/require.hpp"
#include "cpu/capability.hpp"
#include "cpu/chain_scorer.hpp"
#include "cpu/kernels.hpp"
#include "cpu/thread_pool.hpp"

#ifdef __clang__
#define GRADCON_COMPILER "Clang " __clang_version__
#else
#define GRADCON_COMPILER "GCC " __VERSION__
#endif

namespace gradcon {
namespace {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

template <class T>
std::vector<ArrayView<T>> views_of(const std::vector<Array<T>>& arrays) {
  std::vector<ArrayView<T>> views;
  for (const Array<T>& array : arrays) {
    views.push_back({array.data(), {array.shape(), array.shape() + array.ndim()}});
  }
  return views;
}

template <class T>
Shapes shapes_of(const std::vector<Array<T>>& arrays) {
  Shapes shapes;
  for (const ArrayView<T>& view : views_of(arrays)) shapes.push_back(view.shape);
  return shapes;
}

// How many are scored with weights that are packed once.
constexpr int64_t many_samples = 1 << 20;

// A chain with its weights, which it keeps: they are packed once, and scored with from any number of threads.
template <class T>
class ChainScorer {
 public:
  ChainScorer(const std::array<int64_t, 3>& image_shape, const std::vector<int64_t>& program,
              const std::vector<double>& constants, int64_t loss, std::vector<Array<T>> parameters,
              std::vector<Array<T>> references, int64_t threads)
      : chain_(read_chain({image_shape[0], image_shape[1], image_shape[2]}, program, constants, loss,
                          shapes_of(parameters), shapes_of(references))),
        parameters_(std::move(parameters)),
        references_(std::move(references)),
        pool_(threads) {
    // Which tells at once, not at the first batch, that its memory is beyond the bounds.
    make_scoring_layout(chain_);
  }

  template <class Pixel>
  py::tuple score(const Array<Pixel>& images, bool with_code) {
    const Extents& extents = chain_.images;
    if (images.ndim() != 4 || images.shape(1) != extents.channels || images.shape(2) != extents.rows ||
        images.shape(3) != extents.columns) {
      throw std::invalid_argument("images do not have the shape that they have in the chain");
    }
    const auto batch = static_cast<int64_t>(images.shape(0));
    const auto columns = static_cast<int64_t>(references_.size());
    Array<T> reconstruction(batch);
    Array<T> latent(batch);
    Array<T> cosine({batch, columns});
    Array<T> code({batch, with_code ? size_of_code(chain_) : 0});
    const ImagesView<T> pixels =
        view_of<Pixel>({images.data(), size_of(extents), extents.rows * extents.columns, extents.columns, 1});
    const ScoreOutputs<T> outputs = {reconstruction.mutable_data(), latent.mutable_data(), cosine.mutable_data(),
                                     columns, with_code ? code.mutable_data() : nullptr};
    {
      const py::gil_scoped_release others_may_run;
      scorer().score(pixels, batch, outputs, pool_.threads());
    }
    return py::make_tuple(reconstruction, latent, cosine, code);
  }

 private:
  template <class Pixel>
  static ImagesView<T> view_of(const BatchView<Pixel>& pixels) {
    if constexpr (std::is_same_v<Pixel, uint8_t>) {
      return {{}, pixels};
    } else {
      return {pixels, {}};
    }
  }

  const cpu::ChainScorer<T>& scorer() {
    std::call_once(packed_,
                   [&] { scorer_.emplace(chain_, views_of(parameters_), views_of(references_), many_samples); });
    return *scorer_;
  }

  const Chain chain_;
  const std::vector<Array<T>> parameters_;
  const std::vector<Array<T>> references_;
  const cpu::ThreadPool pool_;
  std::once_flag packed_;
  std::optional<cpu::ChainScorer<T>> scorer_;
};

template <class T>
void define_scorer(py::module_& module, const char* name) {
  using Arrays = std::vector<Array<T>>;
  py::class_<ChainScorer<T>>(module, name, "A chain of layers with its weights; see gradcon_ext.runtime.")
      .def(py::init<const std::array<int64_t, 3>&, const std::vector<int64_t>&, const std::vector<double>&, int64_t,
                    Arrays, Arrays, int64_t>(),
           py::arg("image_shape"), py::arg("program"), py::arg("constants"), py::arg("loss"), py::arg("parameters"),
           py::arg("references"), py::arg("threads"))
      .def("score", &ChainScorer<T>::template score<uint8_t>, py::arg("images").noconvert(),
           py::arg("with_code") = false,
           "Reconstruction (N,), latent (N,), cosine (N, L) and, if wanted, code (N, D) of contiguous images (N, C, H, "
           "W).")
      .def("score", &ChainScorer<T>::template score<T>, py::arg("images").noconvert(), py::arg("with_code") = false);
}

}  // namespace
}  // namespace gradcon

PYBIND11_MODULE(_runtime, module) {
  module.attr("version") = GRADCON_VERSION;
  module.attr("torch_version") = GRADCON_TORCH_VERSION;
  module.attr("compiler") = GRADCON_COMPILER;
  module.attr("cuda_architectures") = GRADCON_CUDA_ARCHITECTURES;
  module.def("cpu_capability", &gradcon::cpu::capability_name,
             "The instruction set in use; RuntimeError where GRADCON_CPU_CAPABILITY asks for one that cannot be.");
  // The description of a chain, which that of gradcon_ext.chain has to be, and the bounds.
  module.attr("layer_kinds") = gradcon::layer_kind_names();
  module.attr("layer_fields") = gradcon::layer_field_names();
  module.attr("losses") = gradcon::loss_names();
  module.attr("largest_sample") = gradcon::largest_sample;
  module.attr("most_threads") = gradcon::cpu::most_threads;
  gradcon::define_scorer<float>(module, "ChainScorerFloat32");
  gradcon::define_scorer<double>(module, "ChainScorerFloat64");
}
