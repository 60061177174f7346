from setuptools import Extension, setup

setup(name="skerry-probe", version="1.0", ext_modules=[Extension("skerry_probe", ["skerry_probe.c"])])
