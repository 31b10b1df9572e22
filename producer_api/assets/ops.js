// The operators' page. Everything comes by server-sent events: the charts so far, then all there is to see, every two seconds.
import { Chart } from "/assets/chart.js";
import { applyTexts, duration, el, keep, moment, number, onLanguage, percent, spans, t, tenantUrl, timeOfDay, told, word } from "/assets/shared.js";

const OLD_SECONDS = 60;
const $ = (id) => document.getElementById(id);
const charts = [
  new Chart($("throughput"), "throughput", "records_per_second", [{ name: "records_per_second", at: 1 }, { name: "rejected_per_second", at: 2 }]),
  new Chart($("backlog"), "backlog", "messages", [{ name: "messages", at: 3 }]),
  new Chart($("age"), "age", "seconds", [{ name: "seconds", at: 4 }], 1),
];
let points = [];
let seen = null;
let connected = false;

const LEVELS = { running: "good", paused: "warn", stuck: "bad", unowned: "bad", unknown: "unknown" };
const level = (lane) => (lane.reason === "dead_letter_limit" || lane.reason === "log_replaced" ? "bad" : LEVELS[lane.state]);

/** What a person should look at: [how bad, text]. */
function matters() {
  if (!connected && seen !== null) return [["bad", t("connection_lost_more", { time: moment(seen.at) })]];
  const found = [];
  if (seen.kafka?.ok === false) found.push(["bad", t(seen.kafka.reason === "topic" ? "kafka_topic" : "kafka_away")]);
  if (seen.postgres?.ok === false) found.push(["bad", t(seen.postgres.reason === "pool" ? "postgres_pool" : "postgres_away")]);
  if (!seen.statuses_read) found.push(["warn", t("statuses_behind")]);
  const lanes = seen.lanes ?? [];
  const where = (test) => spans(lanes.filter(test).map((each) => each.partition));
  const tell = (how, key, test, values = {}) => {
    const numbers = where(test);
    if (numbers) found.push([how, t(key, { where: numbers, ...values })]);
  };
  tell("bad", "lanes_unowned", (each) => each.state === "unowned");
  tell("bad", "lanes_stuck", (each) => each.state === "stuck");
  for (const reason of new Set(lanes.filter((each) => each.state === "paused").map((each) => each.reason))) {
    const test = (each) => each.state === "paused" && each.reason === reason;
    tell(level({ state: "paused", reason }), "lanes_paused", test, { reason: `${t(`reason_${reason}`)}.` });
  }
  tell("bad", "lanes_gone", (each) => each.gone > 0);
  if ((seen.lag?.seconds ?? 0) > OLD_SECONDS) found.push(["warn", t("lag_old", { age: duration(seen.lag.seconds) })]);
  if (seen.letters.waiting) found.push(["warn", t("letters_wait", { count: number(seen.letters.waiting) })]);
  return found;
}

function setText(node, text) { if (node.textContent !== text) node.textContent = text; }

function showVerdict() {
  const found = matters();
  const lost = !connected;
  const worst = found.some(([how]) => how === "bad") ? "bad" : found.length ? "warn" : seen.kafka === null ? "unknown" : "good";
  $("verdict").dataset.level = worst;
  const text = lost ? t("connection_lost") : worst === "unknown" ? t("connecting") : !found.length ? t("all_well")
    : found.length === 1 ? t("look_at_one") : t("look_at", { count: found.length });
  setText($("verdict-text"), text);
  keep($("matters"), found, ([, matter]) => matter, ([how, matter]) => el("li", {}, word(how, matter)));
  $("live").className = connected ? "live on" : "live";
  setText($("live"), connected ? t("live", { time: timeOfDay(seen.at) }) : t("not_live"));
}

function pair(items, target) {
  keep(target, items, ([name]) => name, ([name, ...values]) => el("div", {}, el("dt", {}, t(name)), ...values.map(([how, text, unit]) =>
    how === "more" ? el("dd", { class: "more" }, text) : how === "big" ? el("dd", {}, text, " ", el("small", {}, unit)) : el("dd", {}, word(how, text)))));
}

