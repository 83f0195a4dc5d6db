// The report's page: tables and charts out of the data in the file. Text from outside becomes text nodes, nothing else.
/* global echarts */
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const { report, words, policies, names } = data;
let lang = navigator.language.startsWith("zh") ? "zh" : "en";
let charts = [];

const pick = (pair) => pair[lang === "zh" ? 0 : 1];
const t = (key) => (words[key] ? pick(words[key]) : key);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const policy = (name) => {
  const [head, ...rest] = name.split(" ");
  if (!rest.length) return policies[name] ? pick(policies[name]) : name;
  return `${t(head)} ${signal(rest.join(" "))}`;
};
const signal = (id) => (names[id] ? `${id.split("_")[0]} ${pick(names[id])}` : id);
const fixed = (value, digits) => (value === null ? "–" : value.toFixed(digits));
const percent = (value, digits = 0) => (value === null ? "–" : `${(100 * value).toFixed(digits)}%`);

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A figure as a cell: the value, and below it its interval and n. */
function cell(figure, show) {
  const td = el("td", { class: "n" }, show(figure.value));
  const interval = figure.low === null || figure.high === null ? "" : `${show(figure.low)} – ${show(figure.high)}, `;
  td.append(el("small", {}, `${interval}n ${figure.n.toLocaleString("en-US")}`));
  return td;
}
const rate = (value) => fixed(value, 1);
const third = (value) => fixed(value, 3);
const share = (value) => percent(value, value !== null && Math.abs(value) < 0.1 ? 1 : 0);

function table(heads, rows) {
  const made = el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", i ? { class: "n" } : {}, head)))));
  made.append(el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((one, i) => (one instanceof Node ? one : el("td", i ? { class: "n" } : {}, String(one))))))));
  return el("div", { class: "scroll" }, made);
}

function section(title, about, ...children) {
  const made = el("section", {}, el("h2", {}, t(title)));
  if (about) made.append(el("p", { class: "say" }, t(about)));
  made.append(...children);
  document.getElementById("main").append(made);
  return made;
}

function chart(option, className = "chart") {
  const holder = el("div", { class: className });
  queueMicrotask(() => {
    const made = echarts.init(holder, null, { renderer: "canvas" });
    charts.push(made);
    made.setOption({ animation: false, aria: { enabled: true }, textStyle: { color: css("--text"), fontFamily: getComputedStyle(document.body).fontFamily }, ...option() });
  });
  return holder;
}
const axis = (more = {}) => ({ axisLabel: { color: css("--muted") }, nameTextStyle: { color: css("--muted") }, splitLine: { lineStyle: { color: css("--line") } }, axisLine: { lineStyle: { color: css("--line") } }, ...more });
const tip = () => ({ trigger: "axis", renderMode: "richText", confine: true, backgroundColor: css("--panel"), borderColor: css("--line"), textStyle: { color: css("--text"), fontSize: 12 } });
const legend = () => ({ type: "scroll", top: 0, textStyle: { color: css("--muted") } });

function head() {
  const { provenance, counts } = report;
  const banner = el("section", { class: provenance.is_result ? "verdict" : "verdict none" }, lang === "zh" ? provenance.why_zh : provenance.why_en);
  document.getElementById("main").append(banner);
  const urgent = report.load[0], raised = report.cases[0];
  const tile = (value, about) => el("div", { class: "tile" }, el("b", {}, value), el("small", {}, about));
  const best = report.budgets.filter((one) => one.policy === "lightgbm" && one.budget === 12)[0];
  const tiles = el("div", { class: "tiles" },
    tile(rate(urgent.per_1000_borrowers.value), t("tile_load")),
    tile(percent(raised.warned["60"].value), t("tile_warned")),
    tile(fixed(raised.lead.median.value, 0), t("tile_lead")),
    tile(percent(raised.precision["183"].value), t("tile_precision")),
    tile(counts.bad.toLocaleString("en-US"), t("tile_bad")));
  if (best) tiles.append(tile(`${percent(best.warned["60"].value)} / ${percent(best.precision["183"].value)}`, t("tile_ceiling")));
  section("first", null, tiles);
}

