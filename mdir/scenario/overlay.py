"""How one layer covers another: ``key``, ``key*``, ``key+``, ``key?``, dotted keys, templates.

``key?`` covers ``key`` where it is there, and is left out where it is not: so one overlay fits
scenarios of which only some have a network or a target.

A mapping with a ``__template__`` is *pending* until all layers are there: what covers it waits in
its queue and is laid over the template's content in order, so a later layer always wins and its
markers meet the finished mapping.
"""

import os
from typing import Any

from mdir.registry import Problem
from mdir.scenario import one_step
from mdir.scenario.sources import SCENARIOS, Reader, Unreadable, plain_key
from mdir.scenario.spellings import Joining
from mdir.scenario.tree import Located, Node, Place, kind

TEMPLATE = "__template__"
ADDABLE: tuple[Any, ...] = (list, str, (int, float))


class Loader:
    """Reads and covers the layers of one scenario.

    ``problems`` and ``warnings`` are filled on the way; after a problem loading goes on with what
    is most likely meant, so that one look finds every mistake. ``later`` holds the places of the
    top keys of all layers but the first, those that replace with ``*`` left out.
    """

    def __init__(self):
        self.reader = Reader()
        self.problems: list[Located] = self.reader.problems
        self.warnings: list[str] = self.reader.warnings
        self.first_folder = "."
        self.later: set[Place] = set()

    def load(self, layers: list[tuple[str, bool]]) -> Node:
        """Lay ``(text, is_file)`` layers over each other, from left to right, and finish them."""
        first, *rest = layers
        self.first_folder = os.path.dirname(first[0])
        tree = self._read_file(first[0])
        is_evaluation = self._is_evaluation(first[0], tree)
        if is_evaluation:
            self.warnings.append(f"{first[0]}: {one_step.WARNING}")
            tree = self.cover(one_step.as_target(tree), one_step.around(tree))
        for text, is_file in rest:
            layer = self._whole(text) if is_file else self._argument(text)
            if is_evaluation and one_step.is_part_of_evaluation(layer):
                layer = one_step.as_target(layer)
            if text != first[0]:
                keys = [key for key in layer.value if not str(key).endswith("*")]
                self.later |= {layer.value[key].where for key in keys}
            tree = self.cover(tree, layer)
        return self.settle(self.finish(tree, self.first_folder))

    def cover(self, below: Node, above: Node, path: tuple = (), in_list: bool = False) -> Node:
        """``below`` covered by ``above``; both may be changed and must not be used again."""
        low, high = below.value, above.value
        if isinstance(low, list) and isinstance(high, dict):
            return self._cover_items(below, above, path)
        if isinstance(low, list) and isinstance(high, list):
            message = (
                f"a list cannot cover the list of {below.where}; "
                f"write {path[-1]}* to replace it or {path[-1]}+ to append"
            )
            self._problem(above, path, message)
            return above
        if not (isinstance(low, dict) and isinstance(high, dict)):
            return above
        if not in_list and TEMPLATE in low:
            return self._queue(below, above, path)
        if not in_list and TEMPLATE in high:
            template = high.pop(TEMPLATE)
            queue = [below, above, *above.queue]
            return Node({TEMPLATE: template}, above.place, above.key_place, queue)
        for key, value in high.items():
            self._cover_key(low, key, value, path, in_list)
        return below

    def finish(self, node: Node, folder: str, path: tuple = (), trail: tuple = ()) -> Node:
        """Read the templates of a tree; ``folder`` is that of the template entered last."""
        while isinstance(node.value, dict) and TEMPLATE in node.value:
            template = node.value.pop(TEMPLATE)
            layers = [node, *node.queue]
            node.queue = []
            found = self._template_file(template, folder, path, trail)
            result = Node({}, node.place) if found is None else self._read_file(found, path)
            if found is not None:
                folder, trail = os.path.dirname(found), (*trail, (template.place, found))
            for layer in layers:
                result = self.cover(result, self._expand(layer, path), path)
            result.key_place = node.key_place
            node = result
        if isinstance(node.value, dict):
            for key, child in list(node.value.items()):
                node.value[key] = self.finish(child, folder, (*path, plain_key(key)), trail)
        return node

    def settle(self, node: Node, path: tuple = ()) -> Node:
        """End markers that met nothing: ``key*`` is ``key``, ``key?`` goes, ``key+`` is wrong."""
        if isinstance(node.value, list):
            node.value = [self.settle(item, (*path, i)) for i, item in enumerate(node.value)]
        elif isinstance(node.value, dict):
            layer, node.value = node.value, {}
            for key, value in layer.items():
                value = self.settle(value, (*path, plain_key(key)))
                self._cover_key(node.value, key, value, path, in_list=True)
        return node

    def _is_evaluation(self, path, tree):
        if TEMPLATE not in tree.value:
            return one_step.is_evaluation(tree)
        own = Node({key: tree.value[key] for key in tree.value if key != TEMPLATE}, tree.place)
        may_be = not own.value or one_step.is_part_of_evaluation(own)
        return may_be and one_step.is_evaluation(Loader()._whole(path))

    def _whole(self, path):
        return self.finish(self._read_file(path), os.path.dirname(path))

    def _read_file(self, path, at=()):
        try:
            return self.reader.file(path, at)
        except Unreadable as error:
            self.problems.append(Located(Problem(at, str(error)), error.place))
            return Node({}, Place(path, 1, 1))

    def _argument(self, text):
        try:
            return self.reader.argument(text)
        except Unreadable as error:
            self.problems.append(Located(Problem((), str(error)), error.place))
            return Node({}, Place(text, is_file=False))

    def _cover_key(self, low, key, value, path, in_list):
        stem = plain_key(key)
        here = (*path, stem)
        if stem == "":
            self._problem(value, path, f"the key {key!r} is a marker without a name")
            return
        # What the lowest layer replaces is not known yet: a template may still come below it.
        name = f"{stem}*" if stem not in low and f"{stem}*" in low else stem
        if key == stem or key.endswith("?"):
            if name in low:
                low[name] = self.cover(low[name], value, here, in_list)
            elif key == stem:
                low[name] = value
        elif key.endswith("*"):
            low[name] = value
        else:
            self._add(low, name, value, here)

    def _add(self, mapping, key, above, path):
        low = mapping[key].value if key in mapping else None
        for kinds in ADDABLE:
            if isinstance(low, kinds) and isinstance(above.value, kinds):
                mapping[key] = Node(low + above.value, above.place, above.key_place)
                return
        if low is None:
            message = f"{path[-1]}+ has nothing to add to"
        else:
            given = f"{kind(low)} and {kind(above.value)}"
            message = f"{path[-1]}+ joins two lists, two texts or two numbers, not {given}"
        self._problem(above, path, message)

    def _cover_items(self, below, above, path):
        for key, value in above.value.items():
            size = len(below.value)
            if not isinstance(key, int) or isinstance(key, bool):
                message = f"covers the list of {below.where}, so its keys must be indices"
                self._problem(value, (*path, key), message + f", not {key!r}")
            elif not -size <= key < size:
                message = f"index {key} is outside the list of {below.where} ({size} items)"
                self._problem(value, (*path, key), message)
            else:
                covered = self.cover(below.value[key], value, (*path, key), in_list=True)
                below.value[key] = covered
        return below

    def _queue(self, below, above, path):
        if TEMPLATE in above.value:
            below.value[TEMPLATE] = above.value.pop(TEMPLATE)
        below.queue += [self._expand(above, path), *above.queue]
        return below

    def _expand(self, node, path):
        return Joining(self.problems).expand(node, path)

    def _template_file(self, template, folder, path, trail):
        name = template.value
        if not isinstance(name, str) or not name:
            message = f"__template__ must be the path of a file, not {name!r}"
            return self._problem(template, path, message)
        place = template.place
        own = os.path.dirname(place.source) if place.is_file else self.first_folder
        found = os.path.normpath(os.path.join(own, name))
        if not os.path.isfile(found):
            beside = os.path.normpath(os.path.join(folder, name))
            if not os.path.isfile(beside):
                return self._shipped(template, found, path, trail)
            self.warnings.append(
                f"{place}: template {name!r} is taken from {folder or '.'}, beside the file "
                "that was entered last; write its path from this file's own folder"
            )
            found = beside
        return self._not_circular(template, found, path, trail)

    def _shipped(self, template, missing, path, trail):
        found = os.path.join(SCENARIOS, os.path.normpath(template.value))
        if os.path.isfile(found):
            return self._not_circular(template, found, path, trail)
        message = f"template not found: {missing}, nor is {template.value} under {SCENARIOS}"
        return self._problem(template, path, message)

    def _not_circular(self, template, found, path, trail):
        if any(entered == template.place for entered, _ in trail):
            names = " -> ".join([file for _, file in trail] + [found])
            return self._problem(template, path, f"circular template: {names}")
        return found

    def _problem(self, node, path, message):
        self.problems.append(Located(Problem(path, message), node.where))
