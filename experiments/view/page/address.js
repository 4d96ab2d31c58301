"use strict";
// The address holds all state of the page, so that a view can be shared: #/NAME?filter=value.
window.vt = {};

/** Read the address: the name of the view and its filters as pairs. */
vt.readAddress = () => {
  const [name, query] = (location.hash.replace(/^#\/?/, "") || "episodes").split("?");
  return { name, pairs: [...new URLSearchParams(query || "").entries()] };
};

/** Write an address for a view; empty values are left out. */
vt.address = (name, pairs) => {
  const kept = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(kept).toString();
  return `#/${name}${query ? `?${query}` : ""}`;
};

vt.go = (name, pairs) => { location.hash = vt.address(name, pairs); };

/** First value of a filter, or the fallback. */
vt.valueOf = (pairs, name, fallback = "") => {
  const found = pairs.find(([key]) => key === name);
  return found ? found[1] : fallback;
};

/** The pairs with one filter set to a list of values; the page starts again at the first. */
vt.withValues = (pairs, name, values) => [
  ...pairs.filter(([key]) => key !== name && key !== "page"),
  ...values.map((value) => [name, value]),
];
