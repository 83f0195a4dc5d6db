// What both pages share: language, theme, the head of the page, numbers and times, and building elements.
// Text from outside becomes text nodes, nothing else: no markup is ever made from a string.
import { TEXTS } from "./texts.js";

const ZONE = "Asia/Shanghai";
const asked = new URLSearchParams(location.search);
const choice = (name, allowed, fallback) => {
  for (const value of [asked.get(name), localStorage.getItem(name)]) if (allowed.includes(value)) return value;
  return fallback;
};

export let lang = choice("lang", ["zh", "en"], navigator.language.startsWith("zh") ? "zh" : "en");
let theme = choice("theme", ["light", "dark"], matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
const onChange = [];

/** The text of `key` in the page's language; `{name}` is taken from `values`. An unknown key is shown as it is. */
export function t(key, values = {}) {
  const text = TEXTS[lang][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Runs `draw` now and at every change of language or theme. */
export function redraw(draw) {
  onChange.push(draw);
  draw();
}

/** An element: attributes, then children (elements or text). `text` is set as text; a null attribute is left out. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export const $ = (id) => document.getElementById(id);

/** Text from outside, on its own for the direction of writing too. */
export const outside = (text, attributes = {}) => el("bdi", { ...attributes, text });

export const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-US"));
export const signed = (value) => (value > 0 ? `+${value}` : value < 0 ? `−${Math.abs(value)}` : "0");
export const percent = (ppm, digits = 1) => `${(ppm / 10000).toFixed(digits)}%`;

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${ms} ms`;
  return ms < 120000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60000)} min`;
}

/** Minor units as people read them: 万元 and 亿元, or thousands with commas. */
export function money(minor) {
  if (minor === null || minor === undefined) return "–";
  const yuan = minor / 100;
  if (lang === "en") return Math.round(yuan).toLocaleString("en-US");
  if (Math.abs(yuan) >= 1e8) return `${(yuan / 1e8).toFixed(2)}亿`;
  return Math.abs(yuan) >= 1e4 ? `${(yuan / 1e4).toFixed(1)}万` : Math.round(yuan).toLocaleString("en-US");
}

const parts = new Intl.DateTimeFormat("en-CA", {
  timeZone: ZONE, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

/** A time of the business zone: `minutes` as 2025-06-30 14:05, `short` without the year, `day` as 2025-06-30. */
export function when(ms, form = "minutes") {
  if (ms === null || ms === undefined) return "–";
  const p = Object.fromEntries(parts.formatToParts(new Date(ms)).map((part) => [part.type, part.value]));
  const day = `${p.year}-${p.month}-${p.day}`;
  if (form === "day") return day;
  if (form === "short") return `${p.month}-${p.day} ${p.hour}:${p.minute}`;
  return form === "seconds" ? `${day} ${p.hour}:${p.minute}:${p.second}` : `${day} ${p.hour}:${p.minute}`;
}

/** A day number (days since 1970-01-01) as 2025-06-30. */
export const dayText = (day) => new Date(day * 86400000).toISOString().slice(0, 10);

export function severityPill(severity) {
  return el("span", { class: "pill", "data-severity": severity, text: t(severity) });
}

/** What an alert's case claims, line by line; nothing where its rules have no claim. */
export function claimOf(alert) {
  if (!alert.claim) return null;
  const level = alert.claim.severity ? t(alert.claim.severity) : "–";
  const lines = alert.claim.lines.map((line) => `${line.said[lang]} ${signed(line.points_milli / 1000)}`);
  return el("p", { class: "sentence claim", text: t("claim", { level, pd: percent(alert.claim.pd_12m_ppm), lines: lines.join(lang === "zh" ? "，" : ", ") }) });
}

export function gradeMark(grade) {
  return el("span", { class: "mark", "data-grade": grade, text: grade });
}

export function enterpriseLink(id, name) {
  const link = el("a", { class: "enterprise-link", href: `/enterprise/${encodeURIComponent(id)}` });
  link.append(outside(name ?? "", { class: "name", "data-name-of": id }), outside(id, { class: "id" }));
  return link;
}

/** The answer of the server as JSON; an Error with its status where it is none. */
export async function fetchJson(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw Object.assign(new Error(`${path}: ${answer.status}`), { status: answer.status });
  return answer.json();
}

/** The head of the page; returns what the page tells it: event time reached, state of the connection. */
export function head() {
  const reached = el("span", { class: "reached" });
  const link = el("span", { class: "link", role: "status" });
  const language = el("button", { type: "button", class: "quiet", id: "language", onclick: () => choose("lang", lang === "zh" ? "en" : "zh") });
  const shade = el("button", { type: "button", class: "quiet", id: "theme", onclick: () => choose("theme", theme === "dark" ? "light" : "dark") });
  const brand = el("a", { class: "brand", href: "/" }, el("strong", { text: "信流" }), el("span", { "data-t": "brand" }));
  $("bar").append(brand, finder(), reached, link, shade, language);
  const state = { reachedMs: null, connection: "reconnecting", warning: null };
  redraw(() => {
    document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
    document.documentElement.dataset.theme = theme;
    for (const each of document.querySelectorAll("[data-t]")) each.textContent = t(each.dataset.t);
    for (const each of document.querySelectorAll("[data-t-label]")) each.setAttribute("aria-label", t(each.dataset.tLabel));
    language.textContent = t("language");
    language.title = t("language_title");
    shade.textContent = t("theme");
    shade.title = t("theme_title");
    show();
  });
  function show() {
    reached.textContent = state.reachedMs === null ? "" : `${t("reached")} ${when(state.reachedMs)}`;
    link.textContent = t(state.warning ?? state.connection);
    link.dataset.state = state.warning === null ? state.connection : "warning";
  }
  return (change) => {
    Object.assign(state, change);
    show();
  };
}

function choose(name, value) {
  localStorage.setItem(name, value);
  if (name === "lang") lang = value;
  else theme = value;
  for (const draw of onChange) draw();
}

/** The search field: suggestions as links, reached by the arrow keys or Tab. */
function finder() {
  const found = el("ul", { class: "found", hidden: "" });
  const field = el("input", { type: "search", id: "search", autocomplete: "off", maxlength: "64", spellcheck: "false" });
  const form = el("form", { class: "finder", role: "search", onsubmit: (event) => { event.preventDefault(); found.querySelector("a")?.click(); } }, field, found);
  let turn = 0;
  const close = () => { found.hidden = true; };
  field.addEventListener("input", async () => {
    const text = field.value.trim(), mine = ++turn;
    if (text.length < 2) return close();
    await new Promise((resume) => setTimeout(resume, 150));
    if (mine !== turn) return undefined;
    const matches = await fetchJson(`/api/search?q=${encodeURIComponent(text)}`).catch(() => []);
    if (mine !== turn) return undefined;
    found.replaceChildren(...matches.map((each) => el("li", {}, enterpriseLink(each.enterprise_id, each.name), gradeMark(each.grade), el("b", { text: each.score }))));
    if (!matches.length) found.append(el("li", { class: "empty", text: t("none_found") }));
    found.hidden = false;
    return undefined;
  });
  form.addEventListener("keydown", (event) => {
    const links = [field, ...found.querySelectorAll("a")], at = links.indexOf(document.activeElement);
    if (event.key === "Escape") { close(); field.focus(); }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && !found.hidden && at >= 0) { event.preventDefault(); links[Math.min(Math.max(at + step, 0), links.length - 1)].focus(); }
  });
  form.addEventListener("focusout", (event) => { if (!form.contains(event.relatedTarget)) setTimeout(close, 150); });
  redraw(() => { field.placeholder = t("search"); field.setAttribute("aria-label", t("searching")); });
  return form;
}

/**
 * Server-sent events of the engine; `on` maps their names to functions of the decoded data.
 * A page that is left may live on in the browser's back/forward cache, and so would its connection: six of them are all
 * that a browser opens to one host, and the next page would wait until they go.
 */
export function follow(on, onLink) {
  let source;
  const open = () => {
    source = new EventSource("/api/stream");
    source.onopen = () => onLink("live");
    source.onerror = () => onLink("reconnecting");
    for (const [name, take] of Object.entries(on)) source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  };
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}
