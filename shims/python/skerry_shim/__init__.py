"""What runs in front of a Python function's code. Start reading at start.py; README.md beside main.py says what the shim owns."""