function showHealth() {
  const server = (answer) => answer === null ? ["unknown", t("asking")] : answer.ok ? ["good", t("answers_in", { ms: number(answer.seconds * 1000) })] : ["bad", t("no_answer")];
  const owners = new Set((seen.lanes ?? []).map((each) => each.owner).filter(Boolean));
  const { waiting, there } = seen.letters;
  const letters = waiting === null ? ["unknown", there === null ? t("unknown") : number(there)] : waiting ? ["warn", t("waiting_of", { waiting: number(waiting) })] : ["good", t("none_waiting")];
  pair([
    ["kafka", server(seen.kafka)],
    ["postgres", server(seen.postgres)],
    ["statuses", seen.statuses_read ? ["good", t("up_to_date")] : ["warn", t("reading")]],
    ["workers", seen.lanes === null ? ["unknown", t("unknown")] : [owners.size ? "good" : "bad", number(owners.size)]],
    ["dead_letters", letters],
  ], $("health"));
}

function showFigures() {
  const point = points.at(-1) ?? [];
  const lag = seen.lag;
  const empties = !lag?.messages ? null : lag.seconds_to_empty === null ? t("not_shrinking") : t("empty_in", { age: duration(lag.seconds_to_empty) });
  const flow = lag === null || lag.sent === null ? "" : t("sent_written", { sent: number(lag.sent), written: number(lag.written) });
  pair([
    ["throughput", ["big", number(point[1]), t("records_per_second")], ["more", t("rejected_rate", { rate: number(point[2], 1) })]],
    ["backlog", ["big", number(lag?.messages), t("messages")], ["more", [flow, empties].filter(Boolean).join(", ")]],
    ["age", ["big", duration(lag?.seconds), ""], ["more", lag?.counted_by === "group" ? t("by_group") : t("oldest")]],
    ["unfinished", ["big", number(seen.unfinished), ""]],
  ], $("figures"));
}

function tile(lane) {
  const waiting = lane.lag ? t("waiting_since", { lag: number(lane.lag), age: duration(lane.lag_seconds) }) : t("nothing_waits");
  return el("li", { "data-level": level(lane) },
    el("p", {}, el("b", {}, String(lane.partition)), word(level(lane), t(`state_${lane.state}`))),
    el("p", { class: "hint" }, waiting),
    lane.reason && lane.state === "paused" ? el("p", { class: "hint" }, t(`reason_${lane.reason}`)) : null);
}

function showLanes() {
  if (!seen.lanes?.length) {
    keep($("lanes"), [null], () => "none", () => el("p", { class: "none" }, t("no_lanes")));
    return;
  }
  const owners = new Map();
  for (const lane of seen.lanes) {
    const owner = lane.owner ?? "";
    owners.set(owner, [...(owners.get(owner) ?? []), lane]);
  }
  const groups = [...owners].sort(([a], [b]) => (a < b ? -1 : 1));
  keep($("lanes"), groups, ([owner]) => `of ${owner}`, ([owner, lanes]) => el("div", { class: "group" },
    el("h3", {}, owner ? el("span", { class: "id" }, owner) : t("nobody"), " ", el("small", {}, t("lane_count", { count: number(lanes.length) }))),
    el("ul", { class: "tiles" }, ...lanes.map(tile))));
}

const cell = (label, attributes, ...children) => el("td", { ...attributes, "data-label": label }, ...children);
const scanLink = (each) => el("a", { href: tenantUrl(each.tenant, each.scan), title: each.scan }, each.scan.slice(0, 8));

