"""Mutants of a source file: it with one small mistake, made by the operators of mutmut."""

import ast
import difflib
from dataclasses import dataclass
from functools import cached_property

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import Mutation, MutationVisitor, OuterFunctionProvider
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode


@dataclass(frozen=True)
class Mutant:
    """One mistake in a file.

    Attributes:
        path: of the file, relative to the project.
        line: of the mistake.
        number: among the mutants of the file.
        lines: where execution must come for the mistake to show, those of the statement.
        in_head: a default value of a function is changed, which is read when that is defined.
        module, mutation: the parsed file, and what is put in place of what; no mutation is none.
    """

    path: str
    line: int
    number: int
    lines: frozenset[int]
    in_head: bool
    module: cst.Module
    mutation: Mutation | None

    def __str__(self):
        return f"{self.path}:{self.line} #{self.number}"

    @cached_property
    def text(self) -> str:
        """The whole file, with the mistake."""
        if self.mutation is None:
            return self.module.code
        new = self.mutation.mutated_node
        return self.module.deep_replace(self.mutation.original_node, new).code

    def diff(self) -> str:
        """The changed lines."""
        texts = self.module.code.splitlines(), self.text.splitlines()
        lines = difflib.unified_diff(*texts, n=0, lineterm="")
        return "\n".join(line for line in lines if line[:2] not in ("--", "++", "@@"))


class _Visitor(MutationVisitor):
    """Decorated functions too: a mutant here is a file, not a function that is exchanged."""

    def _skip_node_and_children(self, node):
        decorated = isinstance(node, cst.FunctionDef) and node.decorators
        return not decorated and super()._skip_node_and_children(node)


def mutants_of(path: str, text: str) -> list[Mutant]:
    """All mutants of the functions of a file; what stands outside of them is left alone."""
    wrapper = MetadataWrapper(cst.parse_module(text))
    visitor = _Visitor(mutation_operators, IgnoredCode(set(), set(), set()))
    module = wrapper.visit(visitor)
    places = wrapper.resolve(PositionProvider)
    owners = wrapper.resolve(OuterFunctionProvider)
    lines, heads = _lines_of_statements(ast.parse(text))
    mutants: list[Mutant] = []
    for mutation in visitor.mutations:
        if not isinstance(owners.get(mutation.original_node), cst.FunctionDef):
            continue
        line = places[mutation.original_node].start.line
        number, in_head = len(mutants), line in heads
        mutants.append(Mutant(path, line, number, lines[line], in_head, module, mutation))
    return mutants


def _lines_of_statements(tree):
    """``{line: lines}``, what runs when the innermost statement there does, and heads of functions.

    The head of a function, such as its default values, shows where its body runs.
    """
    found, heads = {}, set()
    for node in ast.walk(tree):  # inner ones come later
        if not isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            continue
        inner = getattr(node, "body", None) or getattr(node, "cases", None)
        first = getattr(node, "lineno", None) or node.pattern.lineno
        last = getattr(node, "end_lineno", first)
        if inner:
            below = getattr(inner[0], "lineno", None) or inner[0].pattern.lineno
            last = max(first, below - 1)
        shown = range(first, last + 1)
        if isinstance(node, ast.FunctionDef):
            heads.update(shown)
            shown = range(inner[0].lineno, node.end_lineno + 1)
        found |= {line: frozenset(shown) for line in range(first, last + 1)}
    return found, heads
