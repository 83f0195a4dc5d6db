// One enterprise: its score as parts that add up, why it is not higher, its course, alerts, loans and transactions.
import { courseChart } from "./charts.js";
import { $, claimOf, dayText, el, fetchJson, follow, gradeMark, head, lang, money, number, outside, percent, redraw, severityPill, signed, t, when } from "./page.js";

const REFRESH_MS = 10000, FLOOR = 400, SPAN = 300, MOVES_MS = 60000, MOVES_FAILED_MS = 300000;
const GROUPS = ["fund_scale", "flow_stability", "transaction_activity", "income_growth", "counterparty_structure", "repayment_capacity"];
const id = decodeURIComponent(location.pathname.split("/").pop());
const tell = head();
let one = null, drawCourse = null, moves, movesFailed = null, asked = {};

function drawTitle() {
  const profile = one.profile;
  document.title = `${profile.name || id} · 信流`;
  $("name").textContent = profile.name || t("unnamed");
  const facts = [outside(id, { class: "id" })];
  if (profile.industry) facts.push(t("industry", { code: profile.industry }), t("region", { code: profile.region }), t(profile.size_class));
  if (profile.opened_on) facts.push(t("opened", { day: profile.opened_on }));
  $("facts").replaceChildren(...facts.flatMap((fact, i) => (i ? [" · ", fact] : [fact])));
}

function drawVerdict() {
  const score = one.score;
  $("score").textContent = score.score;
  $("grade").replaceChildren(gradeMark(score.published_grade));
  $("as-of").textContent = when(score.as_of_ms, "seconds");
  const lines = [["status", `${t(score.status)}${score.status_reason ? ` (${score.status_reason})` : ""}`], ["probability", percent(score.p_overdue30_90d_ppm)], ["coverage", percent(score.coverage_ppm, 0)], ["model", score.model_id.slice(0, 12)]];
  if (score.pd_12m_ppm !== null) lines.splice(2, 0, ["pd_12m", percent(score.pd_12m_ppm)]);
  $("verdict").replaceChildren(...lines.flatMap(([key, text]) => [el("dt", { text: t(key) }), el("dd", { text })]));
  for (const note of ["prior", "extrapolated", "provisional_calendar"]) {
    if (score[note]) $("verdict").append(el("dd", { class: "note", text: t(note) }));
  }
  const parts = [["base", FLOOR], ...GROUPS.map((group) => [group, score.parts[group]]), ["cap", score.parts.cap]];
  $("part-rows").replaceChildren(
    ...parts.map(([name, points], i) => el(
      "tr", { "data-part": name, "data-points": points }, el("th", { scope: "row" }, el("span", { class: "swatch", "data-part": name }), t(name)),
      el("td", { class: "number", text: i ? signed(points) : points }),
    )),
    el("tr", { class: "total", "data-part": "total", "data-points": score.score }, el("th", { scope: "row", text: `= ${t("total")}` }), el("td", { class: "number", text: score.score })),
  );
  $("stack").replaceChildren(...GROUPS.map((group) => {
    const piece = el("span", { "data-part": group, title: `${t(group)} ${t("points", { points: signed(score.parts[group]) })}` });
    piece.style.width = `${(Math.max(0, score.parts[group]) * 100) / SPAN}%`;
    return piece;
  }));
}

function drawReasons() {
  $("reason-rows").replaceChildren(...one.score.reasons.map((reason) => {
    const points = (reason.points_milli / 1000).toFixed(1).replace("-", "−");
    return el("li", { "data-indicator": reason.indicator }, el("span", { text: reason.said[lang] }), el("b", { class: "number down", text: points }));
  }));
  $("no-reasons").hidden = one.score.reasons.length > 0;
}

const milliText = (milli) => (milli / 1000).toFixed(3).replace("-", "−");

function drawMoves() {
  for (const option of $("days").options) option.textContent = t("moves_since", { days: option.value });
  const row = (what, text, milli, sign = "") => el(
    "tr", { "data-what": what, "data-milli": milli, class: sign ? null : "total" },
    el("th", { scope: "row", text }), el("td", { class: "number", text: `${milli > 0 ? sign : ""}${milliText(milli)}` }),
  );
  const rows = !moves ? [] : [
    row("before", t("moves_close", { day: dayText(moves.days[0]) }), moves.scores_milli[0]),
    ...moves.lines.map((line) => row(line.what, line.said ? line.said[lang] : t(`moves_${line.what}`), line.points_milli, "+")),
    row("after", t("moves_close", { day: dayText(moves.days[1]) }), moves.scores_milli[1]),
  ];
  $("move-rows").replaceChildren(...rows);
  $("no-moves").hidden = moves !== null; // nothing is said before the first answer
  $("no-moves").textContent = t(movesFailed ?? "no_moves");
}