function setting() {
  const { provenance, parameters, counts } = report;
  const origin = (one) => [one.name, one.seed && `seed ${one.seed}`, one.parameters].filter(Boolean).join(", ");
  const n = (value) => value.toLocaleString("en-US");
  section("setting", null, table(["", ""], [
    [t("judged_on"), origin(provenance.judged_on)],
    [t("tuned_on"), provenance.tuned_on.map(origin).join("; ") || "–"],
    [t("engine"), `${provenance.engine_version} (${t("recorded_by")} ${provenance.recorded_by})`],
    [t("rules"), provenance.rules.join(", ") || "–"],
    [t("models"), provenance.models.join(", ") || "–"],
    [t("log_days"), `${parameters.log_first} – ${parameters.log_last}, ${n(counts.records)} ${t("records")}`],
    [t("judged_days"), `${parameters.judged_first} – ${parameters.judged_last}, ${t("warm_up")} ${parameters.warm_up_days}`],
    [t("known_until"), `${parameters.outcomes_known_until} (${t(`truth_${parameters.truth}`)})`],
    [t("enterprises"), n(counts.enterprises)],
    [t("borrowers"), `${n(counts.borrowers)}, ${n(Math.round(counts.borrower_months))} ${t("months")}`],
    parameters.truth === "labels" ? [t("bad_labels"), n(counts.bad)]
      : [t("bad"), `${n(counts.bad)}, ${t("defaulted")} ${n(counts.defaulted)}, ${percent(counts.bad_rate_year.value, 1)} ${t("a_year")}`],
    [t("bad_at_start"), n(counts.bad_at_start)],
    [t("without_truth"), n(counts.without_truth)],
    [t("bad_without_row"), n(counts.bad_without_row)],
    [t("rows"), `${n(counts.month_rows)}, ${t("without_score")} ${n(counts.month_rows_without_score)}`],
    [t("censored"), `95: ${n(counts.censored_short)}, 365: ${n(counts.censored_long)}`],
    [t("bootstrap"), `${parameters.resamples}, ${t("seed")} ${parameters.seed}`],
    ...(parameters.without.length ? [[t("left_out"), parameters.without.join(", ")]] : []),
  ]));
}

function load() {
  const made = section("load", "about_load", table(
    ["level", "per_1000_borrowers", "per_1000_enterprises", "bank_week", "standing", "after_bad"].map(t),
    report.load.map((one) => {
      const week = one.bank_week;
      return [t(one.level), cell(one.per_1000_borrowers, rate), cell(one.per_1000_enterprises, rate),
        [week.mean, week.median, week.ninety_percent, week.most].map((value) => (value === null ? "–" : Number(value.toPrecision(3)))).join(" / "),
        cell(one.standing_share, share), one.cases_after_bad];
    })));
  made.append(chart(() => ({
    tooltip: tip(), legend: legend(), grid: { left: 48, right: 12, top: 32, bottom: 24 },
    xAxis: axis({ type: "category", data: report.load[0].by_month.map((row) => row[0]) }), yAxis: axis({ type: "value" }),
    series: report.load.map((one) => ({ name: t(one.level), type: "bar", stack: "all", itemStyle: { color: css(one.level === "yellow" ? "--yellow" : "--orange") }, data: one.by_month.map((row) => row[1]) })),
  })));
}

const AHEAD = ["30", "60", "90", "180"];
function worths(rows) {
  return table([t("policy"), t("named"), t("per_1000_borrowers"), ...AHEAD.map((days) => `${t("warned")} ≥ ${days}`), t("lead"), `${t("precision")} 183`, `${t("precision")} 365`],
    rows.map((one) => [policy(one.policy), one.named.toLocaleString("en-US"), cell(one.per_1000_borrowers, rate), ...AHEAD.map((days) => cell(one.warned[days], share)),
      [one.lead.lower_quartile, one.lead.median, one.lead.upper_quartile].map((figure) => fixed(figure.value, 0)).join(" / "),
      cell(one.precision["183"], share), cell(one.precision["365"], share)]));
}

