"""Files without a target: an evaluation of jenicek/mdir is performed, others are told of."""

from mdir.registry import Problem
from mdir.scenario.sources import plain_key
from mdir.scenario.tree import FUNCTION, Located, Node, Place

TARGET, STEP, SCORES = "eval", "1_evaluate", "2_print_scores"
EVALUATION = {"network", "data", "validation"}
# Top keys of a file that is one step's parameters.
PARAMETERS = EVALUATION | {"learning", "output", "whitening", "initialize"}
WARNING = (
    f"has no target, so that it is one evaluation: target {TARGET}, step {STEP}. jenicek/mdir "
    "shrank the crop of a query to image_size, here it shrinks as its whole picture does, as in "
    "gandtr: scores of Oxford and Paris differ a little"
)


def is_evaluation(tree: Node) -> bool:
    """Whether the top keys of a finished file are the parameters of an evaluation."""
    return {"network", "validation"} <= _names(tree) <= EVALUATION and not _has_step(tree)


def is_part_of_evaluation(tree: Node) -> bool:
    """Whether what covers such a file begins with its keys, not with the target."""
    return bool(tree.value) and _names(tree) <= EVALUATION


def as_target(tree: Node) -> Node:
    """The keys of an evaluation, where the step of the target has them."""
    return _mapping(tree, {TARGET: _mapping(tree, {STEP: tree})})


def around(tree: Node) -> Node:
    """What a target has besides the parameters of its evaluation."""
    functions = {STEP: "mdir.stages.validate.validate", SCORES: "print_scores"}
    steps = {
        name: _mapping(tree, {FUNCTION: Node(function, tree.place)})
        for name, function in functions.items()
    }
    metadata = f"${{{STEP}._output_metadata}}"
    steps[SCORES].value["metadata"] = Node(metadata, tree.place)
    doc = Node("Evaluate the network of this file", tree.place)
    return _mapping(tree, {TARGET: _mapping(tree, {"__doc__": doc, **steps})})


def problem(tree: Node, file: str) -> Located | None:
    """The hint for a finished file of another step's parameters; None for a scenario."""
    names = [name for name in _names(tree) if not name.startswith("_")]
    if "network" not in names or not PARAMETERS.issuperset(names) or _has_step(tree):
        return None
    message = (
        f"has no target: its top keys {', '.join(names)} are the parameters of one "
        "step. Put them into a step of a target, as the scenarios iccv23/train/*.yml do; one "
        "evaluation alone (network, validation, data) needs none"
    )
    return Located(Problem((), message), Place(file))


def _names(tree):
    return dict.fromkeys(str(plain_key(key)).partition(".")[0] for key in tree.value).keys()


def _has_step(tree):
    found = [node.value for node in tree.value.values() if isinstance(node.value, dict)]
    children = [child.value for value in found for child in value.values()]
    return any(isinstance(child, dict) and FUNCTION in child for child in children)


def _mapping(tree, value):
    return Node(value, tree.place)
