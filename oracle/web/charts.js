"use strict";
// The four charts, in SVG and without dependencies, for the live page and for report.html. Each draws one site of a
// Report onto a Plot. Numbers come in W, Wh and base units of the credit token, and are shown in kW, kWh and credits.

const ProvoltCharts = (() => {
  const { element, round, number, format, clock } = ProvoltPlot;

  // ---- the site's day as rows

  /** One row per interval from the report's first on: metered where known, planned where ahead. */
  function rows(report, site) {
    const cut = (series, i, source) => ({
      i, source, evse: series.evse_w[i], base: series.base_w[i], battery: series.battery_w[i], pv: series.pv_w[i],
      net: series.net_w[i],
    });
    const known = site.metered.net_w.length;
    const result = site.metered.net_w.map((_, i) => cut(site.metered, i, "metered"));
    if (report.finished) return result;
    const ahead = site.plan_first - report.first;
    site.plan.net_w.forEach((_, k) => {
      if (ahead + k >= known) result.push({ ...cut(site.plan, k, "plan"), i: ahead + k });
    });
    return result;
  }

  /** Intervals to show: the day, and what was metered or is planned for cars past its end. */
  function view(report, site) {
    const busy = rows(report, site).filter((row) => row.source === "metered" || row.evse > 0);
    const end = busy.reduce((last, row) => Math.max(last, row.i + 1), report.intervals);
    return { first: report.first, count: end };
  }

  // ---- (a) power by source

  const PLAN_NOTES = {
    Optimal: "optimal", TimeLimit: "best in time", Fallback: "fallback", Cpo: "the CPO's own",
    Undispatched: "not dispatched",
  };

  /** Plan notes come as "Optimal" or {"Fallback": "why"}. */
  function plan(site, i) {
    const note = site.plans[i];
    if (note === undefined) return { kind: null, text: "" };
    const kind = typeof note === "string" ? note : Object.keys(note)[0];
    return { kind, text: PLAN_NOTES[kind] + (typeof note === "string" ? "" : `: ${note[kind]}`) };
  }

  function stack(row) {
    const above = [["base", row.base], ["evse", row.evse], ["battery", Math.max(0, row.battery)]];
    const below = [["pv", row.pv], ["battery", Math.min(0, row.battery)]];
    return { above, below };
  }

  const sum = (parts) => parts.reduce((total, [, w]) => total + w, 0);

  function powerBars(plot, y, list) {
    const gap = plot.step > 7 ? 1 : 0;
    for (const row of list) {
      const group = element(plot.svg, "g", { class: `bar ${row.source}`, "data-interval": row.i });
      const { above, below } = stack(row);
      for (const parts of [above, below]) {
        let from = 0;
        for (const [kind, watts] of parts) {
          if (watts === 0) continue;
          const [a, b] = [y(from / 1000), y((from + watts) / 1000)];
          const box = { x: plot.x(row.i), y: Math.min(a, b), height: round(Math.abs(a - b)) };
          element(group, "rect", { ...box, width: round(plot.step - gap), class: kind });
          from += watts;
        }
      }
    }
  }

  /** Thin strip below the bars: how each interval was planned, where it was not the usual way. */
  function planStrip(plot, site) {
    const base = plot.height - plot.bottom;
    site.plans.forEach((_, i) => {
      const { kind } = plan(site, i);
      if (kind === "Optimal" || kind === "TimeLimit") return;
      const box = { x: plot.x(i), width: round(plot.step), y: base - 4, height: 4 };
      element(plot.svg, "rect", { ...box, class: `note note-${kind.toLowerCase()}` });
    });
  }

  function powerLines(plot, y, site, list) {
    const uncontrolled = site.uncontrolled_net_w.map((w, i) => ({ i, w }));
    plot.stepLine(uncontrolled, y, (row) => row.w / 1000, { class: "uncontrolled" });
    for (const [source, name] of [["metered", "halo"], ["metered", "net"], ["plan", "net planned"]]) {
      plot.stepLine(list.filter((row) => row.source === source), y, (row) => row.net / 1000, { class: name });
    }
    const limit = site.limit_import_w / 1000;
    const ends = { x1: plot.left, x2: plot.width - plot.right, y1: y(limit), y2: y(limit) };
    element(plot.svg, "line", { ...ends, class: "limit" });
    const place = { x: plot.width - plot.right - 4, y: y(limit) - 6, "text-anchor": "end", class: "limit-text" };
    element(plot.svg, "text", place, `limit ${format.kw(site.limit_import_w)}`);
  }

  function power(plot, report, site) {
    const list = rows(report, site);
    const label = `Power by source against the limit of ${format.kw(site.limit_import_w)}.`;
    const height = plot.host.clientWidth < 560 ? 270 : 340;
    plot.begin({ view: view(report, site), zone: site.time_zone, height, label });
    const tops = list.map((row) => Math.max(sum(stack(row).above), row.net)).concat(site.uncontrolled_net_w);
    const high = (Math.max(site.limit_import_w, ...tops) / 1000) * 1.08 || 1;
    const low = (Math.min(0, ...list.map((row) => Math.min(sum(stack(row).below), row.net))) / 1000) * 1.08;
    const y = plot.scale(low, high);
    const hatch = plot.hatch();
    powerBars(plot, y, list);
    const ahead = list.find((row) => row.source === "plan");
    if (ahead) {
      const box = { x: plot.x(ahead.i), width: plot.width - plot.right - plot.x(ahead.i), y: plot.top };
      element(plot.svg, "rect", { ...box, height: plot.height - plot.top - plot.bottom, fill: hatch });
    }
    plot.yAxis(y, low, high, "kW");
    plot.xAxis();
    powerLines(plot, y, site, list);
    planStrip(plot, site);
    plot.nowLine(report);
    plot.endIntervals(list, (row) => powerTip(site, row));
  }

  function powerTip(site, row) {
    const lines = [["Grid", format.kw(row.net), "net"], ["EVSEs", format.kw(row.evse), "evse"]];
    lines.push(["Base load", format.kw(row.base), "base"]);
    if (site.metered.pv_w.concat(site.plan.pv_w).some((w) => w !== 0)) lines.push(["PV", format.kw(row.pv), "pv"]);
    if (site.capacity_wh > 0) lines.push(["Battery", format.kw(row.battery), "battery"]);
    lines.push(["Limit", format.kw(site.limit_import_w), "limit"]);
    const uncontrolled = site.uncontrolled_net_w[row.i];
    if (uncontrolled !== undefined) lines.push(["Uncontrolled", format.kw(uncontrolled), "uncontrolled"]);
    const note = row.source === "metered" ? plan(site, row.i).text : "";
    if (note) lines.push(["Plan", note]);
    return lines;
  }

  // ---- (b) price

  function price(plot, report, site) {
    const label = "Price of energy from and into the grid.";
    plot.begin({ view: view(report, site), zone: site.time_zone, height: 190, label });
    const list = site.import_price.map((p, i) => ({ i, buy: p / 1e6, sell: site.feed_in_price[i] / 1e6 }));
    const all = list.flatMap((row) => [row.buy, row.sell]);
    const high = Math.max(0.01, ...all) * 1.08;
    const low = Math.min(0, ...all) * 1.08;
    const y = plot.scale(low, high);
    const steps = list.map((row) => `V${y(row.buy)}H${plot.x(row.i + 1)}`).join("");
    element(plot.svg, "path", { d: `M${plot.x(0)} ${y(0)}${steps}V${y(0)}Z`, class: "buy-area" });
    plot.yAxis(y, low, high, "credits/kWh");
    plot.xAxis();
    plot.stepLine(list, y, (row) => row.sell, { class: "sell" });
    plot.stepLine(list, y, (row) => row.buy, { class: "buy" });
    plot.nowLine(report);
    plot.endIntervals(list, (row) => [
      ["From the grid", format.price(row.buy * 1e6), "buy"], ["Into the grid", format.price(row.sell * 1e6), "sell"],
    ]);
  }

  // ---- (c) state of charge

  function charge(plot, report, site) {
    const label = `State of charge of ${format.kwh(site.capacity_wh)} of batteries.`;
    plot.begin({ view: view(report, site), zone: site.time_zone, height: 190, right: 46, label });
    const y = plot.scale(0, 100);
    const list = site.content_wh.map((wh, i) => ({ i, wh, percent: (wh / site.capacity_wh) * 100 }));
    const points = list.map((row) => `${plot.x(row.i + 1)} ${y(row.percent)}`);
    if (points.length > 0) {
      const floor = `M${plot.x(1)} ${y(0)}L`;
      element(plot.svg, "path", { d: `${floor}${points.join("L")}V${y(0)}Z`, class: "soc-area" });
    }
    plot.yAxis(y, 0, 100, "%");
    const kwh = plot.scale(0, site.capacity_wh / 1000);
    plot.yAxis(kwh, 0, site.capacity_wh / 1000, "kWh", { side: "right", grid: false });
    plot.xAxis();
    if (points.length > 0) element(plot.svg, "path", { d: `M${points.join("L")}`, fill: "none", class: "soc" });
    plot.nowLine(report);
    plot.endIntervals(list, (row) => [
      ["At its end", `${number(row.percent, 0)} %`, "soc"], ["Content", format.kwh(row.wh)],
      ["Battery", format.kw(site.metered.battery_w[row.i] ?? 0), "battery"],
    ]);
  }

  // ---- (d) sessions

  /** What became of a session, or is becoming: class, word, sign. */
  function fate(session) {
    const over = session.state === "Ended" || session.state === "Settled";
    if (session.state === "Refused") return { kind: "refused", word: "refused", sign: "\u00d7" };
    if (session.state === "Requested") return { kind: "waiting", word: "not seen yet", sign: "" };
    if (!over) return { kind: "charging", word: session.state === "Opening" ? "opening" : "plugged in", sign: "" };
    if (session.shortfall_wh > 0) return { kind: "shortfall", word: "left short", sign: "!" };
    return { kind: "met", word: "met", sign: "\u2713" };
  }

  /** Rows without what all ids of the site have in common. */
  function shortIds(ids) {
    const parts = ids.map((id) => id.split("*"));
    let common = 0;
    while (ids.length > 1 && parts.every((p) => p.length > common + 1 && p[common] === parts[0][common])) common++;
    return parts.map((p) => p.slice(common).join("*"));
  }

  /** At larger sites, only EVSEs with sessions have a row. */
  const EVSE_ROWS_MAX = 40;

  function gantt(plot, report, site) {
    const index = report.sites.indexOf(site);
    const sessions = report.sessions.filter((session) => session.site === index);
    const used = new Set(sessions.map((session) => session.evse));
    const evses = site.evses.filter((evse) => site.evses.length <= EVSE_ROWS_MAX || used.has(evse.id));
    const ids = evses.map((evse) => evse.id);
    const names = shortIds(ids).map((name) => (name.length > 9 ? `\u2026${name.slice(-8)}` : name));
    const line = ids.length > 30 ? 18 : 26;
    const label = `${sessions.length} sessions at ${ids.length} EVSEs.`;
    const height = ids.length * line + 44;
    plot.begin({ view: view(report, site), zone: site.time_zone, height, left: 70, top: 18, label });
    plot.xAxis();
    ids.forEach((_, row) => {
      const y = plot.top + row * line;
      const ends = { x1: plot.left, x2: plot.width - plot.right, y1: y + line, y2: y + line };
      element(plot.svg, "line", { ...ends, class: "grid" });
      const place = { x: plot.left - 8, y: y + line / 2 + 4, "text-anchor": "end" };
      element(plot.svg, "text", { ...place, class: "tick" }, names[row]);
    });
    const hatch = plot.hatch();
    const items = sessions.filter((session) => ids.includes(session.evse)).map((session) => {
      const row = ids.indexOf(session.evse);
      const place = { y: plot.top + row * line + 3, height: line - 6 };
      return ganttBar(plot, report, session, { ...place, hatch, rated: evses[row].rated_w });
    });
    plot.nowLine(report);
    plot.end(items, (x, y) => {
      const holds = ({ box }) => x >= box.x && x <= box.x + box.width && y >= box.y - 3 && y <= box.y + box.height + 3;
      const at = items.findIndex(holds);
      return at < 0 ? null : at;
    });
  }

  function ganttBar(plot, report, session, { y, height, hatch, rated }) {
    const { kind, sign } = fate(session);
    const [start, declared] = [plot.xTime(session.arrival), plot.xTime(session.departure)];
    const end = session.unplugged === null ? declared : plot.xTime(session.unplugged);
    const group = element(plot.svg, "g", { class: `session ${kind}`, "data-session": session.id });
    const box = { x: start, y, width: Math.max(2, round(end - start)), height };
    if (declared > end) element(group, "rect", { x: end, y, width: round(declared - end), height, class: "declared" });
    element(group, "rect", { ...box, rx: 3, class: "stay" });
    session.energy_by_interval_wh.forEach((wh, k) => {
      if (wh <= 0) return;
      const i = session.first_interval - plot.view.first + k;
      const [from, to] = [Math.max(start, plot.x(i)), Math.min(end, plot.x(i + 1))];
      if (to <= from) return;
      const opacity = round(0.25 + 0.75 * Math.min(1, (wh * 4) / (rated || 1)));
      element(group, "rect", { x: from, width: round(to - from), y, height, class: "cell", "fill-opacity": opacity });
    });
    if (kind === "refused") element(group, "rect", { ...box, rx: 3, fill: hatch });
    element(group, "rect", { ...box, rx: 3, class: "frame" });
    const text = { x: end + 4, y: y + height / 2 + 4, class: "sign" };
    if (end + 12 < plot.width && sign) element(group, "text", text, sign);
    const mark = (parent) => element(parent, "rect", { ...box, rx: 3, class: "outline" });
    const title = `${session.evse} \u00b7 ${format.short(session.id)}`;
    return { box, x: (start + end) / 2, y: y + height + 6, title, lines: sessionTip(report, session), mark };
  }

  function sessionTip(report, session) {
    const { moment } = clock(report.sites[session.site].time_zone);
    const time = (seconds) => moment(seconds, report.first * 900);
    const left = session.unplugged === null ? [] : [["Left", time(session.unplugged)]];
    const who = session.driver ? [["Driver", session.driver]] : [];
    const shortfall = session.shortfall_wh > 0 ? [["Shortfall", format.kwh(session.shortfall_wh)]] : [];
    return [
      ...who,
      ["Declared", `${time(session.arrival)}\u2013${time(session.departure)}`],
      ...left,
      ["Delivered", `${format.kwh(session.delivered_wh)} of ${format.kwh(session.energy_wh)}`],
      ...shortfall,
      ["State", fate(session).word, fate(session).kind],
    ];
  }

  return { fate, power, price, charge, gantt };
})();
