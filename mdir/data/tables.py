"""Writing the tab-separated tables that mdir.data.table_files reads."""

import json


def table(columns: list[str], rows: list[list]) -> bytes:
    """A table with a header line; lists are written as JSON, None as an empty cell."""

    def cell(value):
        if isinstance(value, list):
            return json.dumps(value, ensure_ascii=False)
        return "" if value is None else str(value)

    lines = ["\t".join(columns), *("\t".join(map(cell, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()
