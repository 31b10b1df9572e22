// A tenant's page: a file is checked, submitted, followed, corrected and sent again, and what was found is listed. All of it by the
// calls that scanners use.
import { applyTexts, el, keep, language, moment, number, onLanguage, percent, t, timeOfDay, told, word } from "/assets/shared.js";
import { TEXTS } from "/assets/texts.js";

const tenant = decodeURIComponent(location.pathname.split("/")[2]);
const base = `/v1/tenants/${encodeURIComponent(tenant)}`;
const $ = (id) => document.getElementById(id);
const PAGE = 20;
const NDJSON = "application/x-ndjson";
const LEVELS = { completed: "good", completed_with_errors: "warn", failed: "bad", cancelled: "bad" };

class Refused extends Error {
  constructor(problem) { super(problem.code); this.problem = problem; }
}

/** A call; texts of a problem come in both languages. */
async function call(path, options = {}) {
  let answer;
  try { answer = await fetch(base + path, options); } catch { throw new Refused({ code: "unreachable", messages: { vi: TEXTS.unreachable[0], en: TEXTS.unreachable[1] } }); }
  if (answer.ok) return answer;
  let problem = { code: String(answer.status), messages: { vi: answer.statusText, en: answer.statusText } };
  try { problem = await answer.json(); } catch { /* a proxy's page */ }
  throw new Refused(problem);
}

/** JSON whose numbers keep every digit, where the browser can. */
function parsed(text) {
  const exact = typeof JSON.rawJSON === "function";
  return JSON.parse(text, (_, value, context) => (exact && typeof value === "number" && context?.source !== String(value) ? JSON.rawJSON(context.source) : value));
}
const json = async (path, options) => parsed(await (await call(path, options)).text());
const plain = (value) => (JSON.isRawJSON?.(value) ? value.rawJSON : value);

// What a part of the page says last, so that it is said anew in another language.
const said = new Map();
function say(id, make) { said.set(id, make); $(id).replaceChildren(...(make ? [make()].flat() : [])); }
const refusal = (error) => () => {
  if (!(error instanceof Refused)) throw error;
  return el("p", {}, word("bad", told(error.problem.messages)));
};

// --- a file, checked and submitted
let chosen = null;

function headersOf(file) {
  const headers = { "Accept-Language": language };
  let name = file.name.toLowerCase();
  for (const [end, coding] of [[".gz", "gzip"], [".zst", "zstd"]]) {
    if (name.endsWith(end)) { headers["Content-Encoding"] = coding; name = name.slice(0, -end.length); }
  }
  headers["Content-Type"] = name.endsWith(".json") ? "application/json" : NDJSON;
  return headers;
}

function newKey() {  // randomUUID is there on secure origins alone
  return [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
}

function report(name, found) {
  const values = { name, total: number(found.records_total), valid: number(found.records_valid), rejected: number(found.records_rejected) };
  const facts = { duplicate: number(found.records_duplicate), sensitive: number(found.records_sensitive), cross: number(found.records_cross_border) };
  const parts = [
    el("p", {}, found.records_rejected ? word("warn", t("check_mixed", values)) : word("good", t("check_good", values))),
    el("p", { class: "hint" }, t("check_facts", facts)),
  ];
  const shown = found.errors.slice(0, 8);
  if (shown.length) parts.push(el("ul", { class: "reasons" }, ...shown.map((each) => el("li", {}, told(each.messages)))));
  if (found.records_rejected > shown.length) parts.push(el("p", { class: "hint" }, t("check_more", { count: number(found.records_rejected - shown.length) })));
  return parts;
}

async function check(file) {
  const mine = (chosen = { file, key: newKey() });
  $("submit").hidden = true;
  say("checked", () => el("p", {}, t("checking", { name: file.name })));
  try {
    const found = await json("/scans:validate", { method: "POST", headers: headersOf(file), body: file });
    if (chosen !== mine) return;
    say("checked", () => report(file.name, found));
    $("submit").hidden = found.records_total === 0;
  } catch (error) {
    if (chosen !== mine) return;
    if (error.problem?.code === "too_many_records") {
      say("checked", () => el("p", {}, word("warn", t("check_too_many", { name: file.name, limit: number(plain(error.problem.limit)) }))));
      $("submit").hidden = false;
    } else say("checked", refusal(error));
  }
}

async function submit() {
  const { file, key } = chosen;
  $("submit").disabled = true;
  say("checked", () => el("p", {}, t("submitting", { name: file.name })));
  try {
    const accepted = await json("/scans", { method: "POST", headers: { ...headersOf(file), "Idempotency-Key": key }, body: file });
    say("checked", () => el("p", {}, word("good", t("submitted"))));
    $("submit").hidden = true;
    $("file").value = "";
    open(accepted.scan_id);
    await listScans();
  } catch (error) { say("checked", refusal(error)); }
  finally { $("submit").disabled = false; }
}

const drop = $("drop");
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
drop.addEventListener("drop", (event) => { const [file] = event.dataTransfer.files; if (file) check(file); });
$("file").addEventListener("change", () => { const [file] = $("file").files; if (file) check(file); });
$("submit").addEventListener("click", submit);

// --- its scans
let scans = [];
let scansNext = null;

async function listScans(cursor = null) {
  const page = await json(`/scans?limit=8${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
  scans = cursor ? [...scans, ...page.scans] : page.scans;
  scansNext = page.next_cursor;
  showScans();
}

function showScans() {
  $("scans-none").hidden = scans.length > 0;
  $("scans-more").hidden = scansNext === null;
  keep($("scans"), scans, (each) => each.scan_id, (each) => el("li", {},
    el("a", { href: `#${each.scan_id}`, "aria-current": each.scan_id === current ? "true" : null }, el("span", { class: "id" }, each.scan_id.slice(0, 8)), ` · ${moment(each.submitted_at)}`),
    word(LEVELS[each.status] ?? "unknown", t(each.status)),
    el("span", { class: "hint" }, each.records_total === null ? "" : `${number(each.records_total)} ${t("records").toLowerCase()}`)));
  const options = [["", t("all")], ...scans.map((each) => [each.scan_id, `${each.scan_id.slice(0, 8)} · ${timeOfDay(each.submitted_at)}`])];
  fill($("of-scan"), options);
}