function cases() {
  section("cases_raised", "about_cases", worths(report.cases));
}

function budgets() {
  const shown = report.budgets.filter((one) => !one.policy.includes(" "));
  const steps = [...new Set(shown.map((one) => one.budget))], ways = [...new Set(shown.map((one) => one.policy))];
  const made = section("budgets", "about_budgets");
  const curve = (title, value) => chart(() => ({
    title: { text: title, left: 0, bottom: 0, textStyle: { fontSize: 12, fontWeight: "normal", color: css("--muted") } },
    tooltip: tip(), legend: legend(), grid: { left: 48, right: 16, top: 32, bottom: 44 },
    xAxis: axis({ type: "category", data: steps }), yAxis: axis({ type: "value", min: 0, max: 1, axisLabel: { color: css("--muted"), formatter: (one) => percent(one) } }),
    series: ways.map((way) => ({ name: policy(way), type: "line", lineStyle: { type: way === "lot" ? "dotted" : "solid" }, data: steps.map((step) => value(shown.find((one) => one.policy === way && one.budget === step))) })),
  }));
  made.append(el("div", { class: "pair" }, curve(t("curve_warned"), (one) => one.warned["60"].value), curve(t("curve_precision"), (one) => one.precision["183"].value)));
  for (const step of steps) made.append(el("h3", {}, `${step} ${t("cases_a_month")}`), worths(shown.filter((one) => one.budget === step)));
}

function signals() {
  const made = section("signals", "about_signals", table(
    ["signal", "alerts_orange_red", "alerts_yellow", "alone_cases", "alone_warned", "alone_precision", "fewer_cases", "lost", "adds"].map(t),
    report.signals.map((one) => [signal(one.signal), cell(one.alerts_orange_red, rate), cell(one.alerts_yellow, rate), cell(one.alone.per_1000_borrowers, rate),
      cell(one.alone.warned["60"], share), cell(one.alone.precision["183"], share), cell(one.fewer_cases, rate), cell(one.lost_warnings, share), cell(one.adds, share)])));
  if (report.silent.length) made.append(el("h3", {}, t("silent")), table([t("signal"), t("silent_needs")], report.silent.map(([id, lacks]) => [signal(id), lacks.join(", ")])));
  if (!report.budgets.length) return;
  const steps = [...new Set(report.budgets.map((one) => one.budget))];
  const of = (way, id, step) => report.budgets.find((one) => one.policy === `${way} ${id}` && one.budget === step);
  made.append(el("h3", {}, t("signals_budgets")), table([t("signal"), ...["alone", "without"].flatMap((way) => steps.map((step) => `${t(way)} ${step}`))],
    report.signals.map((one) => [signal(one.signal), ...["alone", "without"].flatMap((way) => steps.map((step) => {
      const found = of(way, one.signal, step);
      return found ? cell(found.warned["60"], share) : "–";
    }))])));
}

