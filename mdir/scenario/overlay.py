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
from mdir.scenario.sources import SCENARIOS, Reader, Unreadable, plain_key
from mdir.scenario.tree import Located, Node, Place

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
        self.warnings: list[str] = []
        self.first_folder = "."
        self.later: set[Place] = set()

    def load(self, layers: list[tuple[str, bool]]) -> Node:
        """Lay ``(text, is_file)`` layers over each other, from left to right, and finish them."""
        first, *rest = layers
        self.first_folder = os.path.dirname(first[0])
        tree = self._read_file(first[0])
        for text, is_file in rest:
            layer = self._whole(text) if is_file else self._argument(text)
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
            key = path[-1] if path else "list"
            message = (
                f"a list cannot cover the list of {below.where}; "
                f"write {key}* to replace it or {key}+ to append"
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
            result = (
                Node({}, node.place) if found is None else self._template(found, template, path)
            )
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
        elif key == stem:
            low[key] = self.cover(low[key], value, here, in_list) if key in low else value
        elif key.endswith("?"):
            if stem in low:
                low[stem] = self.cover(low[stem], value, here, in_list)
        elif key.endswith("*"):
            low[stem] = value
        else:
            self._add(low, stem, value, here)

    def _add(self, mapping, key, above, path):
        low = mapping[key].value if key in mapping else None
        for kinds in ADDABLE:
            if isinstance(low, kinds) and isinstance(above.value, kinds):
                mapping[key] = Node(low + above.value, above.place, above.key_place)
                return
        if low is None:
            message = f"{key}+ has nothing to add to"
        else:
            given = f"{_kind(low)} and {_kind(above.value)}"
            message = f"{key}+ joins two lists, two texts or two numbers, not {given}"
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
        """Dotted keys of this very mapping -> nested ones; one setting in both spellings is one."""
        keys, whole = list(node.value), Node({}, node.place)
        for rank in sorted({node.ranks.get(key, 0) for key in keys}, reverse=True):
            part = Node({}, node.place)
            for key in (key for key in keys if node.ranks.get(key, 0) == rank):
                self._join(part, self._nested(key, node.value[key], path), path)
            _lay(whole, part)
        node.value, node.ranks = whole.value, {}
        return node

    def _nested(self, key, value, path):
        """A mapping of the one key, or of its first part to a mapping of the rest."""
        parts = key.split(".") if isinstance(key, str) else [key]
        if len(parts) > 1 and not all(parts):
            self._problem(value, (*path, key), "a dotted key has an empty part")
            return Node({}, value.place)
        for part in reversed(parts):
            value = Node({part: value}, value.place, value.key_place)
        return value

    def _join(self, low, high, path, ranks=(0, 0)):
        """Put two mappings that stand in one mapping together; nothing may be told twice.

        ``ranks`` are those of the two themselves: of what ``<<`` brought the nearer wins.
        """
        for key, value in high.value.items():
            here, there = (*path, key), low.value.get(key)
            old = max(low.ranks.get(key, 0), ranks[0])
            new = max(high.ranks.get(key, 0), ranks[1])
            deeper = isinstance(value.value, dict)
            if there is not None and isinstance(there.value, dict) and deeper:
                self._join(there, value, here, (old, new))
            elif there is None or old > new or (there.value is None and deeper):
                low.value[key], low.ranks[key] = value, new
                self._put_behind(low, key, ranks[0])
            elif old == new and deeper:
                message = f"{key!r} is {_kind(there.value)} in {there.where}, not a mapping"
                self._problem(value, (*here, next(iter(value.value), "")), message)
            elif old == new:
                message = f"duplicate key {key!r} (first in line {there.where.line})"
                self._problem(value, here, message)

    def _put_behind(self, low, key, rank):
        """What ``key*`` replaces must not take away what stood in the same mapping before it."""
        stem = plain_key(key)
        is_there = str(key).endswith("*") and stem in low.value
        if is_there and max(low.ranks.get(stem, 0), rank) == low.ranks[key]:
            low.value[stem] = low.value.pop(stem)

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

    def _template(self, file, template, path):
        tree = self._read_file(file, path)
        return Node(tree.value, tree.place, template.key_place)

    def _problem(self, node, path, message):
        self.problems.append(Located(Problem(path, message), node.where))


def _lay(low: Node, high: Node):
    """Lay a mapping over another of the same one, what is higher wins."""
    for key, value in high.value.items():
        there = low.value.get(key)
        if there is not None and isinstance(there.value, dict) and isinstance(value.value, dict):
            _lay(there, value)
        else:
            low.value[key] = value


def _kind(value):
    kinds = {dict: "a mapping", list: "a list", str: "text", type(None): "null"}
    return kinds.get(type(value), repr(value))