function scanRow(each) {
  const total = each.total ?? null;
  const done = (each.stored ?? 0) + (each.rejected ?? 0) + (each.duplicate ?? 0);
  const bar = total === null ? null : el("progress", { max: 1, value: each.progress, "aria-label": t("progress") });
  return el("tr", {},
    cell(t("tenant"), { class: "name" }, each.tenant), cell(t("scan"), { class: "id" }, scanLink(each)),
    cell(t("progress"), {}, bar, " ", total === null ? "" : percent(each.progress), " ", each.paused ? word("warn", t("paused")) : t(each.state)),
    cell(t("records"), { class: "number" }, total === null ? number(done) : `${number(done)} / ${number(total)}`),
    cell(t("rejected"), { class: "number" }, number(each.rejected ?? 0)),
    cell(t("changed"), { class: "time" }, timeOfDay(each.published_at)));
}

function troubledRow(each) {
  const reasons = each.reasons.map((reason) => el("li", {}, told(reason.messages), " ", el("code", {}, reason.code), reason.count > 1 ? ` ${t("times", { count: reason.count })}` : ""));
  if (each.unreadable) reasons.unshift(el("li", {}, t("unreadable", { count: number(each.unreadable) })));
  return el("tr", {},
    cell(t("when"), { class: "time" }, moment(each.published_at)), cell(t("tenant"), { class: "name" }, each.tenant), cell(t("scan"), { class: "id" }, scanLink(each)),
    cell(t("rejected"), { class: "number" }, each.total ? `${number(each.rejected)} / ${number(each.total)}` : number(each.rejected ?? 0)),
    cell(t("reasons"), { class: "long" }, el("ul", { class: "reasons" }, ...reasons)));
}

function showTable(name, items, make) {
  $(`${name}-none`).hidden = items.length > 0;
  $(`${name}-table`).hidden = items.length === 0;
  keep($(name), items, (each) => each.scan, make);
}

function showPools() {
  const { in_use: used, limit, waiting } = seen.pool;
  const meters = [{ name: "read_pool", text: t("in_use_of", { used: number(used), limit: number(limit) }), share: used / limit, more: waiting ? t("waiting_for", { count: number(waiting) }) : "" }];
  if (seen.connections) {
    const all = Object.values(seen.connections).reduce((sum, each) => sum + each, 0);
    const parts = Object.entries(seen.connections).map(([name, count]) => `${name === "other" ? t("other") : name} ${number(count)}`);
    meters.push({ name: "all_connections", text: t("of_limit", { used: number(all), limit: number(seen.connections_limit) }), share: all / seen.connections_limit, more: parts.join(" · ") });
  }
  keep($("pools"), meters, (each) => each.name, (each) => el("div", {}, el("dt", {}, t(each.name)),
    el("dd", {}, el("b", {}, each.text), el("progress", { max: 1, value: each.share, "aria-label": t(each.name) }), each.more ? el("span", { class: "hint" }, each.more) : null)));
}

function show() {
  if (seen === null) return;
  showVerdict();
  showHealth();
  showFigures();
  for (const chart of charts) chart.show(points);
  showLanes();
  setText($("scans-count"), seen.unfinished > seen.scans.length ? t("shown_of", { shown: number(seen.scans.length), count: number(seen.unfinished) }) : "");
  showTable("scans", seen.scans, scanRow);
  showTable("troubled", seen.troubled, troubledRow);
  showPools();
}

function follow() {
  const source = new EventSource("/ops/events");
  source.addEventListener("history", (event) => { points = JSON.parse(event.data); });
  source.addEventListener("overview", (event) => {
    seen = JSON.parse(event.data);
    connected = true;
    if (points.at(-1)?.[0] !== seen.point[0]) points.push(seen.point);
    points = points.filter((each) => each[0] > seen.point[0] - 600_000);
    show();
  });
  source.addEventListener("error", () => {
    connected = false;
    if (seen !== null) showVerdict();
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 5000); // too many viewers, or a proxy's answer
  });
}

$("go").addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign(tenantUrl($("tenant").value.trim()));
});
onLanguage(show);
applyTexts();
follow();
