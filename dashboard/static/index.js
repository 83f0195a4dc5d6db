// The first page: flow, banks, grades, falls, and the newest alerts as they come.
import { flowChart, gradeChart } from "./charts.js";
import { $, claimOf, duration, el, enterpriseLink, fetchJson, follow, gradeMark, head, lang, number, outside, redraw, severityPill, signed, t, when } from "./page.js";

const ROWS_MAX = 300, FLOW_MAX = 900, STATUS_MS = 3000, NAMES_AT_ONCE = 150, BANK_ROWS_ALL = 12;
const SEVERITIES = ["red", "orange", "yellow"];
const BANK_STATES = ["complete", "waiting", "late", "stalled", "silent"];
const tell = head();
const rows = []; // newest first: an alert, or { missed } where some were left out
const held = []; // that came while the list was paused
const flow = [];
const names = new Map(), wanted = new Set();
const shown = new Set(SEVERITIES);
let paused = false, status = { banks: [], grades: {}, open_alerts: {}, falls: [], dead_letters: [] };

// Alerts

function alertRow(alert, fresh) {
  const said = alert.said[lang];
  const title = el("p", { class: "signal" }, el("b", { text: said.name }), el("span", { class: "state", text: said.state }), el("span", { class: "told", text: t("banks_told", { count: alert.bank_count }) }));
  const moved = alert.score_before === null || alert.score_before === alert.score ? null : alert.score - alert.score_before;
  return el(
    "tr", { "data-alert": `${alert.id}/${alert.revision}`, "data-severity": alert.severity, class: fresh ? "fresh" : null },
    el("td", { class: "time", title: when(alert.as_of_ms, "seconds"), text: when(alert.as_of_ms, "short") }),
    el("td", {}, severityPill(alert.severity)),
    el("td", {}, enterpriseLink(alert.enterprise_id, names.get(alert.enterprise_id))),
    el("td", {}, title, el("p", { class: "sentence", text: said.text, title: said.action }), claimOf(alert)),
    el("td", { class: "number" }, el("b", { text: alert.score }), moved === null ? null : el("span", { class: moved < 0 ? "down" : "up", text: signed(moved) })),
  );
}

const gapRow = (missed) => el("tr", { class: "gap", "data-gap": missed }, el("td", { colspan: "5", text: t("gap", { count: missed }) }));
const rowOf = (row, fresh) => ("missed" in row ? gapRow(row.missed) : alertRow(row, fresh));
const visible = (row) => "missed" in row || shown.has(row.severity);

function drawAlerts() {
  $("alert-rows").replaceChildren(...rows.filter(visible).map((row) => rowOf(row, false)));
  $("no-alerts").hidden = rows.some(visible);
  $("pause").textContent = paused ? t("resume", { count: held.length }) : t("pause");
  askNames();
}

function take(row) {
  if (paused) {
    held.push(row);
    if (held.length > ROWS_MAX) held.shift();
    $("pause").textContent = t("resume", { count: held.length });
    return;
  }
  rows.unshift(row);
  rows.length = Math.min(rows.length, ROWS_MAX);
  if (!visible(row)) return;
  $("alert-rows").prepend(rowOf(row, true));
  while ($("alert-rows").children.length > ROWS_MAX) $("alert-rows").lastElementChild.remove();
  $("no-alerts").hidden = true;
  if (row.severity === "red") $("announce").textContent = t("announce", { what: row.said[lang].name });
  askNames();
}

let asking = false;
async function askNames() {
  for (const row of rows) if (row.enterprise_id && !names.has(row.enterprise_id)) wanted.add(row.enterprise_id);
  if (asking || !wanted.size) return;
  asking = true;
  const ids = [...wanted].slice(0, NAMES_AT_ONCE);
  const found = await fetchJson(`/api/names?ids=${ids.map(encodeURIComponent).join(",")}`).catch(() => null);
  asking = false;
  for (const id of ids) wanted.delete(id);
  if (found === null) return;
  for (const id of ids) names.set(id, found[id] ?? "");
  for (const place of document.querySelectorAll("[data-name-of]")) if (!place.textContent) place.textContent = names.get(place.dataset.nameOf) ?? "";
  if (wanted.size) askNames();
}

function drawFilters() {
  $("filters").replaceChildren(...SEVERITIES.map((severity) => el("button", {
    type: "button", class: "filter", "data-severity": severity, "aria-pressed": String(shown.has(severity)), text: t(severity),
    onclick: () => {
      if (!shown.delete(severity)) shown.add(severity);
      drawFilters();
      drawAlerts();
    },
  })));
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  if (!paused) rows.unshift(...held.splice(0).reverse());
  rows.length = Math.min(rows.length, ROWS_MAX);
  drawAlerts();
});

// Flow

