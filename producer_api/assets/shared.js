// What both pages use: the language, numbers and times as people write them, and building elements without HTML in strings.
import { TEXTS } from "/assets/texts.js";

const KEPT = "scanline-language";
const listeners = new Set();

function first() {
  const asked = new URLSearchParams(location.search).get("lang");
  let kept = null;
  try { kept = localStorage.getItem(KEPT); } catch { /* a browser that keeps nothing */ }
  return [asked, kept].find((each) => each === "vi" || each === "en") ?? "vi";
}

export let language = first();

export function t(key, values = {}) {
  const text = TEXTS[key]?.[language === "vi" ? 0 : 1];
  if (text === undefined) throw new Error(`no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** The text of {vi, en} as the API gives it. */
export const told = (messages) => messages?.[language] ?? messages?.vi ?? "";

export function onLanguage(listener) { listeners.add(listener); }

export function applyTexts() {
  document.documentElement.lang = language;
  const title = document.body.dataset.title;
  if (title) document.title = t(title, document.body.dataset);
  for (const each of document.querySelectorAll("[data-t]")) each.textContent = t(each.dataset.t);
  for (const each of document.querySelectorAll("[data-t-label]")) each.setAttribute("aria-label", t(each.dataset.tLabel));
  for (const each of document.querySelectorAll("[data-language]")) {
    each.setAttribute("aria-pressed", String(each.dataset.language === language));
  }
}

for (const each of document.querySelectorAll("[data-language]")) {
  each.addEventListener("click", () => {
    language = each.dataset.language;
    try { localStorage.setItem(KEPT, language); } catch { /* as above */ }
    applyTexts();
    for (const listener of listeners) listener();
  });
}

const places = {};
export function number(value, digits = 0) {
  if (value === null || value === undefined) return "–";
  const key = `${language}${digits}`;
  places[key] ??= new Intl.NumberFormat(language === "vi" ? "vi-VN" : "en-GB", { maximumFractionDigits: digits });
  return places[key].format(value);
}

export const percent = (share) => `${number(Math.floor(share * 1000) / 10, 1)}%`;

const clock = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Asia/Ho_Chi_Minh", hourCycle: "h23",
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
function parts(at) {
  return Object.fromEntries(clock.formatToParts(new Date(at)).map((each) => [each.type, each.value]));
}
/** 27/11/2026 15:04:05 (+07:00): Vietnam's time, wherever the reader is. */
export function moment(at) {
  if (at === null || at === undefined) return "–";
  const p = parts(at);
  return `${p.day}/${p.month}/${p.year} ${p.hour}:${p.minute}:${p.second} (+07:00)`;
}
export function timeOfDay(at) {
  const p = parts(at);
  return `${p.hour}:${p.minute}:${p.second}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const [second, minute, hour, day] = language === "vi" ? [" giây", " phút", " giờ", " ngày"] : [" s", " min", " h", " days"];
  if (seconds < 10) return number(seconds, 1) + second;
  if (seconds < 120) return number(seconds) + second;
  if (seconds < 7200) return number(seconds / 60) + minute;
  if (seconds < 172800) return number(seconds / 3600) + hour;
  return number(seconds / 86400) + day;
}

/** An element; children may be texts. Attributes that are null or false are left out. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== null && value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((each) => each !== null && each !== undefined && each !== false));
  return made;
}

const SIGNS = { good: "✓", warn: "!", bad: "✕", unknown: "?" };
export const word = (level, text) => el("span", { class: "word", "data-level": level, "data-sign": SIGNS[level] }, text);

/** Keeps one child for each item, in order; `fill` is called where what it is made of has changed. Focus and selection stay. */
export function keep(parent, items, keyOf, make) {
  const there = new Map([...parent.children].map((each) => [each.dataset.key, each]));
  items.forEach((item, index) => {
    const key = String(keyOf(item));
    const made = language + JSON.stringify(item);
    let child = there.get(key);
    there.delete(key);
    if (child === undefined || child.made !== made) {
      const fresh = make(item);
      fresh.dataset.key = key;
      fresh.made = made;
      if (child?.contains(document.activeElement)) {  // who has tabbed here is not thrown out
        const at = [...child.querySelectorAll("a, button, input")].indexOf(document.activeElement);
        child.replaceWith(fresh);
        fresh.querySelectorAll("a, button, input")[at]?.focus({ preventScroll: true });
      } else child?.replaceWith(fresh);
      child = fresh;
    }
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  for (const each of there.values()) each.remove();
}

export const tenantUrl = (tenant, scan) => `/tenants/${encodeURIComponent(tenant)}${scan ? `#${scan}` : ""}`;

/** Numbers as `0-3, 7`. */
export function spans(numbers) {
  const found = [];
  for (const each of [...numbers].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && last[1] === each - 1) last[1] = each;
    else found.push([each, each]);
  }
  return found.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
}
