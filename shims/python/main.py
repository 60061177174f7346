"""The Python shim's command: `python3 -B /skerry/shim/python/main.py`. All of it is in skerry_shim; this file is compiled anew at every start, so it stays tiny."""

from skerry_shim.start import main

main()
