"use strict";
// Curves of runs over training steps, drawn with uPlot; several runs share an axis.
(() => {
  const { html, useEffect, useRef } = htmPreact;
  const colours = ["#1f5fa8", "#b3261e", "#2e7d32", "#8e44ad", "#b26a00", "#00838f"];

  const Plot = ({ title, series }) => {
    const place = useRef(null);
    useEffect(() => {
      const steps = [...new Set(series.flatMap(([, points]) => points.map(([step]) => step)))].sort((a, b) => a - b);
      const data = [steps, ...series.map(([, points]) => {
        const values = new Map(points);
        return steps.map((step) => values.has(step) ? values.get(step) : null);
      })];
      const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
      const axis = { stroke: ink, grid: { stroke: "#8884" }, ticks: { stroke: "#8884" } };
      const plot = new uPlot({
        title, width: Math.max(280, place.current.clientWidth), height: 220, scales: { x: { time: false } },
        axes: [axis, { ...axis, size: 60 }],
        series: [{ label: "step" }, ...series.map(([name], number) =>
          ({ label: name, stroke: colours[number % colours.length], width: 1.5, spanGaps: true }))],
      }, data, place.current);
      return () => plot.destroy();
    }, [JSON.stringify(series.map(([name, points]) => [name, points.length, points.at(-1)]))]);
    return html`<div class="plot" ref=${place} role="img" aria-label=${`${title} over training steps`}></div>`;
  };

  vt.Curves = ({ pairs, runs }) => {
    const chosen = pairs.filter(([name]) => name === "run").map(([, value]) => value);
    const shown = chosen.length ? chosen : runs.filter((it) => it.kind !== "eval").map((it) => it.name);
    const { value, problem } = vt.useValue(async () => Promise.all(shown.map(async (run) =>
      [run, await vt.data.curves(run)])), [JSON.stringify(shown)], 5000);
    const names = [...new Set((value || []).flatMap(([, curves]) => Object.keys(curves)))].sort();
    const first = names.filter((name) => /^rollouts|reward|loss$|accuracy|entropy|logp/.test(name));
    const toggle = (run) => vt.go("curves", vt.withValues(pairs, "run",
      shown.includes(run) ? shown.filter((it) => it !== run) : [...shown, run]));
    const draw = (name) => html`<${Plot} key=${name + shown.join()} title=${name} series=${value.map(([run, curves]) =>
      [run, curves[name] || []]).filter(([, points]) => points.length)} />`;
    return html`<main><h1>Curves</h1><fieldset class="runs"><legend>Runs</legend>${runs.map((it) => html`<label
      key=${it.name}><input type="checkbox" checked=${shown.includes(it.name)} onChange=${() => toggle(it.name)} />
      ${it.name} <small>${it.kind}</small></label>`)}</fieldset><${vt.Problem} text=${problem} />
      ${value && !names.length ? html`<p>These runs have no values over training steps.</p>` : null}
      <div class="plots">${first.map(draw)}</div>
      ${names.length > first.length ? html`<details><summary>all ${names.length} curves</summary><div class="plots">
        ${names.filter((name) => !first.includes(name)).map(draw)}</div></details>` : null}</main>`;
  };
})();
