/* The smallest native module: answer() returns 42. Its wheel is built in python-build and used in python. */
#include <Python.h>

static PyObject *answer(PyObject *self, PyObject *arguments) {
  (void)self;
  (void)arguments;
  return PyLong_FromLong(42);
}

static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "skerry_probe", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_skerry_probe(void) { return PyModule_Create(&module); }
