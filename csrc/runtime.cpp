// gradcon_ext._runtime: the facts of this build. It knows nothing of torch, so it loads beside any torch and can say
// which one the ops were built for. setup.py defines the GRADCON_ macros.
#include <pybind11/pybind11.h>

#include "cpu/capability.hpp"

#ifdef __clang__
#define GRADCON_COMPILER "Clang " __clang_version__
#else
#define GRADCON_COMPILER "GCC " __VERSION__
#endif

PYBIND11_MODULE(_runtime, module) {
  module.attr("version") = GRADCON_VERSION;
  module.attr("torch_version") = GRADCON_TORCH_VERSION;
  module.attr("torch_range") = GRADCON_TORCH_RANGE;
  module.attr("compiler") = GRADCON_COMPILER;
  module.attr("cuda_architectures") = GRADCON_CUDA_ARCHITECTURES;
  module.def("cpu_capability", &gradcon::cpu::capability_name,
             "The instruction set in use; RuntimeError where GRADCON_CPU_CAPABILITY asks for one that cannot be.");
}
