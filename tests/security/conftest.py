"""The whole Skerry of tests/e2e, for attacks that need all of it."""
import importlib.util
import pathlib

_path = pathlib.Path(__file__).resolve().parents[1] / "e2e" / "conftest.py"
_spec = importlib.util.spec_from_file_location("e2e_conftest", _path)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
Skerry, exchange, ROOT = _module.Skerry, _module.exchange, _module.ROOT
skerry = _module.skerry
