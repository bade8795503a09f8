"""What the cells gave, read from their journals."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mdir.errors import UserError
from mdir.scenario.journal import decode
from mdir.sweep.cells import Cell
from mdir.sweep.definition import Sweep
from mdir.sweep.journals import CellJournal
from mdir.sweep.results import CellResult, scores_of
from mdir.sweep.summary.grid import key_of


def cell_results(
    sweep: Sweep,
    cells: Sequence[Cell],
    journals: Mapping[str, CellJournal],
    states: Mapping[str, str],
) -> list[CellResult]:
    """States, numbers and pages of all cells, for the table."""
    return [_result(sweep, cell, journals[cell.name], states[cell.name]) for cell in cells]


def without_numbers(sweep: Sweep, cells: Sequence[CellResult]) -> list[str]:
    """Of every compared step that gave no number in some cell that is done, what to tell."""
    done = [cell for cell in cells if cell.state == "done"]
    found = {}
    for name, step in sweep.compare.steps.items():
        lacking = [
            cell.name
            for cell in done
            if not any(k.startswith(key_of(name, "")) for k in cell.scores)
        ]
        if lacking:
            found[step] = (
                f"compare: step {step} gave no numbers in {len(lacking)} of {len(done)} cells that "
                f"are done, first in {lacking[0]}; compare a step that evaluates"
            )
    return list(found.values())


def _result(sweep, cell, journal, state):
    records = journal.records()
    scores, page = {}, None
    if state == "done":
        metadata = {name: decode(record["metadata"]) for name, record in records.items()}
        for name, step in sweep.compare.steps.items():
            with suppress(UserError):
                scores |= scores_of({name: metadata.get(step)})
        pages = [
            each["page"] for each in metadata.values() if isinstance(each, dict) and "page" in each
        ]
        page = Path(pages[-1]) if pages else None
    origins = frozenset(map(_origin, records.values()))
    return CellResult(cell.name, cell.axes, state, scores, page, cell.log, origins)


def _origin(record):
    told = [record["machine"], record["commit"] and f"commit {record['commit']}"]
    return "; ".join(filter(None, told)) or "not recorded"


def clashes(cells: Sequence[Cell], journals: Mapping[str, CellJournal]) -> dict[str, str]:
    """Cells that wrote to the same place with different settings: name -> what happened."""
    makers: dict[str, tuple[str, str]] = {}
    found = {}
    for cell in cells:
        for step, record in journals[cell.name].records().items():
            for path in record["outputs"] or ():
                name, identity = makers.setdefault(path, (cell.name, record["identity"]))
                if name != cell.name and identity != record["identity"]:
                    found[cell.name] = found[name] = (
                        f"cells {name} and {cell.name} both wrote {path} (step {step}) with "
                        "different settings; let its place differ, ${SWEEP_CELL} helps"
                    )
    return found