function drawFlow() {
  const word = flow[flow.length - 1];
  if (!word || !word.reachable) return;
  $("received").textContent = number(word.received_per_s);
  $("received-under").textContent = t("applied_under", { applied: number(word.applied_per_s) });
  $("p99").textContent = duration(word.p99_ms);
  $("p99-under").textContent = word.sampled ? t("latency_under", { p50: duration(word.p50_ms), sampled: number(word.sampled) }) : t("no_sample");
  const roles = [["ingest", "ingest"], ["score", "score_role"], ["archive", "archive"]];
  $("lag").replaceChildren(...roles.flatMap(([role, text]) => [el("dt", { text: t(text) }), el("dd", { "data-lag": role, text: number(word.lag[role]) })]));
}

// What the archive knows

function drawStatus() {
  const complete = status.banks.filter((bank) => bank.state === "complete").length;
  const day = status.reached_ms ? when(status.reached_ms - 86400000, "day") : t("no_day");
  $("complete").textContent = status.banks.length ? `${complete} / ${status.banks.length}` : "–";
  $("complete-under").textContent = t("complete_under", { day });
  const graded = Object.values(status.grades).reduce((sum, count) => sum + count, 0);
  $("enterprises").textContent = number(graded);
  $("enterprises-under").textContent = status.grades.withheld ? t("enterprises_under", { withheld: number(status.grades.withheld) }) : "";
  $("open").replaceChildren(...SEVERITIES.flatMap((severity) => [el("dt", {}, severityPill(severity)), el("dd", { "data-open": severity, text: number(status.open_alerts[severity] ?? 0) })]));
  drawBanks();
  $("fall-rows").replaceChildren(...status.falls.map((fall) => el(
    "tr", {}, el("td", {}, enterpriseLink(fall.enterprise_id, fall.name)), el("td", { class: "number", text: `${fall.score_before} → ${fall.score}` }),
    el("td", { class: "number down", text: signed(fall.score - fall.score_before) }), el("td", {}, gradeMark(fall.grade)),
  )));
  $("no-falls").hidden = status.falls.length > 0;
  $("dead-rows").replaceChildren(...status.dead_letters.map((letters) => el(
    "tr", {}, el("td", { class: "id", text: letters.topic }), el("td", { text: t(letters.reason === "late" ? "late_record" : letters.reason) }), el("td", { class: "number", text: number(letters.count) }),
  )));
  $("no-dead").hidden = status.dead_letters.length > 0;
}

const bankName = (bank) => (lang === "zh" || !bank.name_en ? bank.name_zh : bank.name_en);
const bankWord = (bank) => [t(bank.state), bank.behind_days ? t("behind", { count: bank.behind_days }) : "", bank.covered_on ? t("up_to", { day: bank.covered_on }) : ""].filter(Boolean).join("  ");

function drawBanks() {
  const behind = (bank) => BANK_STATES.indexOf(bank.state);
  const worst = status.banks.filter((bank) => status.banks.length <= BANK_ROWS_ALL || bank.state !== "complete").sort((a, b) => behind(b) - behind(a) || (b.behind_days ?? 0) - (a.behind_days ?? 0));
  $("bank-matrix").replaceChildren(...status.banks.map((bank) => el("li", { "data-state": bank.state, "data-bank": bank.bank_id, title: `${bankName(bank)}  ${bankWord(bank)}` })));
  $("bank-rows").replaceChildren(...worst.map((bank) => el(
    "tr", {}, el("td", {}, outside(bankName(bank))), el("td", { class: "id", text: bank.mode === "live" ? "" : "T+1" }), el("td", {}, el("span", { class: "dot", "data-state": bank.state }), bankWord(bank)),
  )));
  const counts = BANK_STATES.map((state) => [state, status.banks.filter((bank) => bank.state === state).length]).filter(([, count]) => count);
  $("bank-legend").replaceChildren(...counts.flatMap(([state, count]) => [el("span", { class: "dot", "data-state": state }), `${t(state)} ${count} `]));
}

async function refresh() {
  if (!document.hidden) {
    const answer = await fetchJson("/api/status").catch(() => null);
    tell({ warning: answer === null ? "archive_away" : null });
    if (answer !== null) {
      status = answer;
      for (const fall of status.falls) if (fall.name) names.set(fall.enterprise_id, fall.name);
      tell({ reachedMs: status.reached_ms });
      drawStatus();
      drawGrades();
    }
  }
  setTimeout(refresh, STATUS_MS);
}

const drawGrades = gradeChart($("grade-chart"), () => status.grades);
const drawFlowChart = flowChart($("flow-chart"), () => flow.filter((word) => word.reachable));
redraw(drawFilters);
redraw(drawAlerts);
redraw(drawFlow);
redraw(drawStatus);
refresh();
follow({
  hello: (words) => {
    rows.splice(0, rows.length, ...words.alerts.reverse().slice(0, ROWS_MAX));
    held.length = 0;
    flow.splice(0, flow.length, ...words.flow);
    drawAlerts();
    drawFlow();
    drawFlowChart();
  },
  alert: take,
  gap: take,
  flow: (word) => {
    flow.push(word);
    if (flow.length > FLOW_MAX) flow.shift();
    tell({ connection: word.reachable ? "live" : "broker_away" });
    drawFlow();
    if (flow.length % 2 === 0 || flow.length < 10) drawFlowChart();
  },
}, (connection) => tell({ connection }));
