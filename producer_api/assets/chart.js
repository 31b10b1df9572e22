// A chart of ten minutes: one or two traces as SVG that takes its colours from the style sheet, a sentence of it for screen
// readers, and its values a minute as a table.
import { el, language, number, t, timeOfDay } from "/assets/shared.js";

const SVG = "http://www.w3.org/2000/svg";
const SPAN = 600_000;
const LEFT = 8, RIGHT = 8, TOP = 22, BOTTOM = 22;

function draw(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The next of 1, 2, 5, 10, 20… */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}

export class Chart {
  /** `traces`: the names of texts and the indexes of a point's values. */
  constructor(figure, title, unit, traces, digits = 0) {
    Object.assign(this, { figure, title, unit, traces, digits, points: [] });
    this.name = el("b");
    this.read = el("span");
    this.svg = draw("svg", { role: "img" });
    this.summary = el("summary");
    this.body = el("tbody");
    this.head = el("tr");
    this.details = el("details", { ontoggle: () => this.table() }, this.summary, el("table", {}, el("thead", {}, this.head), this.body));
    figure.append(el("figcaption", {}, this.name, this.read), this.svg, this.details);
    new ResizeObserver(() => this.draw()).observe(this.svg);
    this.svg.addEventListener("pointermove", (event) => { this.at = event.offsetX; this.draw(); });
    this.svg.addEventListener("pointerleave", () => { this.at = undefined; this.draw(); });
  }

  show(points) {
    this.points = points;
    this.draw();
    this.table();
  }

  value(point, at) { return number(point?.[at] ?? null, this.digits); }

  draw() {
    const [main] = this.traces;
    const points = this.points;
    const known = points.filter((each) => each[main.at] !== null);
    const most = Math.max(0, ...known.map((each) => each[main.at]));
    const last = known.at(-1);
    this.name.textContent = t(this.title);
    const sentence = t("now_most", { now: this.value(last, main.at), most: number(known.length ? most : null, this.digits) });
    this.svg.setAttribute("aria-label", `${t(this.title)}, ${t(this.unit)}: ${sentence}`);
    const width = this.svg.clientWidth, height = this.svg.clientHeight;
    if (!width) return;
    const top = round(Math.max(most, this.digits ? 1 : 10));
    const end = points.length ? points.at(-1)[0] : Date.now();
    const x = (at) => LEFT + ((at - end + SPAN) / SPAN) * (width - LEFT - RIGHT);
    const y = (value) => height - BOTTOM - (value / top) * (height - TOP - BOTTOM);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = Math.round(y(top * share)) + 0.5;
      parts.push(draw("line", { class: "grid", x1: 0, x2: width, y1: at, y2: at }));
      if (share) parts.push(draw("text", { x: 0, y: at - 4 }, number(top * share, 1) + (share === 1 ? ` ${t(this.unit)}` : "")));
    }
    const minutes = width < 420 ? [10, 5] : [10, 8, 6, 4, 2];
    for (const minute of minutes) {
      const anchor = minute === 10 ? "start" : "middle";
      parts.push(draw("text", { x: minute === 10 ? 0 : x(end - minute * 60_000), y: height - 5, "text-anchor": anchor }, t("minutes_ago", { minutes: minute })));
    }
    parts.push(draw("text", { x: width, y: height - 5, "text-anchor": "end" }, t("now")));
    this.traces.forEach((trace, index) => {
      for (const run of this.runs(trace.at)) {
        const line = run.map((each) => `${x(each[0]).toFixed(1)},${y(Math.min(top, each[trace.at])).toFixed(1)}`).join("L");
        if (!index) {
          const base = y(0);
          parts.push(draw("path", { class: "area", d: `M${x(run[0][0]).toFixed(1)},${base}L${line}L${x(run.at(-1)[0]).toFixed(1)},${base}Z` }));
        }
        parts.push(draw("path", { class: index ? "trace second" : "trace", d: `M${line}` }));
      }
    });
    let shown = last, when = "";
    if (this.at !== undefined && known.length) {
      shown = known.reduce((best, each) => (Math.abs(x(each[0]) - this.at) < Math.abs(x(best[0]) - this.at) ? each : best));
      when = `${timeOfDay(shown[0])} · `;
      const at = x(shown[0]);
      parts.push(draw("line", { class: "pointer", x1: at, x2: at, y1: TOP, y2: height - BOTTOM }));
    }
    this.read.textContent = when + this.traces.map((each) => `${this.value(shown, each.at)} ${t(each.name)}`).join(" · ");
    this.svg.replaceChildren(...parts);
  }

  /** Unbroken runs of known values. */
  runs(at) {
    const found = [];
    let run = null;
    for (const point of this.points) {
      if (point[at] === null) run = null;
      else if (run === null) found.push((run = [point]));
      else run.push(point);
    }
    return found;
  }

  table() {
    this.summary.textContent = t("as_table");
    if (!this.details.open) return;
    const byMinute = new Map(this.points.map((each) => [Math.floor(each[0] / 60_000), each]));
    const rows = [...byMinute.values()].reverse();
    const state = language + JSON.stringify(rows.map((each) => each[0]));
    if (this.tabled === state) return;
    this.tabled = state;
    this.head.replaceChildren(el("th", { scope: "col" }, t("when")), ...this.traces.map((each) => el("th", { scope: "col", class: "number" }, t(each.name))));
    this.body.replaceChildren(...rows.map((each) => el("tr", {}, el("td", { class: "time" }, timeOfDay(each[0])), ...this.traces.map((trace) => el("td", { class: "number" }, this.value(each, trace.at))))));
  }
}
