// Whether mappings of Python hold the very objects that they held. No object is made for it and hardly any is touched,
// so that hundreds of them take a few microseconds, even if none is in a cache.
#pragma once

#include <Python.h>

namespace gradcon::python {

// A tuple of a mapping, a tuple of keys, and a tuple of what the mapping held for them.
class Snapshot {
 public:
  explicit Snapshot(PyObject* tuple)
      : mapping_(PyTuple_GetItem(tuple, 0)), keys_(PyTuple_GetItem(tuple, 1)), values_(PyTuple_GetItem(tuple, 2)) {}

  // Whether a dictionary has these items and no others, in this order. `anything` is a value that stands for whatever
  // there is.
  bool is_all_of_it(const PyObject* anything) const {
    if (PyDict_Size(mapping_) != size()) return false;
    Py_ssize_t position = 0;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    for (Py_ssize_t index = 0; PyDict_Next(mapping_, &position, &key, &value) != 0; ++index) {
      const PyObject* expected = PyTuple_GetItem(values_, index);
      if (key != PyTuple_GetItem(keys_, index) || (value != expected && expected != anything)) return false;
    }
    return true;
  }

  // Whether the mapping has these items, where None stands for a key that it does not have.
  bool is_in_it() const {
    for (Py_ssize_t index = 0; index < size(); ++index) {
      if (present(PyTuple_GetItem(keys_, index)) != PyTuple_GetItem(values_, index)) return false;
    }
    return true;
  }

 private:
  Py_ssize_t size() const { return PyTuple_Size(keys_); }

  // Null after an error.
  const PyObject* present(PyObject* key) const {
    if (PyDict_Check(mapping_)) {
      const PyObject* value = PyDict_GetItemWithError(mapping_, key);
      return value != nullptr || PyErr_Occurred() != nullptr ? value : Py_None;
    }
    PyObject* value = PyObject_GetItem(mapping_, key);
    if (value == nullptr && PyErr_ExceptionMatches(PyExc_KeyError) != 0) {
      PyErr_Clear();
      return Py_None;
    }
    Py_XDECREF(value);  // The mapping still has it.
    return value;
  }

  PyObject* mapping_;
  PyObject* keys_;
  PyObject* values_;
};

// Whether same(snapshot) holds for all of a list.
template <class Function>
PyObject* holds_for_all(PyObject* snapshots, const Function& same) {
  for (Py_ssize_t index = 0; index < PyList_Size(snapshots); ++index) {
    const bool is_same = same(Snapshot(PyList_GetItem(snapshots, index)));
    if (PyErr_Occurred() != nullptr) return nullptr;
    if (!is_same) Py_RETURN_FALSE;
  }
  Py_RETURN_TRUE;
}

// same_items(snapshots, anything): whether each dictionary is what it was.
inline PyObject* same_items(PyObject*, PyObject* arguments) {
  PyObject* snapshots = nullptr;
  PyObject* anything = nullptr;
  if (PyArg_ParseTuple(arguments, "O!O", &PyList_Type, &snapshots, &anything) == 0) return nullptr;
  return holds_for_all(snapshots, [&](const Snapshot& snapshot) { return snapshot.is_all_of_it(anything); });
}

// same_members(snapshots): whether each mapping still has these items; others do not matter.
inline PyObject* same_members(PyObject*, PyObject* arguments) {
  PyObject* snapshots = nullptr;
  if (PyArg_ParseTuple(arguments, "O!", &PyList_Type, &snapshots) == 0) return nullptr;
  return holds_for_all(snapshots, [](const Snapshot& snapshot) { return snapshot.is_in_it(); });
}

}  // namespace gradcon::python
