"use strict";
// One episode: the question, the bar of the video, every turn with its pictures, rewards, tags.
(() => {
  const { html, useState, useEffect, useRef } = htmPreact;

  const Picture = ({ id, frame, onOpen }) => {
    const [problem, setProblem] = useState(false);
    const label = `${frame.box ? "part of the frame" : "frame"} at ${vt.time(frame.time_s)}`;
    if (problem) return html`<figure class="gone"><div>picture not there</div><figcaption>${vt.time(frame.time_s)}
      </figcaption></figure>`;
    return html`<figure><button type="button" onClick=${() => onOpen(frame)} aria-label=${`enlarge ${label}`}>
      <img src=${vt.data.picture(id, frame, "seen")} alt=${label} loading="lazy"
        onError=${() => setProblem(true)} /></button>
      <figcaption>${vt.time(frame.time_s)}${frame.box ? " · part" : ""}</figcaption></figure>`;
  };

  const percent = (value) => `${100 * value}%`;

  vt.Enlarged = ({ id, frame, onClose }) => {
    const [isWhole, setWhole] = useState(vt.data.isLive || Boolean(frame.whole));
    const dialog = useRef(null);
    useEffect(() => { dialog.current.showModal(); }, []);
    const [left, top, right, bottom] = frame.box || [0, 0, 0, 0];
    return html`<dialog ref=${dialog} onClose=${onClose} onClick=${(event) => event.target === dialog.current && onClose()}
      aria-label="Enlarged picture"><div class="enlarged">
      <img src=${vt.data.picture(id, frame, isWhole ? "whole" : "seen")} alt=${`at ${vt.time(frame.time_s)}`}
        onError=${() => isWhole && setWhole(false)} />
      ${isWhole && frame.box ? html`<div class="box" style=${{ left: percent(left), top: percent(top),
        width: percent(right - left), height: percent(bottom - top) }}></div>` : null}</div>
      <p>${isWhole ? "whole frame" : "as the policy saw it"}, ${vt.time(frame.time_s)}</p>
      <p class="line">${vt.data.isLive || frame.whole ? html`<button type="button" onClick=${() => setWhole(!isWhole)}>
        ${isWhole ? "as seen" : "whole frame"}</button>` : null}
      <button type="button" onClick=${onClose}>close</button></p></dialog>`;
  };

  const call = (it) => `${it.name}(${Object.entries(it.arguments).map(([name, value]) =>
    `${name}=${JSON.stringify(value)}`).join(", ")})`;

  const Numbers = ({ reply }) => {
    if (!reply) return null;
    const parts = [["read", reply.prompt_tokens], ["of images", reply.image_tokens], ["wrote", reply.completion_tokens],
      ["seconds", reply.latency_s], ["mean log-probability", reply.mean_logprob],
      ["of the answer", reply.answer_logprob]].filter(([, value]) => value !== null && value !== undefined);
    const ended = reply.ended === "stop" ? "" : `ended: ${reply.ended}`;
    return html`<p class="numbers">${parts.map(([name, value]) => `${name} ${vt.number(value, 3)}`).join(" · ")}
      ${ended ? html` <strong>${ended}</strong>` : null}</p>`;
  };

  const Gate = ({ gate }) => gate ? html`<p class="numbers">direct answer from ${gate.route} frames:
    “${gate.text}”, confidence ${vt.number(gate.confidence, 3)} against ${vt.number(gate.tau, 3)}:
    ${gate.accepted ? "given" : "turned down"}</p>` : null;

  const Divergences = ({ found }) => found.map((it, place) => html`<p class="error" key=${place}>differs from the captions
    (${it.kind}): expected ${it.expected}; got ${it.got}</p>`);

  vt.Turn = ({ id, turn, number, divergences, onOpen }) => html`<article class=${turn.error ? "turn bad" : "turn"}
    id=${`turn-${number}`} aria-label=${`Turn ${number + 1}`}><h3>${number + 1}</h3><div>
    <${Gate} gate=${turn.gate} />
    ${turn.thought ? html`<p class="thought">${turn.thought}</p>` : null}
    ${turn.call ? html`<p class="call"><code>${call(turn.call)}</code></p>` :
      html`<p class="call"><code>${turn.text}</code></p>`}
    ${turn.form || turn.continues ? html`<p class="numbers">${[turn.continues && "the same reply as above",
      turn.form && `read as ${turn.form}`].filter(Boolean).join(" · ")}</p>` : null}
    ${turn.error ? html`<p class="error">${turn.error}</p>` : null}
    <${Divergences} found=${(divergences || []).filter((it) => it.turn_idx === number)} />
    <pre class="observation">${turn.observation}</pre>
    ${turn.frames.length ? html`<div class="pictures">${turn.frames.map((frame) => html`<${Picture} key=${frame.number}
      id=${id} frame=${frame} onOpen=${onOpen} />`)}</div>` : null}
    <${Numbers} reply=${turn.reply} />
    ${turn.call && turn.text ? html`<details><summary>reply as written</summary><pre>${turn.text}</pre></details>` : null}
    </div></article>`;

  const Options = ({ episode, optionIdx }) => html`<ol class="options" type="A">${episode.options.map((option, place) =>
    html`<li key=${place} class=${place === optionIdx ? "key" : ""}>${option}
      ${place === optionIdx ? html` <strong>(right)</strong>` : null}</li>`)}</ol>`;

  const TagEditor = ({ id, row, classes, onChange }) => {
    const [word, setWord] = useState("");
    if (!vt.data.isLive) return html`<p><${vt.Tags} tags=${row.tags} /></p>`;
    const write = (tags) => vt.data.tag(id, tags).then((value) => onChange(value.tags, ""),
      (reason) => onChange(null, reason.message));
    const toggle = (tag) => write(row.tags.includes(tag) ? row.tags.filter((it) => it !== tag) : [...row.tags, tag]);
    const all = [...new Set([...Object.keys(classes), ...row.tags])];
    return html`<fieldset class="tags"><legend>Tags <small>keys 1 to 9</small></legend>${all.map((tag, place) => html`
      <button key=${tag} type="button" class="tag" aria-pressed=${row.tags.includes(tag)} title=${classes[tag] || ""}
        onClick=${() => toggle(tag)}>${place < 9 ? `${place + 1} ` : ""}${tag}</button>`)}
      <form onSubmit=${(event) => { event.preventDefault(); if (word) { write([...row.tags, word]); setWord(""); } }}>
      <input aria-label="A tag of your own" placeholder="a tag of your own" maxlength="40" value=${word}
        onInput=${(event) => setWord(event.target.value)} /></form></fieldset>`;
  };

  const Others = ({ id, others, pairs }) => others.length ? html`<section><h2>Other attempts at this question</h2>
    <ul class="others">${others.map((it) => html`<li key=${it.id} class="line"><${vt.Outcome} value=${it.outcome} />
      <${vt.Link} to="episode" pairs=${[["id", it.id], ...pairs]}>${it.policy || it.run}${it.step !== null ?
        `, step ${it.step}` : ""}, attempt ${it.sample}<//> <span>${it.calls} calls</span>
      <${vt.Link} to="compare" pairs=${[["a", id], ["b", it.id]]} label="side by side with this attempt">side by side<//>
      </li>`)}</ul></section>` : null;

  const Facts = ({ episode, budget }) => {
    const facts = [["Policy", episode.policy], ["Video", episode.video], ["Length", vt.time(episode.duration_s)],
      ["Answer", episode.answer], ["Stop", episode.stop || episode.limit], ["Reward", vt.number(episode.reward, 3)],
      ...Object.entries(episode.reward_terms).map(([name, value]) => [`· ${name}`, vt.number(value, 3)]),
      ["Budget", typeof budget === "string" ? budget : ""],
      ["Left", [`${episode.remaining.calls} calls`, `${episode.remaining.frames} frames`,
        ...(episode.remaining.image_tokens === undefined ? [] : [`${episode.remaining.image_tokens} image tokens`])].join(", ")],
      ["Image tokens", episode.image_tokens], ["Prompts", episode.prompts],
      ["Seconds", vt.number(episode.wall_s, 1)]];
    return html`<dl class="facts">${facts.filter(([, value]) => value).map(([name, value]) => html`
      <div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
  };

  const Film = ({ id, atS, film }) => {
    const [isShown, setShown] = useState(false);
    useEffect(() => { if (film.current && atS !== null) film.current.currentTime = atS; }, [atS, isShown]);
    if (!vt.data.isLive) return null;
    return isShown ? html`<video ref=${film} src=${vt.data.video(id)} controls></video>` :
      html`<button type="button" onClick=${() => setShown(true)}>Play the video</button>`;
  };

  vt.EpisodeBody = ({ id, episode, evidence, optionIdx, divergences }) => {
    const [open, setOpen] = useState(null);
    const [atS, setAt] = useState(null);
    const film = useRef(null);
    const seek = (mark) => {
      setAt(mark.span[0]);
      if (mark.turn !== undefined) document.getElementById(`turn-${mark.turn}`)?.scrollIntoView({ block: "center" });
    };
    return html`<h1>${episode.question}</h1><${Options} episode=${episode} optionIdx=${optionIdx} />
      <${vt.Timeline} episode=${episode} evidence=${evidence} onSeek=${seek} /><${Film} id=${id} atS=${atS} film=${film} />
      ${episode.invalid ? html`<p class="problem">${episode.invalid}</p>` : null}
      ${episode.prompt_frames.length ? html`<div class="pictures">${episode.prompt_frames.map((frame) => html`
        <${Picture} key=${frame.number} id=${id} frame=${frame} onOpen=${setOpen} />`)}</div>` : null}
      <details><summary>first observation</summary><pre>${episode.prompt_text}</pre></details>
      ${episode.turns.map((turn, number) => html`<${vt.Turn} key=${number} id=${id} turn=${turn} number=${number}
        divergences=${divergences} onOpen=${setOpen} />`)}
      ${open ? html`<${vt.Enlarged} id=${id} frame=${open} onClose=${() => setOpen(null)} />` : null}`;
  };

  /** The first untagged episode behind an id, none if all are tagged; and how many untagged ones there are at all. */
  const nextUntagged = async (pairs, after) => {
    const own = ["untagged", "sort", "page", "size", "id_min"];
    const filters = [...pairs.filter(([name]) => !own.includes(name)), ["untagged", "1"]];
    const { rows } = await vt.data.episodes([...filters, ["id_min", String(after + 1)], ["size", "1000"]]);
    // A damaged line has no task, so that it cannot be tagged.
    const next = rows.find((it) => it.task_id);
    const total = next ? 0 : (await vt.data.episodes([...filters, ["size", "1000"]])).rows.filter((it) => it.task_id).length;
    return { next, total };
  };

  const goOn = async (pairs, after) => {
    const { next } = await nextUntagged(pairs, after);
    if (next) vt.go("episode", [["id", next.id], ["label", "1"], ...pairs]);
    else vt.go("label", [["after", after], ...pairs]);
  };

  /** Opens the first untagged episode; says so when none is left. */
  vt.Label = ({ pairs }) => {
    const after = Number(vt.valueOf(pairs, "after", "0"));
    const rest = pairs.filter(([name]) => name !== "after");
    const { value, problem } = vt.useValue(() => nextUntagged(rest, after), [JSON.stringify(pairs)]);
    useEffect(() => { if (value?.next) vt.go("episode", [["id", value.next.id], ["label", "1"], ...rest]); }, [value]);
    if (!value || value.next) return html`<main><${vt.Problem} text=${problem} /></main>`;
    return html`<main><h1>${value.total ? `${value.total} episodes were passed over` : "All episodes are tagged"}</h1>
      <p>${value.total ? html`<${vt.Link} to="label" pairs=${rest}>Go through them again<//>` : null}
      <${vt.Link} to="episodes" pairs=${rest}>Back to the list<//></p></main>`;
  };

  const step = async (pairs, id, by) => {
    const { rows } = await vt.data.episodes(pairs);
    const next = rows[rows.findIndex((it) => it.id === id) + by];
    if (next) vt.go("episode", [["id", next.id], ...pairs]);
  };

  /** Move with j and k (through the list, or through untagged episodes), and set tags with 1 to 9. */
  const useKeys = (pairs, id, row, classes, setTags, isLabel) => useEffect(() => {
    const onKey = async (event) => {
      if (event.target.closest("input, textarea, select, button, a") && event.key === "Enter") return;
      if (event.target.closest("input, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isLabel && (event.key === "j" || event.key === "Enter")) await goOn(pairs, id);
      else if (isLabel && event.key === "k") history.back();
      else if (event.key === "j" || event.key === "k") await step(pairs, id, event.key === "j" ? 1 : -1);
      else if (/^[1-9]$/.test(event.key) && row && vt.data.isLive) {
        const all = [...new Set([...Object.keys(classes), ...row.tags])], tag = all[Number(event.key) - 1];
        if (!tag) return;
        const tags = row.tags.includes(tag) ? row.tags.filter((it) => it !== tag) : [...row.tags, tag];
        const value = await vt.data.tag(id, tags);
        setTags(value.tags);
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });

  vt.Episode = ({ pairs, classes }) => {
    const id = Number(vt.valueOf(pairs, "id", "0"));
    const isLabel = vt.valueOf(pairs, "label") === "1";
    const rest = pairs.filter(([name]) => name !== "id" && name !== "label");
    const { value, problem } = vt.useValue(() => vt.data.episode(id), [id]);
    const [tags, setTags] = useState({ id: 0, tags: [] });
    const [key, setKey] = useState({ id: 0 });
    const [tagProblem, setTagProblem] = useState("");
    const row = value && { ...value.row, tags: tags.id === id ? tags.tags : value.row.tags };
    const keep = (own) => setTags({ id, tags: own });
    useKeys(rest, id, row, classes, keep, isLabel);
    if (!value) return html`<main><${vt.Problem} text=${problem} /></main>`;
    const shownKey = key.id === id ? key : null;
    const ask = () => vt.data.key(id).then((it) => setKey({ id, ...it }));
    return html`<div class="episode"><main>
      <nav class="back"><${vt.Link} to="episodes" pairs=${rest}>← episodes<//> <small>${isLabel ?
        "1 to 9 tag, Enter or j next untagged, k back" : "j next, k previous"}</small></nav>
      ${value.episode ? html`<${vt.EpisodeBody} id=${id} episode=${value.episode} evidence=${shownKey?.evidence}
        optionIdx=${shownKey?.option_idx} divergences=${value.divergences} />` : html`<h1>${row.outcome} line of ${row.run}</h1>
        <p class="problem">${row.problem}</p><pre>${value.line}</pre>`}
      <${Others} id=${id} others=${value.others} pairs=${rest} /></main>
      <aside><p class="line"><${vt.Outcome} value=${row.outcome} /><span>${row.status}</span></p>
      ${value.episode ? html`<${Facts} episode=${value.episode} budget=${value.budget} />
        <button type="button" onClick=${ask} disabled=${Boolean(shownKey)}>Show evidence and right option</button>
        <${vt.Problem} text=${shownKey?.problem} />
        <${TagEditor} id=${id} row=${row} classes=${classes} onChange=${(own, reason) => {
          setTagProblem(reason); if (own) keep(own); }} /><${vt.Problem} text=${tagProblem} />` : null}</aside></div>`;
  };
})();
