// Charts by ECharts, in the colours of the style sheet. Tooltips are drawn, not made of markup.
/* global echarts */
import { dayText, money, number, redraw, t, when } from "./page.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FONT = 12;

/** A chart in `holder` that is drawn anew by `option()` when asked, and at every change of language or theme. */
function chart(holder, option) {
  const made = echarts.init(holder, null, { renderer: "canvas" });
  new ResizeObserver(() => made.resize()).observe(holder);
  const draw = () => made.setOption({ animation: false, aria: { enabled: true }, textStyle: { color: css("--text"), fontFamily: getComputedStyle(document.body).fontFamily }, ...option() }, true);
  redraw(draw);
  return draw;
}

const tooltip = (formatter) => ({
  trigger: "axis", renderMode: "richText", confine: true, formatter, backgroundColor: css("--raised"), borderColor: css("--line"),
  textStyle: { color: css("--text"), fontSize: FONT }, axisPointer: { lineStyle: { color: css("--muted") } },
});
const valueAxis = (more = {}) => ({
  type: "value", axisLabel: { color: css("--muted"), fontSize: FONT }, splitLine: { lineStyle: { color: css("--line") } }, splitNumber: 3, ...more,
});

/** Enterprises by grade; `counts` gives the numbers by grade. */
export function gradeChart(holder, counts) {
  const grades = ["A", "B", "C", "D", "E", "F"];
  return chart(holder, () => ({
    grid: { left: 24, right: 64, top: 4, bottom: 4 },
    xAxis: { type: "value", show: false },
    yAxis: { type: "category", data: grades, inverse: true, axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: css("--text"), fontWeight: "bold", fontSize: 13 } },
    series: [{
      type: "bar", barWidth: "62%",
      data: grades.map((grade) => ({ value: counts()[grade] ?? 0, itemStyle: { color: css(`--grade-${grade.toLowerCase()}`), borderRadius: 2 } })),
      label: { show: true, position: "right", color: css("--text"), fontSize: 13, formatter: (point) => number(point.value) },
    }],
  }));
}

/** Events a second over the last minutes; `points` gives the words about the flow. */
export function flowChart(holder, points) {
  const line = (key, name, colour, area) => ({
    name, type: "line", showSymbol: false, sampling: "lttb", lineStyle: { width: 1.6, color: css(colour) }, itemStyle: { color: css(colour) },
    areaStyle: area ? { color: css(colour), opacity: 0.12 } : undefined, data: points().map((word) => [word.at_ms, word[key] ?? null]),
  });
  return chart(holder, () => ({
    grid: { left: 52, right: 12, top: 26, bottom: 22 },
    legend: { top: 0, right: 8, textStyle: { color: css("--muted"), fontSize: FONT }, itemHeight: 8, itemWidth: 14 },
    tooltip: tooltip((shown) => [when(shown[0].value[0], "seconds"), ...shown.map((each) => `${each.seriesName}  ${number(each.value[1])}`)].join("\n")),
    xAxis: { type: "time", axisLabel: { color: css("--muted"), fontSize: FONT, hideOverlap: true, formatter: (ms) => when(ms, "short").slice(6) }, axisLine: { lineStyle: { color: css("--line") } } },
    yAxis: valueAxis({ min: 0 }),
    series: [line("received_per_s", t("event_rate"), "--accent", true), line("applied_per_s", t("applied_rate"), "--accent-2", false)],
  }));
}

/** Score and balance of one enterprise by day, with its alerts as marks; `data` gives the answer of the server. */
export function courseChart(holder, data) {
  return chart(holder, () => {
    const { days, scores, balances, alerts } = data();
    const first = Date.parse(dayText(days[0])) - 28800000, last = Date.parse(dayText(days[1])) - 28800000 + 86400000;
    const newest = scores.length ? scores[scores.length - 1][1] : null;
    const opened = new Map(alerts.filter((alert) => alert.state === "raised" || alert.state === "upgraded").map((alert) => [alert.as_of_ms, alert.severity]));
    return {
      grid: { left: 48, right: 64, top: 30, bottom: 24 },
      legend: { top: 0, right: 8, textStyle: { color: css("--muted"), fontSize: FONT }, itemHeight: 8, itemWidth: 14 },
      tooltip: tooltip((shown) => [when(shown[0].axisValue, "day"), ...shown.map((each) => `${each.seriesName}  ${each.seriesIndex === 0 ? number(each.value[1]) : money(each.value[1])}`)].join("\n")),
      xAxis: { type: "time", min: first, max: last, axisLabel: { color: css("--muted"), fontSize: FONT, hideOverlap: true, formatter: (ms) => when(ms, "short").slice(0, 5) }, axisLine: { lineStyle: { color: css("--line") } } },
      yAxis: [
        valueAxis({ scale: true, minInterval: 1 }),
        valueAxis({ position: "right", splitLine: { show: false }, axisLabel: { color: css("--muted"), fontSize: FONT, formatter: (minor) => money(minor) } }),
      ],
      series: [
        {
          name: t("score"), type: "line", step: "end", showSymbol: false, lineStyle: { width: 2, color: css("--accent") }, itemStyle: { color: css("--accent") }, z: 3,
          data: newest === null ? [] : [...scores, [last, newest]],
          markLine: { symbol: "none", silent: true, label: { show: false }, data: [...opened].filter(([ms]) => ms >= first).map(([ms, severity]) => ({ xAxis: ms, lineStyle: { color: css(`--${severity}`), type: "solid", width: 1.4 } })) },
        },
        {
          name: t("balance_total"), type: "line", yAxisIndex: 1, step: "end", showSymbol: false, lineStyle: { width: 1, color: css("--accent-2") }, itemStyle: { color: css("--accent-2") }, areaStyle: { color: css("--accent-2"), opacity: 0.13 },
          data: balances.map(([day, minor]) => [Date.parse(dayText(day)) - 28800000, minor]),
        },
      ],
    };
  });
}
