"""Keep the benchmarks out of the normal run: they are collected only if their folder is named."""


def pytest_ignore_collect(collection_path, config):
    """Ignore this folder unless an argument of the command line names it."""
    if not any("benchmarks" in str(argument) for argument in config.invocation_params.args):
        return True
    return None
