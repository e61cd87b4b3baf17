// Every standard header that the core includes. A variant includes them before it asks for an instruction set: what
// they define inline must not be compiled for instructions that other processors lack. tests/test_source_folders.py
// compares.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
