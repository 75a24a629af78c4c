"use strict";
// What the live page and report.html have in common around the charts: headline figures, the choice of a site, tables.
// Everything is built once and updated in place. Text goes in as text, never as markup.

const ProvoltPage = (() => {
  const { Plot, format, clock } = ProvoltPlot;
  const { fate, power, price, charge, gantt } = ProvoltCharts;

  /** An element with attributes and children (nodes or text). */
  function make(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  /** Writes only what differs, so that nothing flickers and selections survive. */
  function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function setClass(node, name) {
    if (node.className !== name) node.className = name;
  }

  const total = (list, value) => list.reduce((sum, item) => sum + value(item), 0);

  // ---- headline figures

  /** How far `value` lies below `reference`: words and whether that is good. */
  function against(value, reference, unit, known) {
    if (!known) return ["uncontrolled: known at the end of the day", ""];
    const saved = reference - value;
    const percent = format.percent(Math.abs(saved) / reference);
    const share = reference > 0 ? ` (${saved < 0 ? "+" : "\u2212"}${percent})` : "";
    return [`uncontrolled ${unit(reference)}${share}`, saved > 0 ? "good" : saved < 0 ? "bad" : ""];
  }

  /** [title, figure, remark, class] of each card; sums over all sites. */
  function figures(report, live) {
    const { sites, sessions } = report;
    const over = sessions.filter((s) => ["Ended", "Settled"].includes(s.state));
    const met = over.filter((s) => s.shortfall_wh <= 0).length;
    const refused = sessions.filter((s) => s.state === "Refused").length;
    const delivered = total(sessions, (s) => s.delivered_wh);
    const missing = total(sessions, (s) => s.shortfall_wh);
    const wanted = delivered + missing;
    const known = sites.some((s) => s.uncontrolled_net_w.length > 0);
    const violations = total(sites, (s) => s.limit_violations);
    const cost = total(sites, (s) => s.cost);
    const peak = total(sites, (s) => s.peak_w);
    const flag = (trouble) => (trouble ? "bad" : "good");
    const outcome = over.length || refused ? flag(met < over.length || refused) : "";
    const peakTitle = sites.length > 1 ? "Peak, sum of sites" : "Peak";
    const costBefore = total(sites, (s) => s.cost_uncontrolled);
    const peakBefore = total(sites, (s) => s.peak_uncontrolled_w);
    const share = wanted > 0 ? Math.floor((delivered / wanted) * 1000) / 10 : 100;
    const plugged = sessions.filter((s) => ["Opening", "Active"].includes(s.state)).length;
    const energy = live ? `${plugged} cars plugged in` : `${format.number(share, 1)} % of what cars wanted`;
    const ended = live ? "of those that have ended" : "none refused";
    const cards = [
      ["Energy delivered", format.kwh(delivered), energy, ""],
      ["Sessions met", `${met} of ${over.length}`, refused ? `${refused} refused` : ended, outcome],
      ["Grid cost, credits", format.credits(cost), ...against(cost, costBefore, format.credits, known)],
      [peakTitle, format.kw(peak), ...against(peak, peakBefore, format.kw, known)],
      ["Limit violations", String(violations), violations ? "proved by meters" : "no meter saw one", flag(violations)],
      certified(sites),
    ];
    return live ? [loadNow(sites), ...cards] : cards;
  }

  function loadNow(sites) {
    const load = total(sites, (s) => s.metered.net_w.at(-1) ?? 0);
    const limit = total(sites, (s) => s.limit_import_w);
    const worst = Math.max(...sites.map((s) => (s.metered.net_w.at(-1) ?? 0) / (s.limit_import_w || 1)));
    const where = sites.length > 1 ? " at the fullest site" : ` of ${format.kw(limit)}`;
    const remark = `${format.percent(Math.max(0, worst))} of the limit${where}`;
    return ["Load now", format.kw(load), load < 0 ? "feeding into the grid" : remark, worst > 1 ? "bad" : ""];
  }

  /** How many plans the chain holds a certificate of, and how far from the optimum any of them may be. */
  function certified(sites) {
    const proofs = sites.flatMap((s) => s.proofs);
    const gaps = proofs.flatMap((p) => (p.Certified ? [p.Certified.gap] : []));
    const remark = gaps.length ? `largest gap ${format.credits(Math.max(...gaps))} credits` : "no plan yet";
    return ["Plans certified", `${gaps.length} of ${proofs.length}`, remark, ""];
  }

  function cards(host, live) {
    const nodes = [];
    return (report) => figures(report, live).forEach(([title, figure, remark, kind], i) => {
      if (!nodes[i]) {
        nodes[i] = ["h2", "p", "small"].map((name) => make(name));
        host.append(make("article", { class: "card" }, ...nodes[i]));
      }
      [title, figure, remark].forEach((text, k) => write(nodes[i][k], text));
      setClass(nodes[i][2], kind);
    });
  }

  // ---- tables

  /** A real table in a frame that scrolls where it must. Columns: [title, class]. */
  function table(host, caption, columns) {
    const heads = columns.map(([title, kind]) => make("th", { scope: "col", class: kind }, title));
    const body = make("tbody");
    const whole = make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...heads)), body);
    host.append(make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption }, whole));
    const rows = new Map();
    return (list) => {
      const keys = new Set(list.map((row) => row.key));
      for (const [key, row] of rows) if (!keys.has(key)) (row.node.remove(), rows.delete(key));
      list.forEach((item, at) => {
        if (!rows.has(item.key)) rows.set(item.key, newRow(item.key, columns));
        const { node, cells } = rows.get(item.key);
        if (body.children[at] !== node) body.insertBefore(node, body.children[at] ?? null);
        item.cells.forEach((cell, i) => fillCell(cells[i], columns[i][1], cell));
      });
    };
  }

  function newRow(key, columns) {
    const cell = ([, kind], i) => (i ? make("td", { class: kind }) : make("th", { scope: "row", class: kind }));
    const cells = columns.map(cell);
    return { node: make("tr", { "data-key": key }, ...cells), cells };
  }

  /** A cell is text, or {text, kind, share, title}: `kind` colours it, `share` draws a bar below. */
  function fillCell(node, base, cell) {
    const { text, kind, share, title } = typeof cell === "string" ? { text: cell } : cell;
    write(node, text);
    setClass(node, [base, kind, share === undefined ? "" : "gauge"].filter(Boolean).join(" "));
    if (share !== undefined) node.style.setProperty("--share", String(Math.min(1, Math.max(0, share))));
    if (title && node.title !== title) node.title = title;
  }

  const idCell = (id) => ({ text: format.short(id), kind: "id", title: id });

  const EVSE_COLUMNS = [
    ["EVSE", ""], ["Power now", "n"], ["Setpoint", "n"], ["Rating", "n"], ["Session", ""], ["Need", "n"],
    ["Delivered", "n"], ["Departure", "n"], ["State", ""],
  ];

  /** What a car that is plugged in does now: word and class. */
  function doing(evse, session) {
    const { word, kind } = fate(session);
    if (session.state !== "Active") return [word, kind];
    if (evse.power_w > 0) return ["charging", "charging"];
    return session.delivered_wh >= session.energy_wh ? ["charged", "met"] : ["waiting", "waiting"];
  }

  function evseRow(report, site, evse) {
    const session = evse.session === null ? undefined : report.sessions[evse.session];
    const { moment } = clock(site.time_zone);
    const share = evse.power_w / (evse.rated_w || 1);
    const powers = [{ text: format.kw(evse.power_w), share }, format.kw(evse.setpoint_w), format.kw(evse.rated_w)];
    const free = { text: "free", kind: "state free" };
    if (!session) return { key: evse.id, cells: [evse.id, ...powers, "", "", "", "", free] };
    const [state, kind] = doing(evse, session);
    return {
      key: evse.id,
      cells: [
        evse.id, ...powers, idCell(session.id), format.kwh(session.energy_wh),
        { text: format.kwh(session.delivered_wh), share: session.delivered_wh / (session.energy_wh || 1) },
        moment(session.departure, report.now), { text: state, kind: `state ${kind}` },
      ],
    };
  }

  const SESSION_COLUMNS = [
    ["Session", ""], ["Driver", ""], ["EVSE", ""], ["Arrival", "n"], ["Departure", "n"], ["Wanted", "n"],
    ["Delivered", "n"], ["Departure met", ""], ["Paid", "n"], ["Flexibility", "n"], ["Receipt", ""],
  ];

  function sessionRow(report, session) {
    const { moment } = clock(report.sites[session.site].time_zone);
    const time = (seconds) => moment(seconds, report.first * 900);
    const { kind, word } = fate(session);
    const outcome = kind === "shortfall" ? `short of ${format.kwh(session.shortfall_wh)}` : word;
    const receipt = session.receipt ? idCell(session.receipt) : "";
    return {
      key: session.id,
      cells: [
        idCell(session.id), session.driver, session.evse, time(session.arrival), time(session.departure),
        format.kwh(session.energy_wh),
        { text: format.kwh(session.delivered_wh), share: session.delivered_wh / (session.energy_wh || 1) },
        { text: outcome, kind: `state ${kind}` }, format.credits(session.paid), format.credits(session.flex_reward),
        receipt,
      ],
    };
  }

  const SITE_COLUMNS = [
    ["Site", ""], ["Owner", ""], ["Limit", "n"], ["Peak", "n"], ["Peak uncontrolled", "n"], ["From grid", "n"],
    ["Into grid", "n"], ["Cost", "n"], ["Cost uncontrolled", "n"], ["Violations", "n"],
  ];

  function siteRow(site) {
    const known = site.uncontrolled_net_w.length > 0;
    return {
      key: site.id,
      cells: [
        site.id, site.owner, format.kw(site.limit_import_w), format.kw(site.peak_w),
        known ? format.kw(site.peak_uncontrolled_w) : "\u2013", format.kwh(site.import_wh), format.kwh(site.export_wh),
        format.credits(site.cost), known ? format.credits(site.cost_uncontrolled) : "\u2013",
        String(site.limit_violations),
      ],
    };
  }

  const PLAN_COLUMNS = [
    ["Interval", ""], ["Planned", ""], ["Certificate", ""], ["Cost", "n"], ["Bound", "n"], ["Gap", "n"],
    ["of cost", "n"], ["Gas", "n"],
  ];

  const PLANNED = {
    Optimal: "optimal", TimeLimit: "best in time", Cpo: "CPO's own", Fallback: "fallback", Undispatched: "not posted",
  };

  /** What is proven of an interval's plan: no schedule of the same inputs is cheaper by more than the gap. */
  function planRow(report, site, at) {
    const { moment } = clock(site.time_zone);
    const note = site.plans[at];
    const [word, why] = typeof note === "string" ? [note] : Object.entries(note)[0];
    const key = String(report.first + at);
    const first = [moment((report.first + at) * 900, report.first * 900), { text: PLANNED[word], title: why ?? "" }];
    const { Certified: proof, Uncertified: reason } = site.proofs[at];
    if (!proof) return { key, cells: [...first, { text: reason, kind: "state shortfall" }, "", "", "", "", ""] };
    const share = proof.cost > 0 ? `${format.number((100 * proof.gap) / proof.cost, 2)} %` : "\u2013";
    const money = [proof.cost, proof.cost - proof.gap, proof.gap].map(format.credits);
    const gas = proof.gas ? format.number(proof.gas, 0) : "\u2013";
    return { key, cells: [...first, { text: "certified", kind: "state met" }, ...money, share, gas] };
  }

  // ---- charts of the chosen site

  const LEGENDS = {
    power: (report, site) => [
      ["base", "Base load"], ["evse", "EVSEs"],
      ...(site.capacity_wh > 0 ? [["battery", "Battery (charging above zero)"]] : []),
      ["pv", "PV"], ["net", "Grid, net"], ["limit", "Limit"],
      ...(site.uncontrolled_net_w.length > 0 ? [["uncontrolled", "Grid, uncontrolled"]] : []),
      ...(report.finished ? [] : [["ahead", "Plan ahead"]]),
      ...(site.plans.every((note) => ["Optimal", "TimeLimit"].includes(note)) ? [] : [["note-fallback", "Fallback, CPO's own or none"]]),
    ],
    price: () => [["buy", "From the grid"], ["sell", "Into the grid"]],
    charge: () => [["soc", "Content at the end of the interval"]],
    gantt: () => [
      ["met", "Met"], ["shortfall", "Left short"], ["refused", "Refused"], ["charging", "Plugged in"],
      ["cell", "Darker: more power"],
    ],
  };

  function figure(host, name, title, draw, wide) {
    const plotHost = make("div");
    const legend = make("ul", { class: "legend" });
    const frame = { id: `chart-${name}`, class: wide ? "wide" : "" };
    host.append(make("figure", frame, make("h2", {}, title), plotHost, legend));
    const plot = new Plot(plotHost);
    return (report, site) => {
      draw(plot, report, site);
      const entries = LEGENDS[name](report, site);
      const text = entries.map(([, words]) => words).join();
      if (legend.dataset.text === text) return;
      legend.dataset.text = text;
      legend.replaceChildren(...entries.map(([kind, words]) => make("li", { class: `swatch ${kind}` }, words)));
    };
  }

  function charts(host) {
    const draw = [
      figure(host, "power", "Load by source against the limit", power, true),
      figure(host, "price", "Price", price, false),
    ];
    const soc = figure(host, "charge", "State of charge", charge, false);
    const socFigure = host.lastElementChild;
    const sessions = figure(host, "gantt", "Sessions by EVSE", gantt, true);
    return (report, site) => {
      socFigure.hidden = site.capacity_wh <= 0;
      host.classList.toggle("no-battery", socFigure.hidden);
      draw.forEach((chart) => chart(report, site));
      if (!socFigure.hidden) soc(report, site);
      sessions(report, site);
    };
  }

  /** Buttons, one per site; hidden where there is one site only. */
  function sitePicker(host, choose) {
    const nav = make("nav", { class: "sites", "aria-label": "Site" });
    host.append(nav);
    return (report, chosen) => {
      nav.hidden = report.sites.length < 2;
      if (nav.children.length !== report.sites.length) {
        nav.replaceChildren(...report.sites.map((site, i) => {
          const button = make("button", { type: "button" }, site.id);
          button.addEventListener("click", () => choose(i));
          return button;
        }));
      }
      report.sites.forEach((_, i) => nav.children[i].setAttribute("aria-pressed", String(i === chosen)));
    };
  }

  // ---- the page

  function heading(report) {
    const site = report.sites[0];
    const { date, time } = clock(site?.time_zone ?? "UTC");
    const until = report.finished ? "" : ` \u00b7 ${time(report.now)}`;
    return [report.scenario, `${date(report.first * 900)}${until} \u00b7 ${site?.time_zone ?? "UTC"}`];
  }

  function footer(summary) {
    if (!summary) return "Drivers are not named here: a session is told by its id.";
    const balanced = summary.credit_supply === summary.credit_accounted;
    const supply = `Credit supply ${format.credits(summary.credit_supply)}`;
    const accounted = `accounted for ${format.credits(summary.credit_accounted)}`;
    return [
      `${supply}, ${accounted}${balanced ? "" : ": they differ!"}`,
      `flexibility minted ${format.credits(summary.flex_minted)}`,
      `ran in ${format.number(summary.wall_s, 1)} s`, "money in credits",
    ].join(" \u00b7 ");
  }

  /** Builds the page into `root`; the answer shows a report (and, at the end, its summary). */
  function mount(root, { live }) {
    const title = make("h1");
    const when = make("p", { class: "when" });
    const state = make("p", { class: "connection", role: "status", hidden: "" });
    const cardHost = make("section", { class: "cards", "aria-label": "Figures" });
    const chartHost = make("section", { class: "charts", "aria-label": "Charts" });
    const tableHost = make("section", { class: "tables", "aria-label": "Tables" });
    const foot = make("footer");
    root.append(make("header", {}, make("div", {}, title, when), state), cardHost);
    let [report, summary, chosen] = [null, null, 0];
    const pick = sitePicker(root, (index) => ((chosen = index), show()));
    const parts = { cards: cards(cardHost, live), charts: charts(chartHost) };
    root.append(chartHost, tableHost, foot);
    const evses = live ? table(tableHost, "EVSEs", EVSE_COLUMNS) : null;
    const sessions = live ? null : table(tableHost, "Sessions", SESSION_COLUMNS);
    const sites = table(tableHost, "Sites, and the same day uncontrolled", SITE_COLUMNS);
    const plans = table(tableHost, "Plans, and what the chain has verified of them", PLAN_COLUMNS);

    function show() {
      if (!report || report.sites.length === 0) return;
      chosen = Math.min(chosen, report.sites.length - 1);
      const site = report.sites[chosen];
      const [name, words] = heading(report);
      write(title, name);
      write(when, words);
      write(foot, footer(summary));
      pick(report, chosen);
      parts.cards(report);
      parts.charts(report, site);
      evses?.(site.evses.map((evse) => evseRow(report, site, evse)));
      sessions?.(report.sessions.map((session) => sessionRow(report, session)));
      sites(report.sites.map(siteRow));
      plans(site.plans.map((_, at) => planRow(report, site, at)));
      root.dataset.now = report.now;
    }

    let width = 0;
    new ResizeObserver(() => {
      if (chartHost.clientWidth === width) return;
      width = chartHost.clientWidth;
      show();
    }).observe(chartHost);

    return {
      update(newReport, newSummary) {
        [report, summary] = [newReport, newSummary ?? null];
        show();
      },
      /** Says how fresh the page is: `kind` is live, lost or done. */
      connection(kind, words) {
        state.hidden = false;
        setClass(state, `connection ${kind}`);
        write(state, words);
      },
    };
  }

  return { mount };
})();
