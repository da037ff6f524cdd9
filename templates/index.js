// Filters of the index: rows and trends are all in the page; what does not fit is hidden.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const form = byId("filters");
  const items = [...document.querySelectorAll("#rows > tr, .trend, .matrix tbody > tr")];
  const rows = items.filter((item) => item.parentNode.id === "rows");
  const texts = new Map();
  const textOf = (item) => {
    if (!texts.has(item)) texts.set(item, item.textContent.toLowerCase());
    return texts.get(item);
  };
  const apply = () => {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const model = byId("model").value;
    const data = byId("data").value;
    const verdict = byId("verdict").value;
    for (const item of items) {
      const { m, d, v } = item.dataset;
      item.hidden =
        (model !== "" && m !== model) ||
        (data !== "" && !d.split(" ").includes(data)) ||
        (verdict !== "" && !v.split(" ").includes(verdict)) ||
        !words.every((word) => textOf(item).includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    byId("shown").textContent = `${shown} of ${rows.length} runs`;
    byId("none").hidden = shown > 0;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  apply(); // a browser may bring back what was typed before
})();
