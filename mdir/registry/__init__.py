"""Names in scenarios -> components, and signatures as schemas: the door that plug-ins use.

:mod:`mdir.registry.components` says how a component is written.
"""

from mdir.registry.annotations import (
    Check,
    Holds,
    Named,
    Problem,
    Section,
    describe,
    is_unresolved,
)
from mdir.registry.components import (
    KINDS,
    ComponentError,
    Kind,
    build,
    build_named,
    check,
    check_parameters,
    lookup,
    names,
    register,
    schema,
    unknown,
    values,
)

__all__ = [
    "KINDS",
    "Check",
    "ComponentError",
    "Holds",
    "Kind",
    "Named",
    "Problem",
    "Section",
    "build",
    "build_named",
    "check",
    "check_parameters",
    "describe",
    "is_unresolved",
    "lookup",
    "names",
    "register",
    "schema",
    "unknown",
    "values",
]