function separation() {
  const made = section("separation", "about_separation");
  const all = report.separation.filter((one) => one.by === "all");
  if (all.length) made.append(table(["rank", "horizon", "bad_rows", "AUC", "KS"].map(t), all.map((one) => [policy(one.rank), one.horizon_days, one.bad, cell(one.auc, third), cell(one.ks, third)])));
  const monthly = (horizon) => {
    const rows = report.separation.filter((one) => (one.by === "month" || one.by === "before") && one.horizon_days === horizon);
    const months = [...new Set(rows.map((one) => one.group))].sort(), ways = ["score", `lightgbm_${horizon}`, `stumps_${horizon}`];
    return chart(() => ({
      title: { text: `AUC, ${horizon} ${t("days")}`, left: 0, bottom: 0, textStyle: { fontSize: 12, fontWeight: "normal", color: css("--muted") } },
      tooltip: tip(), legend: legend(), grid: { left: 48, right: 16, top: 32, bottom: 44 },
      xAxis: axis({ type: "category", data: months }), yAxis: axis({ type: "value", min: 0.4, max: 1 }),
      series: ways.filter((way) => rows.some((one) => one.rank === way)).map((way) => ({ name: policy(way), type: "line", connectNulls: true, data: months.map((month) => rows.find((one) => one.rank === way && one.group === month)?.auc.value ?? null) })),
    }));
  };
  made.append(el("div", { class: "pair" }, ...[95, 365].filter((horizon) => all.some((one) => one.horizon_days === horizon)).map(monthly)));
  for (const by of ["scenario", "industry", "size", "banks"]) {
    const rows = report.separation.filter((one) => one.by === by && one.horizon_days === 365), groups = [...new Set(rows.map((one) => one.group))];
    const ways = ["score", "lightgbm_365", "stumps_365"].filter((way) => rows.some((one) => one.rank === way));
    const worth = report.groups.filter((one) => one.by === by);
    if (!worth.length) continue;
    made.append(el("h3", {}, t(by)), table([t(by), t("borrower_months"), t("bad"), t("per_1000_borrowers"), `${t("warned")} ≥ 60`, `${t("precision")} 365`, ...ways.map((way) => `AUC 365, ${policy(way)}`)],
      worth.map((one) => [one.group || t("unknown"), Math.round(one.borrower_months).toLocaleString("en-US"), one.bad, cell(one.per_1000_borrowers, rate), cell(one.warned_60, share), cell(one.precision_year, share),
        ...ways.map((way) => {
          const found = rows.find((row) => row.rank === way && row.group === one.group);
          return found ? cell(found.auc, third) : "–";
        })])));
  }
}

function calibration() {
  const made = section("calibration", "about_calibration");
  for (const one of report.calibration.filter((row) => row.by === "all")) {
    const ratio = one.ratio ? `, ${t("ratio")} ${fixed(one.ratio.value, 2)} (${fixed(one.ratio.low, 2)} – ${fixed(one.ratio.high, 2)})` : "";
    made.append(el("h3", {}, `${t(one.of)}, ${one.horizon_days} ${t("days")}${ratio}`), table([t("band"), t("expected"), t("observed")],
      one.bins.filter((bin) => bin.observed.n).map((bin) => [one.of === "probability" ? `${percent(bin.low, 1)} – ${percent(bin.high, 1)}` : `${bin.low} – ${bin.high}`, percent(bin.expected, 1), cell(bin.observed, share)])));
  }
  const rows = report.calibration.filter((row) => row.by === "month" && row.ratio && row.ratio.n);
  if (rows.length) {
    made.append(el("h3", {}, t("ratio_by_month")), table([t("month"), t("ratio")], rows.map((row) => [row.group, cell(row.ratio, (value) => fixed(value, 2))])));
  }
}

