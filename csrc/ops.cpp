// The catalogue: every op's schema. Kernels register themselves, cpu/ for the CPU and cuda/ for the GPU.
#include <Python.h>
#include <torch/csrc/stable/library.h>

#include <cstdint>
#include <exception>

#include "cpu/capability.hpp"
#include "cpu/kept_memory.hpp"
#include "python/same_values.hpp"

STABLE_TORCH_LIBRARY(gradcon_ext, library) {
  library.def(
      "conv_grad_alignment(Tensor input, Tensor grad_output, Tensor references, int[] stride, int[] padding, "
      "int[] dilation, int groups, bool transposed) -> (Tensor dot, Tensor sq_norm)");
  library.def(
      "conv_grad_l1_norm(Tensor input, Tensor grad_output, int[] kernel, int[] stride, int[] padding, int[] dilation, "
      "int groups, bool transposed) -> Tensor");
  library.def(
      "linear_grad_alignment(Tensor input, Tensor grad_output, Tensor references) -> (Tensor dot, Tensor sq_norm)");
  library.def(
      "score_autoencoder(Tensor images, Tensor[] parameters, Tensor[] references, int[] program, float[] constants, "
      "int loss, bool with_code=False) -> (Tensor reconstruction, Tensor latent, Tensor cosine, Tensor code)");
  library.def(
      "objective_gradient(Tensor images, Tensor[] parameters, Tensor[] references, int[] program, float[] constants, "
      "int loss, Tensor? noise, float alpha) -> (Tensor reconstruction, Tensor latent, Tensor cosine, Tensor gradient, "
      "Tensor primal)");
  library.def("running_mean_cosine_(Tensor(a!) mean, Tensor grad, int count) -> Tensor");
}

namespace {

// Memory of any size is kept from one call to the next, from here on.
PyObject* keep_memory(PyObject*, PyObject*) {
  gradcon::cpu::KeptMemory::most_kept() = INT64_MAX;
  Py_RETURN_NONE;
}

}  // namespace

// Importing this module loads the library, and loading it registers the ops. The instruction set is chosen here,
// not at the first op, so that it is the one that build_info() tells.
PyMODINIT_FUNC PyInit__C() {
  static PyMethodDef functions[] = {{"keep_memory", keep_memory, METH_NOARGS, nullptr},
                                    {"same_items", gradcon::python::same_items, METH_VARARGS, nullptr},
                                    {"same_members", gradcon::python::same_members, METH_VARARGS, nullptr},
                                    {nullptr, nullptr, 0, nullptr}};
  static PyModuleDef definition = {
      PyModuleDef_HEAD_INIT, "_C", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};
  try {
    gradcon::cpu::capability();
  } catch (const std::exception& error) {
    // Python knows nothing of C++ exceptions: one that got there would end the process.
    PyErr_SetString(PyExc_ImportError, error.what());
    return nullptr;
  }
  return PyModule_Create(&definition);
}
