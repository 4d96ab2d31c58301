"use strict";
// The list of episodes: filters with counts, search, sorting, pages.
(() => {
  const { html, useState, useEffect } = htmPreact;
  const facets = [["run", "Run"], ["policy", "Policy"], ["family", "Family"], ["outcome", "Outcome"],
    ["status", "Status"], ["tag", "Tag"]];
  const ranges = [["calls", "Calls"], ["failed", "Failed actions"], ["frames", "Frames"], ["reward", "Reward"],
    ["step", "Training step"], ["tokens", "Tokens written"]];
  const columns = [["outcome", "Outcome"], ["policy", "Policy"], ["task_id", "Question"], ["family", "Family"],
    ["status", "Status"], ["calls", "Calls"], ["failed", "Failed"], ["frames", "Frames"], ["reward", "Reward"],
    ["step", "Step"], ["wall_s", "Seconds"]];

  const Facet = ({ name, title, counts, pairs }) => {
    const chosen = pairs.filter(([key]) => key === name).map(([, value]) => value);
    const values = [...new Set([...Object.keys(counts || {}), ...chosen])].filter((it) => it !== "null");
    if (values.length < 2 && !chosen.length) return null;
    const toggle = (value) => vt.go("episodes", vt.withValues(pairs, name,
      chosen.includes(value) ? chosen.filter((it) => it !== value) : [...chosen, value]));
    return html`<fieldset><legend>${title}</legend>${values.map((value) => html`
      <label key=${value}><input type="checkbox" name=${name} value=${value} checked=${chosen.includes(value)}
        onChange=${() => toggle(value)} /> ${value || "(none)"} <small>${(counts || {})[value] || 0}</small></label>`)}
    </fieldset>`;
  };

  const Range = ({ name, title, pairs }) => {
    const set = (end) => (event) =>
      vt.go("episodes", vt.withValues(pairs, `${name}_${end}`, event.target.value === "" ? [] : [event.target.value]));
    return html`<div class="range"><span>${title}</span>${["min", "max"].map((end) => html`
      <input key=${end} type="number" step="any" placeholder=${end} aria-label=${`${title}, ${end}`}
        value=${vt.valueOf(pairs, `${name}_${end}`)} onChange=${set(end)} />`)}</div>`;
  };

  const Search = ({ pairs }) => {
    const given = vt.valueOf(pairs, "words");
    const [text, setText] = useState(given);
    useEffect(() => setText(given), [given]);
    useEffect(() => {
      if (text === given) return undefined;
      const timer = setTimeout(() => vt.go("episodes", vt.withValues(pairs, "words", text ? [text] : [])), 150);
      return () => clearTimeout(timer);
    }, [text]);
    return html`<input type="search" placeholder="Search questions and replies" aria-label="Search questions and replies"
      value=${text} onInput=${(event) => setText(event.target.value)} />`;
  };

  const Head = ({ pairs }) => {
    const sort = vt.valueOf(pairs, "sort", "id");
    return html`<tr>${columns.map(([name, title]) => {
      const isOwn = sort.replace(/^-/, "") === name, falls = sort.startsWith("-");
      const next = isOwn && !falls ? `-${name}` : name;
      return html`<th key=${name} scope="col" aria-sort=${isOwn ? (falls ? "descending" : "ascending") : "none"}>
        <button type="button" onClick=${() => vt.go("episodes", vt.withValues(pairs, "sort", [next]))}>${title}
        <span aria-hidden="true">${isOwn ? (falls ? " ↓" : " ↑") : ""}</span></button></th>`;
    })}<th scope="col">Tags</th></tr>`;
  };

  const Row = ({ row, pairs }) => html`<tr onClick=${(event) => {
    if (event.target.tagName !== "A") vt.go("episode", [["id", row.id], ...pairs]);
  }}>
    <td><${vt.Outcome} value=${row.outcome} /></td><td>${row.policy || row.run}</td>
    <td class="question"><a href=${vt.address("episode", [["id", row.id], ...pairs])}>${row.question || row.problem}</a>
      <small>${row.task_id}${row.sample ? ` · attempt ${row.sample}` : ""}</small></td>
    <td>${row.family}</td><td>${row.status}</td><td class="n">${row.calls}</td>
    <td class=${row.failed ? "n bad" : "n"}>${row.failed}</td><td class="n">${row.frames}</td>
    <td class="n">${vt.number(row.reward)}</td><td class="n">${vt.number(row.step)}</td>
    <td class="n">${vt.number(row.wall_s, 1)}</td><td><${vt.Tags} tags=${row.tags} /></td></tr>`;

  const Pages = ({ total, pairs }) => {
    const size = Number(vt.valueOf(pairs, "size", "100")), page = Number(vt.valueOf(pairs, "page", "0"));
    const last = Math.max(0, Math.ceil(total / size) - 1);
    const to = (number) => vt.go("episodes", [...pairs.filter(([key]) => key !== "page"), ["page", String(number)]]);
    return html`<nav class="pages" aria-label="Pages">
      <button type="button" disabled=${page <= 0} onClick=${() => to(page - 1)}>Previous</button>
      <span>page ${page + 1} of ${last + 1}</span>
      <button type="button" disabled=${page >= last} onClick=${() => to(page + 1)}>Next</button></nav>`;
  };

  vt.List = ({ pairs }) => {
    const key = JSON.stringify(pairs);
    const { value, problem } = vt.useValue(() => vt.data.episodes(pairs), [key], 3000);
    const shown = value || { total: 0, rows: [], facets: {} };
    return html`<div class="list"><aside aria-label="Filters"><${Search} pairs=${pairs} />
      ${pairs.length ? html`<a class="clear" href="#/episodes">Clear all filters</a>` : null}
      ${facets.map(([name, title]) => html`<${Facet} key=${name} name=${name} title=${title}
        counts=${shown.facets[name]} pairs=${pairs} />`)}
      <fieldset><legend>From, to</legend>${ranges.map(([name, title]) => html`<${Range} key=${name} name=${name}
        title=${title} pairs=${pairs} />`)}</fieldset></aside>
      <main><vt-count role="status">${value ? `${shown.total.toLocaleString("en")} episodes${shown.read < 0.999 ?
        `, ${Math.floor(100 * shown.read)} % of the journals read` : ""}` : "Reading …"}
      ${vt.data.isLive ? html` <${vt.Link} to="label" pairs=${pairs.filter(([name]) => !["sort", "page", "size",
        "untagged"].includes(name))}>label these<//>` : null}</vt-count>
      <${vt.Problem} text=${problem} />
      ${(shown.torn || []).map((run) => html`<p class="problem" key=${run}>The last line of ${run} is half-written.</p>`)}
      <div class="scroll"><table class="episodes"><thead><${Head} pairs=${pairs} /></thead>
      <tbody>${shown.rows.map((row) => html`<${Row} key=${row.id} row=${row} pairs=${pairs} />`)}</tbody></table></div>
      <${Pages} total=${shown.total} pairs=${pairs} /></main></div>`;
  };
})();
