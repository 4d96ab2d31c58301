"use strict";
// Small parts that several views use. All text is set as text by Preact, never as markup.
(() => {
  const { html, useEffect, useState } = htmPreact;

  /** Ask for a value; returns it, or the problem as one line, and asks again when `keys` change. */
  vt.useValue = (make, keys, everyMs = 0) => {
    const [state, setState] = useState({ value: null, problem: "" });
    useEffect(() => {
      let isCurrent = true;
      const read = () => make().then(
        (value) => isCurrent && setState({ value, problem: "" }),
        (reason) => isCurrent && setState((before) => ({ ...before, problem: String(reason.message || reason) })));
      read();
      const timer = everyMs && vt.data.isLive ? setInterval(read, everyMs) : 0;
      return () => { isCurrent = false; clearInterval(timer); };
    }, keys);
    return state;
  };

  vt.time = (seconds) => {
    if (seconds === null || seconds === undefined) return "";
    const whole = Math.floor(seconds);
    return `${String(Math.floor(whole / 60)).padStart(2, "0")}:${String(whole % 60).padStart(2, "0")}`;
  };

  vt.number = (value, digits = 2) => value === null || value === undefined ? "" :
    Number.isInteger(value) ? String(value) : value.toFixed(digits);

  vt.Problem = ({ text }) => text ? html`<p class="problem" role="alert">${text}</p>` : null;

  const symbols = { right: "✓", wrong: "✗", unscored: "·", invalid: "!", damaged: "!" };
  vt.Outcome = ({ value }) =>
    html`<span class=${`outcome ${value}`}><span aria-hidden="true">${symbols[value] || ""}</span> ${value}</span>`;

  vt.Tags = ({ tags }) => tags.map((tag) => html`<span class="tag" key=${tag}>${tag}</span>`);

  vt.Link = ({ to, pairs, label, children, current }) => html`<a href=${vt.address(to, pairs)} aria-label=${label}
    aria-current=${current ? "page" : null}>${children}</a>`;
})();
