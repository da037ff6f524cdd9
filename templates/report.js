// Filters of the gallery, maps over images, pictures in large, what a number is, one tab stop a group. Without it all is shown.
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

  // what is folded opens for a link into it and for print
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const folded = [target.closest("details"), target.querySelector(":scope > details")].filter(Boolean);
    if (!folded.some((each) => !each.open)) return;
    for (const each of folded) each.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
  });

  // a box is a tab stop where it scrolls and nothing in it is one
  const settle = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.scrollWidth > box.clientWidth && !box.querySelector("a[href], button")) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", settle);
  document.addEventListener("toggle", settle, true);

  // one tab stop for the numbers of a table and for the pictures of a row; arrow keys go on inside
  const group = (inside, members) => {
    const all = () => visible(members, inside);
    for (const [at, member] of [...inside.querySelectorAll(members)].entries()) member.tabIndex = at ? -1 : 0;
    inside.addEventListener("focusin", ({ target }) => {
      if (!target.matches(members)) return;
      for (const member of inside.querySelectorAll(members)) member.tabIndex = member === target ? 0 : -1;
    });
    inside.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const at = all().indexOf(event.target);
      if (!by || at < 0) return;
      event.preventDefault();
      all()[(at + by + all().length) % all().length].focus();
    });
  };

  // the head of a column sorts its table, by numbers where it has them
  const keyOf = (cell) => {
    const exact = cell.querySelector("[data-value]")?.dataset.value ?? cell.textContent.replace("\u2212", "-");
    const number = parseFloat(exact);
    return Number.isNaN(number) ? cell.textContent.trim() : number;
  };
  const compare = (one, other) =>
    typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other));
  for (const table of document.querySelectorAll("main .scroll > table")) {
    const body = table.tBodies[0];
    const cells = [...table.querySelectorAll("td, th")];
    if (!table.tHead || !body || body.rows.length < 3 || cells.some((cell) => cell.colSpan > 1)) continue;
    for (const [at, head] of [...table.tHead.rows[0].cells].entries()) {
      if (head.tagName !== "TH") continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const falls = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) => compare(keyOf(a.cells[at]), keyOf(b.cells[at])));
        body.append(...(falls ? rows.reverse() : rows));
      });
    }
  }

  // a number opens what it is; without this script it leads to its row, or into result.json
  const panel = document.getElementById("panel");
  const formulas = new Map([...document.querySelectorAll(".formulas [data-of]")].map((each) => [each.dataset.of, each]));
  // as `auditor.report.formulas.formula_key`: the last part of the place decides, else those before it
  const formulaOf = (field) => {
    const parts = field.split("/").filter((part) => part && !/^\d+$/.test(part));
    for (let end = parts.length; end > 0; end--) {
      const found = formulas.get(parts.slice(Math.max(0, end - 2), end).join("/")) ?? formulas.get(parts[end - 1]);
      if (found) return [...found.querySelectorAll("span")].map((each) => each.textContent);
    }
    return ["", ""];
  };
  if (panel) {
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a.pointer[data-field]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const cell = link.closest("tr")?.querySelector("th");
      const [formula, source] = formulaOf(link.dataset.field);
      const told = { ...link.dataset, formula, source, name: cell ? cell.firstChild.textContent.trim() : link.dataset.name };
      for (const part of panel.querySelectorAll("[data-part]")) {
        const text = told[part.dataset.part] || "";
        part.textContent = text;
        part.closest("div").hidden = text === "";
      }
      const images = link.closest("[data-images]")?.dataset.images || "";
      const lead = (name, href) => {
        const to = panel.querySelector(`[data-to=${name}]`);
        to.href = href;
        to.hidden = href === "";
      };
      const href = link.getAttribute("href");
      lead("row", href.startsWith("#") ? href : "");
      lead("images", images && `#${images}`);
      lead("file", href.startsWith("#") ? `result.json#${told.field}` : href);
      panel.showModal();
    });
    panel.addEventListener("click", ({ target }) => {
      if (target === panel || target.matches("a[href^='#']")) panel.close();
    });
  }

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
  const shelves = [...document.querySelectorAll(".strip")].map((strip) => strip.closest("article.exemplar, section"));
  for (const shelf of new Set(shelves)) group(shelf, "button.enlarge");
  for (const table of document.querySelectorAll("main table")) group(table, "button.sort, tbody a.pointer");
  settle();
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
