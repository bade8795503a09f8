"""Names in scenarios -> components, and signatures as schemas: the door that plug-ins use.

:mod:`mdir.registry.components` says how a component is written.
"""

from mdir.registry.annotations import (
    Check,
    Holds,
    Named,
    Options,
    Problem,
    Section,
    arms,
    holds_unresolved,
    in_words,
    is_unresolved,
    unchecked_arms,
    within,
)
from mdir.registry.components import (
    KINDS,
    ComponentError,
    Field,
    Kind,
    build,
    check,
    check_parameters,
    construct,
    lookup,
    make,
    names,
    refuse,
    register,
    schema,
    takes,
    unknown,
    values,
)
