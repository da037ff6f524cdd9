// The gallery's filters, how strongly maps lie over images, and pictures side by side in large. Without it all is shown.
"use strict";
(() => {
  const root = document.documentElement;
  const form = document.getElementById("filters");
  const viewer = document.getElementById("viewer");

  const setOpacity = (percent) => {
    root.dataset.heat = "";
    root.style.setProperty("--heat", percent / 100);
    for (const slider of document.querySelectorAll("input[type=range]")) slider.value = percent;
  };
  document.addEventListener("input", ({ target }) => target.type === "range" && setOpacity(target.value));
  addEventListener("pageshow", () => {
    const [kept] = document.querySelectorAll("input[type=range]"); // a browser may bring back what was chosen before
    if (kept.value !== "100") setOpacity(kept.value);
  });

  if (form) {
    const items = [...document.querySelectorAll("#gallery .exemplar")];
    const maps = document.querySelectorAll("#gallery figure[data-method]");
    const apply = () => {
      const { label, answer, artefact, verdict, method } = Object.fromEntries(new FormData(form));
      const wanted = Object.entries({ label, answer, artefact, verdict }).filter(([, value]) => value !== "");
      for (const item of items) item.hidden = wanted.some(([name, value]) => item.dataset[name] !== value);
      for (const map of maps) map.hidden = method !== "" && map.dataset.method !== method;
      const shown = items.filter((item) => !item.hidden).length;
      form.querySelector("output").textContent = `${shown} of ${items.length} images`;
      document.getElementById("none").hidden = shown > 0;
    };
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => (setOpacity(100), apply())));
    apply();
    addEventListener("pageshow", apply);
  }

  const pictureOf = (figure) => figure.querySelector(".stack, img");
  const visible = (selector, within) => [...within.querySelectorAll(selector)].filter((item) => item.offsetParent);
  let current = null;

  const show = (figure) => {
    current = figure;
    const strip = figure.closest(".strip");
    const original = strip.querySelector("[data-original]") || strip.querySelector("figure");
    const sides = original === figure ? [figure] : [original, figure];
    viewer.querySelector(".sides").replaceChildren(
      ...sides.map((side) => {
        const copy = document.createElement("figure");
        copy.append(pictureOf(side).cloneNode(true), side.querySelector("figcaption").cloneNode(true));
        return copy;
      }),
    );
    const figures = visible("figure", strip);
    const heading = strip.closest("article")?.querySelector("h3, h4") || strip.closest("main > section").querySelector("h2");
    const title = heading.firstChild.textContent.trim();
    viewer.querySelector("output").textContent = `${title}: picture ${figures.indexOf(figure) + 1} of ${figures.length}`;
  };
  const step = (by) => {
    const figures = visible("figure", current.closest(".strip"));
    show(figures[(figures.indexOf(current) + by + figures.length) % figures.length]);
  };
  const leap = (by) => {
    const strips = visible(".strip", current.closest("main > section"));
    const at = strips.indexOf(current.closest(".strip"));
    const number = visible("figure", strips[at]).indexOf(current);
    const figures = visible("figure", strips[(at + by + strips.length) % strips.length]);
    show(figures[Math.min(number, figures.length - 1)]);
  };

  for (const picture of [...document.querySelectorAll(".strip figure")].map(pictureOf)) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.title = "Enlarge";
    picture.replaceWith(button);
    button.append(picture);
    button.addEventListener("click", () => (show(button.closest("figure")), viewer.showModal()));
  }
  viewer.addEventListener("keydown", (event) => {
    if (event.target.type === "range") return;
    const moves = { ArrowLeft: [step, -1], ArrowRight: [step, 1], ArrowUp: [leap, -1], ArrowDown: [leap, 1] };
    if (!(event.key in moves)) return;
    const [move, by] = moves[event.key];
    event.preventDefault();
    move(by);
  });
  viewer.addEventListener("click", ({ target }) => {
    if (target.dataset.step) step(Number(target.dataset.step));
    if (target.dataset.leap) leap(Number(target.dataset.leap));
    if (target === viewer) viewer.close();
  });
})();
