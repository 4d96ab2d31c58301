"use strict";
// Where values come from: the server, or files beside an exported page, which opens from disk.
(() => {
  const ask = async (path, options) => {
    const response = await fetch(path, options);
    const value = await response.json();
    if (!response.ok) throw new Error(value.problem || response.statusText);
    return value;
  };

  const fromServer = {
    isLive: true,
    runs: () => ask("api/runs"),
    episodes: (pairs) => ask(`api/episodes?${new URLSearchParams(pairs)}`),
    episode: (id) => ask(`api/episodes/${id}`),
    key: (id) => ask(`api/episodes/${id}/key`),
    pairs: (a, b) => ask(`api/pairs?${new URLSearchParams({ a, b })}`),
    plots: (runs) => ask(`api/plots?${new URLSearchParams(runs.map((run) => ["run", run]))}`),
    tag: (id, tags) => ask(`api/episodes/${id}/tags`, {
      method: "POST", headers: { "x-vt-env": "1" }, body: JSON.stringify({ tags }),
    }),
    picture: (id, frame, kind) => `api/episodes/${id}/pictures/${frame.number}/${kind}.png`,
    video: (id) => `api/episodes/${id}/video`,
  };

  // Episodes of an exported site are scripts, since a page that opens from disk may fetch nothing.
  const loaded = {};
  window.vtExported = (id, value) => { loaded[id] = value; };
  const load = (id) => loaded[id] ? Promise.resolve(loaded[id]) : new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `episodes/${id}.js`;
    script.onload = () => resolve(loaded[id]);
    script.onerror = () => reject(new Error(`episode ${id} was not exported`));
    document.head.append(script);
  });

  const fromFiles = (site) => ({
    isLive: false,
    runs: async () => site.runs,
    episodes: async (pairs) => vt.selectRows(site.rows, pairs),
    episode: async (id) => (await load(id)).shown,
    key: async (id) => (await load(id)).key,
    pairs: async (a, b) => site.pairs[JSON.stringify([a, b])] || { rows: [], counts: {} },
    plots: async () => site.plots,
    picture: (id, frame, kind) => kind === "whole" ? frame.whole : `pictures/${id}-${frame.number}-seen.png`,
    video: () => "",
  });

  vt.data = window.vtSite ? fromFiles(window.vtSite) : fromServer;
})();

// The same selection as the server's, for exported sites.
(() => {
  const single = new Set(["words", "sort", "page", "size", "untagged"]);
  const facets = ["run", "policy", "family", "status", "outcome", "tag"];
  const valuesOf = (row, name) => name === "tag" ? row.tags : [row[name]];

  const test = (row, choices, bounds, words, untagged) =>
    Object.entries(choices).every(([name, allowed]) => valuesOf(row, name).some((it) => allowed.includes(it))) &&
    bounds.every(([name, end, bound]) => row[name] !== null &&
      (end === "min" ? row[name] >= bound : row[name] <= bound)) &&
    words.every((word, place) => row.words.some((it) => place === words.length - 1 ? it.startsWith(word) : it === word)) &&
    !(untagged && row.tags.length);

  vt.wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || [];

  vt.selectRows = (rows, pairs) => {
    const choices = {}, bounds = [], options = { sort: "id", page: "0", size: "100", words: "" };
    for (const [name, value] of pairs) {
      if (single.has(name)) options[name] = value;
      else if (/_(min|max)$/.test(name)) bounds.push([name.slice(0, -4), name.slice(-3), Number(value)]);
      else (choices[name] ||= []).push(value);
    }
    const words = vt.wordsOf(options.words), untagged = options.untagged === "1";
    const kept = rows.filter((row) => test(row, choices, bounds, words, untagged));
    const column = options.sort.replace(/^-/, ""), sign = options.sort.startsWith("-") ? -1 : 1;
    const compare = (a, b) => a[column] === null ? 1 : b[column] === null ? -1 :
      (a[column] < b[column] ? -1 : a[column] > b[column] ? 1 : 0) * sign || a.id - b.id;
    const counts = {};
    for (const name of facets) {
      const others = { ...choices };
      delete others[name];
      counts[name] = {};
      for (const row of rows) {
        if (!test(row, others, bounds, words, untagged)) continue;
        for (const value of valuesOf(row, name)) counts[name][value] = (counts[name][value] || 0) + 1;
      }
    }
    const size = Number(options.size), start = Number(options.page) * size;
    return { total: kept.length, rows: kept.sort(compare).slice(start, start + size), facets: counts };
  };
})();
