"""What the cells gave, read from their journals."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mdir.errors import UserError
from mdir.scenario.journal import decode
from mdir.sweep.cells import Cell
from mdir.sweep.definition import Sweep
from mdir.sweep.journals import CellJournal
from mdir.sweep.results import CellResult, scores_of


def cell_results(
    sweep: Sweep,
    cells: Sequence[Cell],
    journals: Mapping[str, CellJournal],
    states: Mapping[str, str],
) -> list[CellResult]:
    """States, numbers and pages of all cells, for the table.

    Raises:
        UserError: a step that is compared gave no numbers.
    """
    return [_result(sweep, cell, journals[cell.name], states[cell.name]) for cell in cells]


def _result(sweep, cell, journal, state):
    records = journal.records()
    scores, page = {}, None
    if state == "done":
        metadata = {name: decode(record["metadata"]) for name, record in records.items()}
        compared = {name: metadata.get(step) for name, step in sweep.compare.steps.items()}
        try:
            scores = scores_of(compared)
        except UserError as error:
            raise UserError(f"cell {cell.name}: {error}") from None
        pages = [
            each["page"] for each in metadata.values() if isinstance(each, dict) and "page" in each
        ]
        page = Path(pages[-1]) if pages else None
    return CellResult(cell.name, cell.axes, state, scores, page, cell.log)


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
