"use strict";
// Plots of runs, drawn with uPlot from the numbers that `vt-env report` draws its files from.
(() => {
  const { html, useEffect, useRef } = htmPreact;
  const palette = ["#1f6fb4", "#d1661f", "#3a8f4d", "#8a5bb5", "#a8323e", "#6b6b6b", "#c2a000", "#2aa5a5"];
  const titles = { cost: "Accuracy against cost", calibration: "Calibration", training: "Training" };

  // Plots with more series have one legend for all plots of their group.
  const legendMost = 3;

  /** Series of one policy share a colour, also over several plots. */
  let policies = [];
  const colourOf = (it) => {
    if (!policies.includes(it.policy)) policies.push(it.policy);
    return palette[policies.indexOf(it.policy) % palette.length];
  };

  /** Series to draw: runs over training seeds as their mean, or each by itself. */
  const shownSeries = (plot, chosen, isApart) => {
    const there = plot.series.filter((it) => it.runs.every((run) => chosen.includes(run)));
    const joined = new Set(there.map((it) => it.part_of).filter((name) => there.some((it) => it.name === name && !it.part_of)));
    return there.filter((it) => isApart ? !joined.has(it.name) || it.part_of : !joined.has(it.part_of));
  };

  /** Draw intervals behind the lines: a band, or a bar at each point. */
  const drawIntervals = (plot, series) => {
    const { ctx } = plot;
    const at = (x, y) => [plot.valToPos(x, "x", true), plot.valToPos(y, "y", true)];
    ctx.save();
    ctx.beginPath();
    ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
    ctx.clip();
    series.forEach((it, number) => {
      if (!it.low.length || !plot.series[number + 1].show) return;
      ctx.beginPath();
      if (it.form === "points") {
        it.x.forEach((x, place) => { ctx.moveTo(...at(x, it.low[place])); ctx.lineTo(...at(x, it.high[place])); });
        ctx.strokeStyle = colourOf(it);
        ctx.lineWidth = 1.5 * devicePixelRatio;
        ctx.stroke();
        return;
      }
      const edge = (values) => it.x.flatMap((x, place) => it.form === "step" && place ?
        [[x, values[place - 1]], [x, values[place]]] : [[x, values[place]]]);
      [...edge(it.high), ...edge(it.low).reverse()].forEach(([x, y], place) =>
        place ? ctx.lineTo(...at(x, y)) : ctx.moveTo(...at(x, y)));
      ctx.fillStyle = `${colourOf(it)}26`;
      ctx.fill();
    });
    ctx.restore();
  };

  const tick = (value) => value !== 0 && Math.abs(value) < 0.01 ? value.toExponential(1) : String(+value.toPrecision(4));

  const axisOf = () => ({ stroke: getComputedStyle(document.documentElement).getPropertyValue("--ink"),
    grid: { stroke: "#8884" }, ticks: { stroke: "#8884" } });

  const rangeOf = (plot, series) => (own, low, high) => {
    if (plot.group !== "training") return [-0.03, 1.03];
    const bounds = series.filter((_, number) => own.series[number + 1].show).flatMap((it) => [...it.low, ...it.high]);
    const all = [low, high, ...bounds].filter((it) => it !== null);
    return all.length ? uPlot.rangeNum(Math.min(...all), Math.max(...all), 0.1, true) : [0, 1];
  };

  const Numbers = ({ plot, series }) => html`<details><summary>numbers</summary><div class="scroll"><table><thead><tr>
    <th scope="col">series</th><th scope="col">${plot.x_label}</th><th scope="col">value</th><th scope="col">95 %</th>
    <th scope="col">n</th></tr></thead><tbody>${series.flatMap((it) => it.x.map((x, place) => [it, x, place])).slice(-400).map(
      ([it, x, place]) => html`<tr key=${`${it.name} ${place}`}><td>${it.name}</td><td class="n">${vt.number(x)}</td>
      <td class="n">${vt.number(it.y[place], 4)}</td><td class="n">${it.low.length ?
        `${vt.number(it.low[place], 4)} to ${vt.number(it.high[place], 4)}` : ""}</td><td class="n">${it.n[place] ?? ""}</td></tr>`)}
    </tbody></table></div></details>`;

  const Plot = ({ plot, series }) => {
    const place = useRef(null);
    useEffect(() => {
      const xs = [...new Set(series.flatMap((it) => it.x))].sort((a, b) => a - b);
      const data = [xs, ...series.map((it) => {
        const values = new Map(it.x.map((x, number) => [x, it.y[number]]));
        return xs.map((x) => values.has(x) ? values.get(x) : null);
      })];
      const own = new uPlot({
        title: plot.title, width: Math.max(280, place.current.clientWidth), height: 240,
        scales: { x: { time: false }, y: { range: rangeOf(plot, series) } },
        axes: [{ ...axisOf(), label: plot.x_label, labelSize: 20 }, { ...axisOf(), size: 60, values: (_, ticks) => ticks.map(tick) }],
        legend: { show: series.length <= legendMost },
        hooks: { drawAxes: [(self) => drawIntervals(self, series)] },
        series: [{ label: plot.x_label }, ...series.map((it) => {
          const stroke = colourOf(it);
          return { label: it.name, stroke, width: 1.5, spanGaps: true,
            ...(it.form === "points" ? { paths: () => null, points: { show: true, size: 8, fill: stroke } } : {}),
            ...(it.form === "step" ? { paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } } : {}) };
        })],
      }, data, place.current);
      return () => own.destroy();
    }, [JSON.stringify(series.map((it) => [it.name, it.x.length, it.y.at(-1)]))]);
    return html`<div class="plot"><div ref=${place} role="img" aria-label=${`${plot.title} over ${plot.x_label}`}></div>
      <${Numbers} plot=${plot} series=${series} /></div>`;
  };

  /** One legend for the plots of a group: a policy has one colour in all of them. */
  const Legend = ({ plots }) => {
    const names = [...new Set(plots.flatMap(([, series]) => series.length > legendMost ? series.map((it) => it.policy) : []))];
    return names.length ? html`<ul class="legend">${names.map((name) => html`<li key=${name}><svg width="12" height="12"
      aria-hidden="true"><rect width="12" height="12" fill=${colourOf({ policy: name })} /></svg> ${name}</li>`)}</ul>` : null;
  };

  vt.Curves = ({ pairs, runs }) => {
    const chosen = pairs.filter(([name]) => name === "run").map(([, value]) => value);
    const isApart = vt.valueOf(pairs, "seeds") === "apart";
    const shown = chosen.length ? chosen : runs.map((it) => it.name);
    const { value, problem } = vt.useValue(() => vt.data.plots(shown), [JSON.stringify(shown)], 5000);
    const toggle = (run) => vt.go("curves", vt.withValues(pairs, "run",
      shown.includes(run) ? shown.filter((it) => it !== run) : [...shown, run]));
    const plots = (value || []).map((plot) => [plot, shownSeries(plot, shown, isApart)]).filter(([, series]) => series.length);
    policies = [...new Set(plots.flatMap(([, series]) => series.map((it) => it.policy)))];
    const hasSeeds = (value || []).some((plot) => plot.series.some((it) => it.part_of));
    const draw = ([plot, series]) => html`<${Plot} key=${[plot.title, isApart, ...shown].join()} plot=${plot} series=${series} />`;
    const rest = plots.filter(([plot]) => !plot.is_main);
    return html`<main><h1>Curves</h1><fieldset class="runs"><legend>Runs</legend>${runs.map((it) => html`<label
      key=${it.name}><input type="checkbox" checked=${shown.includes(it.name)} onChange=${() => toggle(it.name)} />
      ${it.name} <small>${it.kind}</small></label>`)}</fieldset>
      ${hasSeeds ? html`<label><input type="checkbox" name="seeds" checked=${isApart} onChange=${() =>
        vt.go("curves", vt.withValues(pairs, "seeds", isApart ? [] : ["apart"]))} /> each training seed by itself</label>` : null}
      <${vt.Problem} text=${problem} />
      ${value && !plots.length ? html`<p>These runs have no values over training steps and no scored episode.</p>` : null}
      ${Object.entries(titles).map(([group, title]) => {
        const own = plots.filter(([plot]) => plot.group === group && plot.is_main);
        return own.length ? html`<section key=${group}><h2>${title}</h2>
          ${group === "cost" ? html`<p><small>Lines: accuracy under a limit. Dots: whole runs at their mean use. Bands and bars:
            95 % interval over videos.</small></p>` : null}<${Legend} plots=${own} /><div class="plots">${own.map(draw)}</div></section>` : null;
      })}
      ${rest.length ? html`<details><summary>${rest.length} more values of training</summary><div class="plots">
        ${rest.map(draw)}</div></details>` : null}</main>`;
  };
})();
