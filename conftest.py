"""For the tests in tests/plugin; pytest takes `pytest_plugins` from the topmost conftest.py alone."""

pytest_plugins = ["pytester"]