/** Asks for what moved the score: once at a time, and seldom, since it changes once a day. */
async function refreshMoves() {
  const days = $("days").value;
  if (asked.days === days && Date.now() < asked.until) return;
  if (asked.days !== days) moves = undefined;
  const mine = asked = { days, until: Infinity };
  drawMoves();
  const answer = await fetchJson(`/api/enterprise/${encodeURIComponent(id)}/moves?days=${days}`).catch((error) => error);
  if (asked !== mine) return;
  movesFailed = answer instanceof Error ? "moves_away" : null;
  moves = movesFailed ? null : answer;
  mine.until = Date.now() + (movesFailed ? MOVES_FAILED_MS : MOVES_MS);
  drawMoves();
}

function drawAlerts() {
  $("alert-rows").replaceChildren(...one.alerts.map((alert) => {
    const said = alert.said[lang];
    const title = el("p", { class: "signal" }, el("b", { text: said.name }), el("span", { class: "state", text: said.state }));
    if (alert.backfill) title.append(el("span", { class: "state", text: t("backfilled") }));
    return el(
      "tr", { "data-alert": `${alert.id}/${alert.revision}`, "data-severity": alert.severity }, el("td", { class: "time", text: when(alert.as_of_ms) }), el("td", {}, severityPill(alert.severity)),
      el("td", {}, title, el("p", { class: "sentence", text: said.text }), claimOf(alert), el("p", { class: "sentence action", text: said.action })), el("td", { class: "number", text: alert.score }),
    );
  }));
  $("no-alerts").hidden = one.alerts.length > 0;
}

const bankName = (bankId) => {
  const bank = one.banks[bankId];
  return bank ? (lang === "en" && bank.name_en) || bank.name_zh : bankId;
};

function drawLoans() {
  $("loan-rows").replaceChildren(...one.loans.map((loan) => el(
    "tr", {}, el("td", {}, outside(loan.loan_id, { class: "id" }), el("br"), outside(bankName(loan.bank_id), { class: "muted" })), el("td", {}, t(loan.event), el("br"), el("span", { class: "muted", text: when(loan.at_ms, "day") })),
    el("td", { class: "number", text: money(loan.outstanding_minor) }), el("td", { class: `number${loan.dpd ? " down" : ""}`, text: number(loan.dpd) }),
    el("td", { lang: "zh-CN", text: loan.five_class ?? "–" }), el("td", { text: loan.due_on ?? "–" }),
  )));
  $("no-loans").hidden = one.loans.length > 0;
}

function drawTxns() {
  $("txn-rows").replaceChildren(...one.txns.map((txn) => {
    const out = txn.direction === "D";
    const what = [txn.purpose ? t(txn.purpose) : "–", txn.status === "booked" ? "" : t(txn.status)].filter(Boolean).join(" · ");
    const purpose = el("td", { text: what });
    if (txn.memo) purpose.append(" ", outside(txn.memo, { class: "muted" }));
    return el(
      "tr", {}, el("td", { class: "time", text: when(txn.at_ms) }), el("td", {}, outside(bankName(txn.bank_id))), purpose,
      el("td", { class: `number ${out ? "out" : "in"}`, text: `${out ? "−" : "+"}${money(txn.amount_minor)}${txn.currency === "CNY" ? "" : ` ${txn.currency}`}` }), el("td", { class: "number", text: money(txn.balance_minor) }),
    );
  }));
}

function draw() {
  if (one === null) return;
  for (const part of [drawTitle, drawVerdict, drawReasons, drawMoves, drawAlerts, drawLoans, drawTxns]) part();
}

async function refresh() {
  const answer = await fetchJson(`/api/enterprise/${encodeURIComponent(id)}`).catch((error) => error);
  if (answer instanceof Error) {
    tell({ warning: answer.status === 404 ? null : "archive_away" });
    if (one === null) $("nothing").textContent = t(answer.status === 404 ? "unknown" : "archive_away");
    $("nothing").hidden = one !== null;
    return;
  }
  one = answer;
  tell({ warning: null, reachedMs: one.score.as_of_ms });
  $("nothing").hidden = true;
  $("main").hidden = false;
  draw();
  if (drawCourse === null) drawCourse = courseChart($("course-chart"), () => one);
  else drawCourse();
  refreshMoves();
}

$("days").addEventListener("change", refreshMoves);
redraw(draw);
refresh();
setInterval(() => { if (!document.hidden) refresh(); }, REFRESH_MS);
follow({ alert: (alert) => { if (alert.enterprise_id === id) setTimeout(refresh, 1500); } }, (connection) => tell({ connection }));