function fill(select, options) {
  const kept = select.value;
  select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
  select.value = options.some(([value]) => value === kept) ? kept : "";
}

// --- one scan, followed
let current = null;
let source = null;
let status = null;

function open(scan) {
  if (location.hash.slice(1) !== scan) location.hash = scan;
  else follow(scan);
}

function follow(scan) {
  source?.close();
  if (current !== scan) { errors = []; corrected.clear(); say("mend-said", null); }
  current = scan;
  status = null;
  $("scan").hidden = false;
  $("scan-id").textContent = scan;
  $("status").replaceChildren(el("p", {}, t("loading")));
  showErrors();
  source = new EventSource(`${base}/scans/${scan}/events`);
  source.addEventListener("status", (event) => {
    status = JSON.parse(event.data);
    showStatus();
    if (!(status.status in LEVELS)) return;
    source.close();
    Promise.all([listErrors(), listScans(), listFound()]).catch((error) => say("mend-said", refusal(error)));
  });
  source.addEventListener("error", async () => {
    if (source.readyState !== EventSource.CLOSED) return;
    try { await call(`/scans/${scan}`); } catch (error) { $("status").replaceChildren(refusal(error)()); }
  });
}

function showStatus() {
  if (status === null) return;
  const facts = [["records_total", status.records_total], ["stored", status.records_stored], ["rejected", status.records_rejected],
    ["duplicate", status.records_duplicate], ["count_sensitive", status.records_sensitive], ["count_cross_border", status.records_cross_border]];
  $("status").replaceChildren(
    el("p", {}, word(status.paused ? "warn" : LEVELS[status.status] ?? "unknown", told(status.message))),
    el("p", { class: "bar" }, el("progress", { max: 1, value: status.progress, "aria-label": t("progress") }), " ", percent(status.progress)),
    el("dl", { class: "facts" }, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, t(name)), el("dd", {}, number(value))))));
}

// --- what was rejected, and corrected
let errors = [];
let errorsNext = null;
const corrected = new Map();  // id -> {index, text}

