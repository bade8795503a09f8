"""The packages, with ``scenarios/`` as the data of one more: pyproject.toml cannot say both."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["mdir*", "cirtorch*"]), "mdir._scenarios"])
