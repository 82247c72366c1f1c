// Draws the charts of a page from the data in it, at the width there is.
(() => {
  const isDark = () => getComputedStyle(document.documentElement).getPropertyValue("--is-dark").trim() === "1";
  const accent = "var(--accent)", faint = "var(--line)";
  const series = ["var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)", "var(--s5)", "var(--s6)"];
  const date = (text) => new Date(text.length === 10 ? `${text}T00:00:00Z` : `${text}Z`);
  const month = d3.utcFormat("%b %Y"), hour = d3.utcFormat("%d %b %H:%M");
  const short = (value) => d3.format(Math.abs(value) >= 1000 ? ".3~s" : ".3~f")(value).replace("G", "bn");
  const say = (unit) => (value) => unit === "share" ? d3.format(".1%")(value)
    : unit === "BRL" ? `BRL ${d3.format(",.0f")(value)}` : `${d3.format(",.3~f")(value)} ${unit}`;
  const tick = (unit) => unit === "share" ? d3.format(".0%") : short;
  const cellText = (unit) => unit === "share" ? d3.format(".1%") : d3.format(".2~s");
  const hourly = (rows) => rows.length > 1 && rows[0].x.length > 10;
  const when = (rows) => hourly(rows) ? hour : month;

  // Plot writes a style sheet into each drawing; under a strict policy site.css has the same.
  const base = (box, more) => ({
    width: Math.max(260, box.clientWidth), height: 260, marginLeft: 48, marginRight: 14, marginBottom: 40,
    className: "plot", style: { background: "none", color: "var(--dim)", fontSize: "12px", overflow: "visible" }, ...more,
  });
  const time = (box, rows) => ({ type: "utc", label: null, tickSize: 0, nice: false, ticks: box.clientWidth < 400 ? 4 : 6,
    ...(rows.length && rows.at(-1).x - rows[0].x < 20 * 864e5 ? { tickFormat: d3.utcFormat("%H:%M\n%d %b") } : {}),
    domain: rows.length ? d3.extent(rows, (r) => r.x) : undefined });

  // A few months are not drawn as wide as the page, nor with days below them.
  const months = (box, rows) => {
    const [first, last] = d3.extent(rows, (r) => r.x), few = d3.utcMonth.count(first, last) < 6;
    return { type: "utc", label: null, tickSize: 0, ticks: few ? "month" : box.clientWidth < 400 ? 4 : 6,
      ...(few ? { domain: [first, d3.utcMonth.offset(first, 7)] } : {}) };
  };

  const draw = {
    figure(box, { rows }) {
      const points = rows.map((r) => ({ x: date(r.x), y: r.y }));
      return Plot.plot({ width: Math.max(120, box.clientWidth), height: 44, margin: 2, axis: null,
        className: "plot", style: { background: "none" },
        x: { type: "utc" }, y: { domain: [Math.min(0, d3.min(points, (p) => p.y)), d3.max(points, (p) => p.y) || 1] },
        marks: [
          Plot.areaY(points, { x: "x", y: "y", fill: accent, fillOpacity: 0.14, curve: "monotone-x" }),
          Plot.lineY(points, { x: "x", y: "y", stroke: accent, strokeWidth: 1.75, curve: "monotone-x" }),
          ...(points.length === 1 ? [Plot.dot(points, { x: "x", y: "y", fill: accent, r: 3 })] : []),
        ] });
    },
    bars(box, { rows, unit }) {
      const bars = rows.map((r) => ({ x: date(r.x), y: r.y }));
      return Plot.plot(base(box, {
        x: months(box, bars),
        y: { label: null, tickFormat: tick(unit), ticks: 5, tickSize: 0, grid: true },
        marks: [
          Plot.rectY(bars, { x: "x", y: "y", interval: "month", fill: accent, rx: 2, insetLeft: 1, insetRight: 1, inset: 0,
            title: (r) => `${month(r.x)}\n${say(unit)(r.y)}`, tip: true }),
          Plot.ruleY([0], { stroke: faint }),
        ] }));
    },
    line(box, { rows, unit }) {
      const points = rows.map((r) => ({ x: date(r.x), y: r.y }));
      const low = unit === "share" ? 0 : undefined;
      return Plot.plot(base(box, {
        x: time(box, points),
        y: { label: null, tickFormat: tick(unit), ticks: 5, tickSize: 0, grid: true, zero: low === 0, nice: true },
        marks: [
          ...(low === 0 ? [Plot.areaY(points, { x: "x", y: "y", fill: accent, fillOpacity: 0.1, curve: "monotone-x" })] : []),
          Plot.lineY(points, { x: "x", y: "y", stroke: accent, strokeWidth: 2, curve: "monotone-x" }),
          Plot.dot(points, { x: "x", y: "y", fill: accent, r: 2.5 }),
          Plot.tip(points, Plot.pointerX({ x: "x", y: "y", title: (r) => `${when(rows)(r.x)}\n${say(unit)(r.y)}` })),
        ] }));
    },
    shares(box, { rows, unit }) {
      const points = rows.map((r) => ({ x: date(r.x), y: r.y, series: r.series }));
      const names = d3.groupSort(points, (g) => -d3.sum(g, (r) => r.y), (r) => r.series);
      return Plot.plot(base(box, {
        x: months(box, points),
        y: { label: null, tickFormat: tick(unit), ticks: 5, tickSize: 0, domain: [0, 1] },
        color: { domain: names, range: series, legend: true },
        marks: [Plot.rectY(points, Plot.stackY({ order: names, x: "x", y: "y", fill: "series", interval: "month",
          insetLeft: 1, insetRight: 1, title: (r) => `${r.series}, ${month(r.x)}\n${say(unit)(r.y)}`, tip: true }))],
      }));
    },
    funnel(box, { rows, unit }) {
      const first = rows[0].y || 1;
      return Plot.plot(base(box, {
        height: 44 * rows.length + 12, marginLeft: 92, marginRight: 104, marginBottom: 6, marginTop: 6,
        x: { axis: null, domain: [0, first] }, y: { label: null, tickSize: 0, domain: rows.map((r) => r.x) },
        marks: [
          Plot.barX(rows, { x: first, y: "x", fill: accent, fillOpacity: 0.09, rx: 4, inset: 4 }),
          Plot.barX(rows, { x: "y", y: "x", fill: accent, rx: 4, inset: 4, title: (r) => `${r.x}\n${say(unit)(r.y)}`, tip: true }),
          Plot.text(rows, { x: first, y: "x", text: (r) => `${short(r.y)} · ${d3.format(".1%")(r.y / first)}`,
            textAnchor: "start", dx: 8, fill: "var(--ink)" }),
        ] }));
    },
    heatmap(box, { rows, unit, axes }) {
      const columns = [...new Set(rows.map((r) => r.x))], lines = [...new Set(rows.map((r) => r.y))];
      const longest = d3.max(lines, (l) => String(l).length);
      const wide = box.clientWidth > 480, most = d3.max(rows, (r) => r.value) || 1;
      return Plot.plot(base(box, {
        height: 24 * lines.length + 56, marginLeft: wide ? Math.min(190, 7 * longest + 16) : Math.min(108, 6.4 * longest + 12),
        marginTop: 40, marginBottom: 8, padding: 0,
        x: { axis: "top", label: axes[0] || null, labelAnchor: "left", labelArrow: "none", tickSize: 0, domain: columns },
        y: { label: null, tickSize: 0, domain: lines,
             tickFormat: (l) => wide || String(l).length <= 16 ? l : `${String(l).slice(0, 15)}…` },
        color: { type: "sqrt", interpolate: (t) => `color-mix(in oklab, var(--accent) ${Math.round(8 + 92 * t)}%, var(--card))` },
        marks: [
          Plot.cell(rows, { x: "x", y: "y", fill: "value", inset: 1, rx: 3,
            title: (r) => `${r.y} · ${axes[0] === "state" ? r.x : `${r.x} ${axes[0] || ""}`}\n${say(unit)(r.value)}`, tip: true }),
          // Told in the cell too, where there is room, in the colour that stands out from it.
          ...(wide ? [Plot.text(rows.filter((r) => r.value > 0), { x: "x", y: "y", text: (r) => cellText(unit)(r.value), fontSize: 10,
            fill: (r) => Math.sqrt(r.value / most) > (isDark() ? 0.72 : 0.8) ? "var(--card)" : "var(--ink)", pointerEvents: "none" })] : []),
        ] }));
    },
    interval(box, { rows, unit }) {
      const points = rows.map((r) => ({ ...r, x: date(r.x) }));
      return Plot.plot(base(box, {
        x: time(box, points),
        y: { label: null, tickFormat: tick(unit), ticks: 5, tickSize: 0, grid: true, nice: true },
        marks: [
          Plot.areaY(points, { x: "x", y1: "low", y2: "high", fill: accent, fillOpacity: 0.16 }),
          Plot.lineY(points, { x: "x", y: "y", stroke: accent, strokeWidth: 2 }),
          Plot.tip(points, Plot.pointerX({ x: "x", y: "y",
            title: (r) => `${hour(r.x)}\n${say(unit)(r.y)} (${say(unit)(r.low)} to ${say(unit)(r.high)})` })),
        ] }));
    },
  };

  const all = () => {
    for (const box of document.querySelectorAll("[data-chart]")) {
      const data = document.getElementById(`data-${box.dataset.chart}`);
      const drawn = `${box.clientWidth} ${isDark()}`;
      if (!data || box.dataset.drawn === drawn) continue;
      box.dataset.drawn = drawn;
      const chart = JSON.parse(data.textContent);
      box.replaceChildren(draw[chart.kind](box, chart));
    }
  };
  all();
  addEventListener("resize", all);
  onScheme(all);
})();
