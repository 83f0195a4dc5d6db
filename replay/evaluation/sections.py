"""The report as sections: what both the text and the page show, in one language."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from domain.outputs import Figure, ModelMetrics
from replay.evaluation.models import RECENCY
from replay.evaluation.report import AsKnown, Evaluation, Judged, auc_text
from replay.evaluation.words import WORDS

PROBLEMS_SHOWN_MAX = 1_000  # of the lines that are not judged in all views; the JSON has them all
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text; the first row names the columns."""

    rows: Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, sentences, tables; `curves`: models whose curves belong here."""

    title: str
    texts: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    judged: Judged | None = None


class Writer:
    """Makes sections in one language."""

    def __init__(self, chinese: bool) -> None:
        self._at = 0 if chinese else 1

    def t(self, key: str, *parts: object) -> str:
        """Return a phrase; a name that is not known as it is."""
        return WORDS[key][self._at].format(*parts) if key in WORDS else key

    def title(self, found: Evaluation) -> str:
        """Return the title."""
        return self.t("title", found.name)

    def sections(self, found: Evaluation) -> Iterator[Section]:
        """Yield all sections."""
        yield Section(title=self.title(found), texts=[self._engine(found), self._path(found)])
        yield self._outcomes(found)
        for one in found.judged:
            yield self._judged(one)
        if found.as_known is not None:
            yield self._as_known(found.as_known)

    def _engine(self, found: Evaluation) -> str:
        return self.t("engine", found.engine_version, found.core, found.recorded_by, f"{found.records:,}")

    def _path(self, found: Evaluation) -> str:
        if found.compared is None:
            return self.t("in_process")
        if not found.compared.same:
            return self.t("not_same", ", ".join(found.compared.different))
        return self.t("same", ", ".join(f"{topic} {n:,}" for topic, n in found.compared.messages.items()))

    def _outcomes(self, found: Evaluation) -> Section:
        rows = [(self.t("what"), self.t("count")), *((self.t(name), f"{n:,}") for name, n in found.outcomes.items())]
        tables = [Table(rows=rows)]
        if found.problems:
            shown = found.problems[:PROBLEMS_SHOWN_MAX]
            heads = [self.t(name) for name in ("line", "id", "what", "reason")]
            lines = [(str(one.line), one.id, self.t(one.kind), one.detail) for one in shown]
            if more := len(found.problems) - len(shown):
                lines.append(("…", "", "", self.t("more", f"{more:,}")))
            tables.append(Table(rows=[heads, *lines]))
        return Section(title=self.t("outcomes"), tables=tables)

    def _judged(self, one: Judged) -> Section:
        name, _, bare = one.view.partition("_without_recency")
        is_bare = bare != "" or one.view.endswith("_without_recency")
        view = self.t(name) + (self.t("_without_recency") if is_bare else "")
        title = self.t("view", view, f"{one.n:,}", f"{one.bad:,}")
        if one.silent_reason:
            return Section(title=title, texts=[self.t("no_auc", one.silent_reason)])
        texts = [self.t("folds", one.folds, one.repeats, one.seed, one.indicators)]
        if is_bare:
            texts.append(self.t("recency", ", ".join(RECENCY)))
        less = {each.model: each.auc for each in one.differences}
        heads = [self.t(head) for head in ("model", "AUC", "KS", "Brier", "log_loss", "silent", "less")]
        ordered = sorted(one.models, key=lambda each: -(each.auc.value_micro or 0))
        rows = [(*self._line(each), f"{each.silent:,}", _signed(less.get(each.model))) for each in ordered]
        tables = [Table(rows=[heads, *rows])]
        if one.ablation:
            heads = [self.t(head) for head in ("ablation", "AUC", "against")]
            rows_of = [(each.what, auc_text(each.auc), _signed(each.less)) for each in one.ablation]
            tables.append(Table(rows=[heads, *rows_of]))
        return Section(title=title, texts=texts, tables=tables, judged=one)

    def _as_known(self, one: AsKnown) -> Section:
        heads = [self.t(head) for head in ("model", "AUC", "KS", "Brier", "log_loss")]
        rows = [heads, *(self._line(each) for each in (one.in_force, one.prior))]
        text = self.t("as_known_text", one.labels_by_1997, one.bad_by_1997, one.models)
        return Section(title=self.t("as_known"), texts=[text], tables=[Table(rows=rows)])

    def _line(self, one: ModelMetrics) -> tuple[str, ...]:
        return (self.t(one.model), *(auc_text(each) for each in (one.auc, one.ks, one.brier, one.log_loss)))


def _signed(one: Figure | None) -> str:
    return "" if one is None or one.value_micro is None else _with_plus(auc_text(one))


def _with_plus(text: str) -> str:
    return text if text.startswith(("-", "–")) else f"+{text}"
