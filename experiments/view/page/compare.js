"use strict";
// Two attempts side by side, and the table of the questions that two runs share.
(() => {
  const { html } = htmPreact;

  const Side = ({ id }) => {
    const { value, problem } = vt.useValue(() => vt.data.episode(id), [id]);
    if (!value) return html`<section><${vt.Problem} text=${problem} /></section>`;
    return html`<section aria-label=${value.row.policy}><p class="line"><${vt.Outcome} value=${value.row.outcome} />
      <${vt.Link} to="episode" pairs=${[["id", id]]}>${value.row.policy}, ${value.row.run}<//>
      <span>${value.row.calls} calls, ${value.row.frames} frames</span></p>
      ${value.episode ? html`<${vt.EpisodeBody} id=${id} episode=${value.episode} divergences=${value.divergences} />` :
        html`<p>${value.row.problem}</p>`}
      </section>`;
  };

  vt.Compare = ({ pairs }) => html`<main class="sides">
    <${Side} id=${Number(vt.valueOf(pairs, "a", "0"))} /><${Side} id=${Number(vt.valueOf(pairs, "b", "0"))} /></main>`;

  const Choice = ({ name, title, runs, pairs }) => html`<label>${title} <select value=${vt.valueOf(pairs, name)}
    onChange=${(event) => vt.go("pairs", vt.withValues(pairs, name, [event.target.value]))}>
    <option value="">choose a run</option>${runs.filter((it) => it.has_journal).map((it) => html`
      <option key=${it.name} value=${it.name}>${it.name}</option>`)}</select></label>`;

  vt.Pairs = ({ pairs, runs }) => {
    const a = vt.valueOf(pairs, "a"), b = vt.valueOf(pairs, "b"), verdict = vt.valueOf(pairs, "verdict");
    const { value, problem } = vt.useValue(async () => a && b ? vt.data.pairs(a, b) : { rows: [], counts: {} }, [a, b]);
    const shown = value || { rows: [], counts: {} };
    const rows = shown.rows.filter((row) => !verdict || row.verdict === verdict).slice(0, 1000);
    return html`<main><h1>Two runs, question by question</h1><p class="choices">
      <${Choice} name="a" title="a" runs=${runs} pairs=${pairs} /> <${Choice} name="b" title="b" runs=${runs} pairs=${pairs} />
      </p><${vt.Problem} text=${problem} /><p role="group" aria-label="Who was right">${Object.entries(shown.counts).map(
        ([name, count]) => html`<button key=${name} type="button" aria-pressed=${verdict === name} onClick=${() =>
          vt.go("pairs", vt.withValues(pairs, "verdict", verdict === name ? [] : [name]))}>${name}: ${count}</button> `)}</p>
      ${a && b && value && !shown.rows.length ? html`<p>The two share no question${vt.data.isLive ? "" :
        ", or none was exported"}.</p>` : null}
      <div class="scroll"><table><thead><tr><th scope="col">Right</th><th scope="col">Question</th><th scope="col">Family</th>
      <th scope="col">Answer of a</th><th scope="col">Answer of b</th><th scope="col">Calls</th></tr></thead><tbody>
      ${rows.map((row) => html`<tr key=${`${row.task_id} ${row.sample}`}><td>${row.verdict}</td>
        <td class="question"><${vt.Link} to="compare" pairs=${[["a", row.id_a], ["b", row.id_b]]}>${row.question}<//></td>
        <td>${row.family}</td><td>${row.answer_a}</td><td>${row.answer_b}</td><td class="n">${row.calls_a}, ${row.calls_b}</td>
        </tr>`)}</tbody></table></div></main>`;
  };
})();
