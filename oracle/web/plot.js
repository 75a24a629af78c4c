"use strict";
// What every chart stands on: numbers and times as text, and a Plot with axes, cursor, tooltip and keyboard. The svg
// element of a plot stays when its chart is drawn again, so focus and tooltip survive an update.

const ProvoltPlot = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const INTERVAL_S = 900;

  // ---- numbers and times

  const numbers = new Map();
  function number(value, decimals) {
    if (!numbers.has(decimals)) {
      const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
      numbers.set(decimals, new Intl.NumberFormat("en-GB", digits));
    }
    const rounded = Number(value.toFixed(decimals)) || 0;
    return numbers.get(decimals).format(rounded).replace("-", "\u2212");
  }
  const format = {
    number,
    kw: (w) => `${number(w / 1000, 1)} kW`,
    kwh: (wh) => `${number(wh / 1000, 1)} kWh`,
    credits: (micro) => number(micro / 1e6, 2),
    price: (micro) => `${number(micro / 1e6, 4)} credits/kWh`,
    percent: (share) => `${number(share * 100, 0)} %`,
    /** Ids of the chain are 66 characters long; the first eight hex digits tell sessions of a day apart. */
    short: (id) => (id.startsWith("0x") && id.length > 12 ? id.slice(0, 10) : id),
  };

  const clocks = new Map();
  /** Formatters of a site's time zone; an unknown zone is shown in UTC. */
  function clock(zone) {
    if (clocks.has(zone)) return clocks.get(zone);
    const make = (options) => {
      try {
        return new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
      } catch {
        return new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
      }
    };
    const time = make({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    const day = make({ weekday: "short", day: "numeric", month: "short" });
    const date = make({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
    const of = (formatter) => (seconds) => formatter.format(new Date(seconds * 1000));
    const weekday = of(make({ weekday: "short" }));
    /** Time of day, with the weekday where that is another day than `today` (seconds). */
    const moment = (seconds, today) => {
      const other = of(day)(seconds) !== of(day)(today);
      return `${other ? `${weekday(seconds)} ` : ""}${of(time)(seconds)}`;
    };
    clocks.set(zone, { time: of(time), day: of(day), date: of(date), moment });
    return clocks.get(zone);
  }

  // ---- elements

  function element(parent, name, attributes = {}, text) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  const round = (value) => Math.round(value * 10) / 10;

  /** Ticks at 1, 2 or 5 times a power of ten, about `wanted` of them. */
  function ticks(low, high, wanted) {
    const raw = (high - low) / wanted || 1;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
    const result = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) result.push(n * step);
    return { values: result, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  // ---- a plot: svg, axes, cursor, tooltip

  let plots = 0;

  class Plot {
    constructor(host) {
      this.host = host;
      this.id = `plot${++plots}`;
      this.picked = null;
      this.items = [];
      host.classList.add("plot");
      this.svg = element(host, "svg", { role: "img", tabindex: "0", class: "chart" });
      this.tip = document.createElement("div");
      this.tip.className = "tip";
      this.tip.setAttribute("role", "status");
      this.tip.hidden = true;
      host.append(this.tip);
      this.listen();
    }

    listen() {
      const point = (event) => {
        const box = this.svg.getBoundingClientRect();
        this.pick(this.find ? this.find(event.clientX - box.left, event.clientY - box.top) : null);
      };
      this.svg.addEventListener("pointermove", point);
      this.svg.addEventListener("pointerdown", point);
      // A finger that lifts has left, too; its tooltip stays until something else is touched.
      this.svg.addEventListener("pointerleave", (event) => event.pointerType === "touch" || this.pick(null));
      this.svg.addEventListener("blur", () => this.pick(null));
      this.svg.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === "Escape") this.pick(null);
        if (!step || this.items.length === 0) return;
        event.preventDefault();
        const from = this.picked === null ? (step > 0 ? -1 : this.items.length) : this.picked;
        this.pick(Math.min(this.items.length - 1, Math.max(0, from + step)));
      });
    }

    /** Empties the drawing and lays out its frame. */
    begin({ view, zone, height, left = 46, right = 14, top = 22, bottom = 26, label }) {
      const width = Math.max(280, this.host.clientWidth);
      Object.assign(this, { view, zone, width, height, left, right, top, bottom });
      this.svg.replaceChildren();
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.svg.setAttribute("width", width);
      this.svg.setAttribute("height", height);
      this.svg.setAttribute("aria-label", `${label} Arrow keys read the values.`);
      this.step = (width - left - right) / view.count;
      this.x = (i) => round(left + i * this.step);
      this.xTime = (seconds) => this.x(Math.min(view.count, Math.max(0, seconds / INTERVAL_S - view.first)));
    }

    scale(low, high) {
      const span = this.height - this.top - this.bottom;
      return (value) => round(this.top + ((high - value) / (high - low || 1)) * span);
    }

    /** Horizontal grid with its labels, and the unit above. `toText` where the labels differ from the values. */
    yAxis(y, low, high, unit, { side = "left", grid = true, toText } = {}) {
      const wanted = Math.max(3, Math.round((this.height - this.top - this.bottom) / 42));
      const { values, decimals } = ticks(low, high, wanted);
      const at = side === "left" ? this.left - 7 : this.width - this.right + 7;
      const anchor = side === "left" ? "end" : "start";
      for (const value of values) {
        if (grid) {
          const line = { x1: this.left, x2: this.width - this.right, y1: y(value), y2: y(value) };
          element(this.svg, "line", { ...line, class: value === 0 ? "zero" : "grid" });
        }
        const text = toText ? toText(value) : number(value, decimals);
        element(this.svg, "text", { x: at, y: y(value) + 4, "text-anchor": anchor, class: "tick" }, text);
      }
      const corner = side === "left" ? { x: 4, "text-anchor": "start" } : { x: this.width - 4, "text-anchor": "end" };
      element(this.svg, "text", { ...corner, y: 11, class: "unit" }, unit);
    }

    /** Local hours, as many as fit; a day's name at midnight where the view is longer than a day. */
    xAxis() {
      const { time, day } = clock(this.zone);
      const long = this.view.count > 96;
      const room = (this.width - this.left - this.right) / (this.view.count / 4);
      const every = [1, 2, 3, 4, 6, 12, 24].find((hours) => hours * room >= 54) ?? 24;
      const base = this.height - this.bottom;
      for (let i = 0; i <= this.view.count; i++) {
        const seconds = (this.view.first + i) * INTERVAL_S;
        const [hour, minute] = time(seconds).split(":").map(Number);
        if (minute !== 0 || hour % every !== 0) continue;
        const midnight = long && hour === 0 && i < this.view.count;
        const line = { x1: this.x(i), x2: this.x(i), y1: this.top, y2: base };
        element(this.svg, "line", { ...line, class: midnight ? "midnight" : "grid" });
        const anchor = this.x(i) > this.width - 22 ? "end" : "middle";
        const text = midnight ? day(seconds).replace(/ \p{L}+$/u, "") : time(seconds);
        element(this.svg, "text", { x: this.x(i), y: base + 17, "text-anchor": anchor, class: "tick" }, text);
      }
    }

    /** The moment up to which everything is known. */
    nowLine(report) {
      if (report.finished) return;
      const x = this.xTime(report.now);
      element(this.svg, "line", { x1: x, x2: x, y1: this.top - 6, y2: this.height - this.bottom, class: "now" });
      const late = x > this.width - this.right - 40;
      // In the top left corner stands the unit.
      const y = x < this.left + 60 ? this.top + 11 : this.top - 1;
      const place = { x: late ? x - 5 : x + 5, y, "text-anchor": late ? "end" : "start" };
      element(this.svg, "text", { ...place, class: "now-text" }, "now");
    }

    /** A step line: one level per interval, with gaps where `value` gives undefined. */
    stepLine(list, y, value, attributes) {
      let path = "";
      let next = null;
      for (const row of list) {
        const level = value(row);
        if (level === undefined) continue;
        path += `${next === row.i ? "L" : "M"}${this.x(row.i)} ${y(level)}H${this.x(row.i + 1)}`;
        next = row.i + 1;
      }
      if (path) element(this.svg, "path", { d: path, fill: "none", ...attributes });
    }

    hatch() {
      const pattern = element(element(this.svg, "defs"), "pattern", {
        id: `${this.id}-hatch`, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
      });
      element(pattern, "rect", { width: 2, height: 5, class: "hatch" });
      return `url(#${this.id}-hatch)`;
    }

    /** Ends a drawing. `items` are what the tooltip steps through: {x, y, title, lines, mark}. */
    end(items, find) {
      this.items = items;
      this.find = find;
      this.cursor = element(this.svg, "g", { class: "cursor" });
      this.pick(this.picked !== null && this.picked < items.length ? this.picked : null);
    }

    /** Shows the tooltip of one item. */
    pick(index) {
      this.picked = index;
      this.tip.hidden = index === null;
      this.cursor?.replaceChildren();
      if (index === null) return;
      const item = this.items[index];
      item.mark(this.cursor);
      this.fillTip(item);
      const room = this.width - this.tip.offsetWidth;
      const beside = item.x + 14 <= room ? item.x + 14 : item.x - this.tip.offsetWidth - 14;
      this.tip.style.left = `${Math.max(0, Math.min(room, beside))}px`;
      this.tip.style.top = `${item.y}px`;
    }

    fillTip(item) {
      const title = document.createElement("strong");
      title.textContent = item.title;
      const list = document.createElement("dl");
      for (const [key, value, swatch] of item.lines) {
        const name = document.createElement("dt");
        if (swatch) name.className = `swatch ${swatch}`;
        name.textContent = key;
        const what = document.createElement("dd");
        what.textContent = value;
        list.append(name, what);
      }
      this.tip.replaceChildren(title, list);
    }

    /** Items that are intervals: found by x alone, marked by a column. */
    endIntervals(list, lines) {
      const { time } = clock(this.zone);
      const items = list.map((row) => {
        const start = (this.view.first + row.i) * INTERVAL_S;
        return {
          x: this.x(row.i + 0.5),
          y: this.top + 4,
          title: `${time(start)}\u2013${time(start + INTERVAL_S)}${row.source === "plan" ? " planned" : ""}`,
          lines: lines(row),
          mark: (parent) => element(parent, "rect", {
            x: this.x(row.i), y: this.top, width: this.step, height: this.height - this.top - this.bottom,
          }),
        };
      });
      this.end(items, (x) => {
        const i = Math.floor((x - this.left) / this.step);
        const at = list.findIndex((row) => row.i === i);
        return at < 0 ? null : at;
      });
    }
  }

  return { Plot, element, round, number, format, clock };
})();
