"use strict";
// The bar of the whole video: what was retrieved or read, looked at, cited, and on demand the gold evidence.
(() => {
  const { html } = htmPreact;

  const Mark = ({ span, duration, kind, title, onClick }) => html`<button type="button" class=${`mark ${kind}`}
    style=${{ left: `${100 * span[0] / duration}%`, width: `max(3px, ${100 * (span[1] - span[0]) / duration}%)` }}
    title=${title} aria-label=${title} onClick=${onClick}></button>`;

  const Row = ({ title, marks, duration, onSeek }) => html`<div class="track"><span>${title}</span><div class="bar">
    ${marks.map((it, place) => html`<${Mark} key=${place} span=${it.span} duration=${duration} kind=${it.kind}
      title=${`${it.title}, ${vt.time(it.span[0])} to ${vt.time(it.span[1])}`} onClick=${() => onSeek(it)} />`)}
    </div></div>`;

  vt.Timeline = ({ episode, evidence, onSeek }) => {
    const duration = episode.duration_s;
    if (!duration) return null;
    const marks = (turns, kind, word) => turns.flatMap(([turn, number]) =>
      turn.viewed.map((span) => ({ span, kind, turn: number, title: `turn ${number + 1}: ${word}` })));
    const numbered = episode.turns.map((turn, number) => [turn, number]);
    const looked = marks(numbered.filter(([turn]) => turn.frames.length), "seen", "looked");
    const read = marks(numbered.filter(([turn]) => !turn.frames.length), "read", "read");
    const retrieved = numbered.flatMap(([turn, number]) =>
      turn.retrieved.map((span) => ({ span, kind: "found", turn: number, title: `turn ${number + 1}: retrieved` })));
    const cited = episode.cited.map((span) => ({ span, kind: "cited", title: "cited in the last message" }));
    const gold = (evidence || []).map((span) => ({ span, kind: "gold", title: "evidence" }));
    return html`<section class="timeline" aria-label="Timeline of the video">
      ${evidence ? html`<${Row} title="Evidence" marks=${gold} duration=${duration} onSeek=${onSeek} />` : null}
      <${Row} title="Looked at" marks=${looked} duration=${duration} onSeek=${onSeek} />
      <${Row} title="Read" marks=${read} duration=${duration} onSeek=${onSeek} />
      ${retrieved.length ? html`<${Row} title="Retrieved" marks=${retrieved} duration=${duration} onSeek=${onSeek} />` : null}
      ${cited.length ? html`<${Row} title="Cited" marks=${cited} duration=${duration} onSeek=${onSeek} />` : null}
      <div class="track axis"><span></span><div><span>00:00</span><span>${vt.time(duration / 2)}</span>
      <span>${vt.time(duration)}</span></div></div></section>`;
  };
})();
