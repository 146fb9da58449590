"""Filter over the rows of a run's report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from lipwise_ray.reports.row_sheet import RowSheet

_MOST_CHOICES = 200
_MOST_COMBINATIONS = 5000
_UNNAMED = "not given"
_IS_LANGUAGE = f"coalesce(nullif(language, ''), '{_UNNAMED}')"


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Values of the rows that are shown; empty ones let all through.

    Attributes:
        language, tag, verdict, status: Of the rows.
        text: A part of their ids, in capitals or not.
    """

    language: str = ""
    tag: str = ""
    verdict: str = ""
    status: str = ""
    text: str = ""

    def condition(self) -> tuple[str, list[str]]:
        """Return SQL over the report's columns, and what stands for its question marks."""
        wanted = [
            (f"{_IS_LANGUAGE} = ?", self.language),
            ("instr(',' || tags || ',', ',' || ? || ',') > 0", self.tag),
            ("verdict = ?", self.verdict),
            ("status = ?", self.status),
            ("instr(lower(row_id), lower(?)) > 0", self.text),
        ]
        given = [(sql, value) for sql, value in wanted if value]
        return " AND ".join(sql for sql, _ in given) or "TRUE", [value for _, value in given]

    def query(self, page: int) -> str:
        """Return the query of an address that shows a page of these rows."""
        given = {name: value for name, value in asdict(self).items() if value}
        return urlencode({**given, "page": page})

    @property
    def is_open(self) -> bool:
        """True where it lets all rows through."""
        return self == RowFilter()


@dataclass(frozen=True, slots=True)
class FilterChoices:
    """Values that the rows of a run have, a bounded number of each."""

    languages: list[str]
    tags: list[str]
    verdicts: list[str]
    statuses: list[str]

    @staticmethod
    def of(rows: RowSheet) -> FilterChoices:
        """Return those of a sheet."""

        def distinct(column: str) -> list[str]:
            return [str(one) for (one,) in rows.ask(f"DISTINCT {column} FROM rows ORDER BY 1 LIMIT {_MOST_CHOICES}")]

        combined = rows.ask(f"DISTINCT tags FROM rows WHERE tags <> '' LIMIT {_MOST_COMBINATIONS}")
        tags = sorted({tag for (text,) in combined for tag in str(text).split(",")})
        languages = distinct(_IS_LANGUAGE)
        return FilterChoices(
            [] if languages == [_UNNAMED] else languages,
            tags[:_MOST_CHOICES],
            distinct("verdict"),
            distinct("status"),
        )