async function listErrors(cursor = null) {
  const of = current;
  const page = await json(`/scans/${of}/errors?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
  if (of !== current) return;
  errors = cursor ? [...errors, ...page.errors] : page.errors;
  errorsNext = page.next_cursor;
  showErrors();
}

function valid(text) {
  try { return typeof JSON.parse(text) === "object"; } catch { return false; }
}

function correction(each) {
  const id = plain(each.id);
  if (each.record === null) return el("span", { class: "hint" }, t("binary"));
  const before = JSON.stringify(each.record, null, 2);
  const index = plain(each.index);
  const fault = el("p", { class: "hint", hidden: true, id: `fault-${id}` }, word("bad", t("not_json")));
  const area = el("textarea", { rows: Math.min(16, before.split("\n").length), spellcheck: "false", "aria-describedby": `fault-${id}`, "aria-label": t("correct_record", { number: number(index === null ? id : index + 1) }) });
  area.value = corrected.get(id)?.text ?? before;
  area.addEventListener("input", () => {
    if (area.value === before) corrected.delete(id);
    else corrected.set(id, { index, text: area.value });
    fault.hidden = valid(area.value);
    area.setAttribute("aria-invalid", String(!fault.hidden));
    showMend();
  });
  return el("details", { open: corrected.has(id) }, el("summary", {}, t("correct")), area, fault);
}

function showErrors() {
  $("rejections").hidden = errors.length === 0;
  $("errors-more").hidden = errorsNext === null;
  keep($("errors"), errors, (each) => plain(each.id), (each) => el("tr", {},
    el("td", { class: "number", "data-label": t("record_number") }, each.index === null ? "–" : number(plain(each.index) + 1)),
    el("td", { class: "id", "data-label": t("key") }, each.activity_key ?? "–"),
    el("td", { class: "long" }, el("ul", { class: "reasons" }, ...each.errors.map((reason) => el("li", {}, told(reason.messages), " ", el("code", {}, reason.code))))),
    el("td", { class: "long edit" }, correction(each))));
  showMend();
}

function showMend() {
  const button = $("mend");
  button.disabled = corrected.size === 0 || ![...corrected.values()].every((each) => valid(each.text));
  button.textContent = corrected.size ? t("send_mended_count", { count: number(corrected.size) }) : t("send_mended");
}

async function mend(body, type) {
  $("mend").disabled = true;
  say("mend-said", () => el("p", {}, t("mending")));
  try {
    const answer = await call(`/scans/${current}/records`, { method: "POST", headers: { "Content-Type": type, "Prefer": "wait=10", "Accept-Language": language }, body });
    const found = parsed(await answer.text());
    const count = found.records === undefined ? corrected.size : plain(found.records);
    corrected.clear();
    say("mend-said", count ? () => el("p", {}, word("good", t("mend_done", { count: number(count) }))) : null);
    follow(current);
  } catch (error) { say("mend-said", refusal(error)); showMend(); }
}

$("mend").addEventListener("click", () => {
  // the text as it was written: no digit of a number is lost
  const lines = [...corrected].map(([id, each]) => `{"id":${id},"index":${each.index},"record":${each.text}}`);
  mend(`{"corrections":[${lines.join(",")}]}`, "application/json");
});
$("mended").addEventListener("change", () => {
  const [file] = $("mended").files;
  if (file) mend(file, NDJSON);
  $("mended").value = "";
});
$("download").addEventListener("click", async () => {
  try {
    const answer = await call(`/scans/${current}/errors`, { headers: { Accept: NDJSON } });
    const url = URL.createObjectURL(await answer.blob());
    const link = el("a", { href: url, download: `${current}-errors.ndjson` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) { say("mend-said", refusal(error)); }
});

// --- what was found
let found = [];
let foundNext = null;
let asked = 0;

async function listFound(cursor = null) {
  const mine = ++asked;
  const query = new URLSearchParams([...new FormData($("filters"))].filter(([, value]) => value));
  query.set("limit", PAGE);
  if (cursor) query.set("cursor", cursor);
  try {
    const page = await json(`/processing-activities?${query}`);
    if (mine !== asked) return;
    found = cursor ? [...found, ...page.processing_activities] : page.processing_activities;
    foundNext = page.next_cursor;
    showFound();
  } catch (error) { $("found-none").hidden = false; $("found-none").replaceChildren(...refusal(error)().childNodes); }
}

function showFound() {
  $("found-table").hidden = found.length === 0;
  $("found-none").hidden = found.length > 0;
  $("found-none").textContent = found.length ? "" : t("nothing_found");
  $("found-more").hidden = foundNext === null;
  keep($("found"), found, (each) => `${each.scan_id} ${each.activity_key}`, (each) => el("tr", {},
    el("td", { class: "name" }, each.name, el("p", { class: "hint" }, each.asset)),
    el("td", { "data-label": t("system") }, each.source_system),
    el("td", { class: "long" }, el("ul", { class: "tags" }, ...each.data_categories.map((code) => el("li", { "data-kind": code.split("_")[0], title: code }, TEXTS[code] ? t(code) : code)))),
    el("td", { "data-label": t("purpose") }, each.purpose),
    el("td", { "data-label": t("basis") }, TEXTS[`basis_${each.legal_basis}`] ? t(`basis_${each.legal_basis}`) : each.legal_basis),
    el("td", { "data-label": t("country") }, each.storage_country, each.cross_border ? el("p", {}, word("warn", t("cross_border"))) : null)));
}

function showCategories() {
  const codes = Object.keys(TEXTS).filter((each) => /^(basic|sensitive)_/.test(each));
  const kind = (code) => (code.startsWith("sensitive") ? `${t("sensitive")}: ` : "");
  fill($("category"), [["", t("all")], ...codes.map((code) => [code, kind(code) + t(code)])]);
}

$("filters").addEventListener("change", () => listFound());
$("scans-more").addEventListener("click", () => listScans(scansNext));
$("errors-more").addEventListener("click", () => listErrors(errorsNext));
$("found-more").addEventListener("click", () => listFound(foundNext));
window.addEventListener("hashchange", opened);

function opened() {
  const scan = location.hash.slice(1);
  if (!/^[0-9a-f-]{36}$/.test(scan)) return;
  follow(scan);
  showScans();
  $("scan").scrollIntoView({ block: "start" });
}

function show() {
  applyTexts();
  document.title = t("tenant_title", { name: tenant });
  for (const [id, make] of said) say(id, make);
  showCategories();
  showScans();
  showStatus();
  showErrors();
  if (found.length || !$("found-none").hidden) showFound();
}

$("name").textContent = tenant;
onLanguage(show);
show();
listScans().catch((error) => say("checked", refusal(error)));
listFound();
opened();
