"use strict";
// The page: navigation and the view that the address names.
(() => {
  const { html, render, useEffect, useState } = htmPreact;
  const views = [["episodes", "Episodes"], ["pairs", "Side by side"], ["curves", "Curves"]];

  const App = () => {
    const [address, setAddress] = useState(vt.readAddress());
    useEffect(() => {
      const onChange = () => setAddress(vt.readAddress());
      addEventListener("hashchange", onChange);
      return () => removeEventListener("hashchange", onChange);
    }, []);
    useEffect(() => { scrollTo(0, 0); }, [address.name, vt.valueOf(address.pairs, "id")]);
    const { value, problem } = vt.useValue(() => vt.data.runs(), [], 10000);
    const runs = value ? value.runs : [], classes = value ? value.failure_classes : {};
    const { name, pairs } = address;
    return html`<header><strong>vt-env view</strong><nav aria-label="Views">${views.map(([own, title]) => html`
      <${vt.Link} key=${own} to=${own} pairs=${[]} current=${own === name}>${title}<//>`)}</nav>
      <small>${runs.length} runs</small></header><${vt.Problem} text=${problem} />
      ${name === "episode" ? html`<${vt.Episode} pairs=${pairs} classes=${classes} />` :
        name === "label" ? html`<${vt.Label} pairs=${pairs} />` :
        name === "compare" ? html`<${vt.Compare} pairs=${pairs} />` :
        name === "pairs" ? html`<${vt.Pairs} pairs=${pairs} runs=${runs} />` :
        name === "curves" ? (value ? html`<${vt.Curves} pairs=${pairs} runs=${runs} />` : null) :
        html`<${vt.List} pairs=${pairs} />`}`;
  };

  render(html`<${App} />`, document.getElementById("app"));
})();