const COLOUR = ["", "--yellow", "--orange", "--red"];
function timeline(one) {
  const made = el("div", { class: "timeline" });
  const facts = [one.scenario, one.industry, one.size, one.onset_on && `${t("onset")} ${one.onset_on}`, one.bad_on && `${t("bad")} ${one.bad_on}`, one.default_on && `${t("default")} ${one.default_on}`,
    one.bad_on && `${t("lead_days")} ${one.lead_days ?? "–"}`, `${t("cases_urgent")} ${one.cases}`].filter(Boolean);
  made.append(el("h3", {}, one.enterprise_id), el("div", { class: "facts" }, facts.join(" · ")));
  const last = one.scores.length ? one.scores[one.scores.length - 1][0] : one.bad_on;
  const lanes = [...new Set(one.episodes.map((episode) => episode.signal))];
  const bars = one.episodes.flatMap((episode) => episode.levels.map(([day, level], i) => [lanes.indexOf(episode.signal), day, (episode.levels[i + 1] ?? [last])[0], level])).filter((bar) => bar[3] > 0);
  const marks = [[one.onset_on, t("onset")], [one.bad_on, "> 30"], [one.default_on, t("default")]].filter(([day]) => day);
  made.append(chart(() => ({
    tooltip: { renderMode: "richText", confine: true }, grid: [{ left: 190, right: 12, top: 16, height: 110 }, { left: 190, right: 12, top: 140, bottom: 40 }],
    xAxis: [0, 1].map((i) => axis({ type: "time", gridIndex: i, max: last, axisLabel: { show: i === 1, color: css("--muted") } })),
    yAxis: [axis({ type: "value", scale: true, gridIndex: 0 }), axis({ type: "category", gridIndex: 1, data: lanes.map(signal), inverse: true, axisLabel: { color: css("--muted"), width: 180, overflow: "truncate" } })],
    dataZoom: [{ type: "inside", xAxisIndex: [0, 1] }],
    series: [
      { name: t("score"), type: "line", step: "end", showSymbol: false, data: one.scores, lineStyle: { color: css("--accent") }, itemStyle: { color: css("--accent") },
        markLine: { symbol: "none", label: { formatter: (mark) => mark.name, color: css("--muted") }, data: marks.map(([day, name]) => ({ xAxis: day, name, lineStyle: { color: css("--red") } })) } },
      { type: "scatter", data: one.events.map(([day, text]) => ({ value: [day, one.scores.length ? one.scores[0][1] : 0], name: text })), symbol: "diamond", symbolSize: 9, itemStyle: { color: css("--accent-2") }, tooltip: { formatter: (point) => `${point.value[0]} ${point.name}` } },
      { type: "custom", xAxisIndex: 1, yAxisIndex: 1, encode: { x: [1, 2], y: 0 }, data: bars.map((bar) => ({ value: bar })),
        tooltip: { formatter: (point) => `${signal(lanes[point.value[0]])} ${point.value[1]} – ${point.value[2]}` },
        renderItem: (_, api) => {
          const [x, y] = api.coord([api.value(1), api.value(0)]), [end] = api.coord([api.value(2), api.value(0)]), height = Math.min(12, api.size([0, 1])[1] * 0.7);
          return { type: "rect", shape: { x, y: y - height / 2, width: Math.max(2, end - x), height }, style: { fill: css(COLOUR[api.value(3)]) } };
        } },
    ],
  })));
  const moved = one.moved.map((each) => {
    const known = each.values.filter((row) => row[1] !== null), show = (value) => Number(value.toPrecision(3)).toLocaleString("en-US");
    return [names[each.indicator] ? pick(names[each.indicator]) : each.indicator, el("td", { class: `n ${each.is_worse ? "worse" : "better"}` }, `${each.by > 0 ? "+" : ""}${each.by.toFixed(1)}`), known.slice(-7).map((row) => show(row[1])).join(" → ")];
  });
  if (moved.length) made.append(table([t("moved"), t("moved_by"), t("moved_values")], moved));
  if (one.events.length) made.append(el("p", { class: "say" }, one.events.slice(-12).map(([day, text]) => `${day} ${text}`).join(" · ")));
  return made;
}

function dispositions() {
  section("dispositions", "about_dispositions", table(["signal", "level", "disposed_as", "desk_precision", "confirmed_bad", "false_alarm_bad"].map(t),
    report.dispositions.map((one) => [one.signal ? signal(one.signal) : t("cases"), t(one.severity), Object.entries(one.disposed).map(([name, count]) => `${t(name)} ${count}`).join(", "),
      cell(one.precision, share), ...["confirmed", "false_alarm"].map((name) => (one.went_bad[name] ? cell(one.went_bad[name], share) : "–"))])));
}

function draw() {
  for (const made of charts) made.dispose();
  charts = [];
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  document.getElementById("title").textContent = document.title = t("title");
  document.getElementById("language").textContent = lang === "zh" ? "English" : "中文";
  document.getElementById("main").replaceChildren();
  head();
  cases();
  if (report.budgets.length) budgets();
  load();
  signals();
  if (report.dispositions.length) dispositions();
  separation();
  if (report.calibration.length) calibration();
  for (const kind of ["misses", "false_alarms"]) if (report[kind].length) section(kind, `about_${kind}`, ...report[kind].map(timeline));
  setting();
  section("method", null, ...report.notes.map((note) => el("p", { class: "say" }, pick(note))), el("p", { class: "say" }, t("about_method")));
}

document.getElementById("language").addEventListener("click", () => { lang = lang === "zh" ? "en" : "zh"; draw(); });
addEventListener("resize", () => charts.forEach((made) => made.resize()));
draw();
