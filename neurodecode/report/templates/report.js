/* Sorts tables, filters pictures, saves figures, copies text. Plain script; nothing is fetched. */
(() => {
"use strict";
const $ = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

/* The number a cell shows: .42, −.3, 1,500, < .001, 92.1 s; null where there is none. */
const numberOf = text => {
  const found = text.replace(/−/g, "-").replace(/,(?=\d{3})/g, "").match(/-?\d*\.?\d+/);
  return found && /^[\s<[+~−-]*[.\d]/.test(text) ? parseFloat(found[0]) : null;
};
const cellText = (row, column) => {
  const cell = row.cells[column];
  return cell ? ($("b", cell) || cell).textContent.trim() : "";
};
const compare = (a, b) => {
  const [m, n] = [numberOf(a), numberOf(b)];
  if (m !== null && n !== null) return m - n;
  return a.localeCompare(b, "en", { numeric: true });
};
const sortable = table => {
  const heads = all("thead tr:last-child th", table);
  heads.forEach(head => {
    if (head.classList.contains("plot") || !head.textContent.trim()) return;
    const button = make("button", { type: "button", class: "sort" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter(row => !row.classList.contains("family"));
        const keyed = rows.map(row => [cellText(row, head.cellIndex), row]);
        const known = keyed.filter(([text]) => text && text !== "–");
        known.sort((a, b) => (down ? -1 : 1) * compare(a[0], b[0]));
        const missing = keyed.filter(([text]) => !text || text === "–");
        body.append(...[...known, ...missing].map(([, row]) => row));
      }
    });
  });
  if (table.hasAttribute("data-filter")) {
    const field = make("input", { type: "search", placeholder: "words in a row" });
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(word => text.includes(word));
      }
    });
    const label = make("label", { class: "controls" }, "show rows with ", field);
    table.closest(".scroll").before(label);
  }
};

const save = (href, name) => {
  const link = make("a", { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
};
const savable = figure => {
  const name = figure.dataset.file, picture = $("img", figure);
  if (!name || !picture) return;
  const button = make("button", { type: "button", class: "save" }, name);
  button.setAttribute("aria-label", `save ${name}`);
  button.addEventListener("click", () => save(picture.src, name));
  figure.append(button);
};

const copyable = box => {
  const button = make("button", { type: "button" }, "Copy");
  const bar = make("p", { class: "files" }, button);
  button.addEventListener("click", async () => {
    const range = document.createRange();
    range.selectNodeContents(box);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    let done = false;
    try { done = document.execCommand("copy"); } catch { /* the clipboard may be closed to us */ }
    if (!done && navigator.clipboard) await navigator.clipboard.writeText(box.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  if (box.dataset.file) {
    const file = make("button", { type: "button" }, box.dataset.file);
    const uri = () => `data:text/plain;charset=utf-8,${encodeURIComponent(box.textContent)}`;
    file.addEventListener("click", () => save(uri(), box.dataset.file));
    bar.append(" ", file);
  }
  box.before(bar);
};

/* The trials: cards are made for those that are looked at, some at a time. */
const trials = () => {
  const store = $("#trial-data");
  if (!store) return;
  const data = JSON.parse(store.textContent), step = 24;
  const form = $("#trial-controls"), list = $("#trials-shown"), more = $("#trial-more");
  let found = [], shown = 0;
  const picture = (place, alt, own) => place < 0
    ? make("span", { class: "none", title: alt }, alt)
    : make("img", { src: `data:image/webp;base64,${data.pictures[place]}`, alt, title: alt,
        ...(own ? { class: "own" } : {}) });
  const labelled = (text, image) => make("figure", {}, image, make("figcaption", {}, text));
  const short = value => String(Math.round(value * 1000) / 1000).replace(/^(-?)0\./, "$1.");
  const facts = t => {
    const said = [];
    if ("r" in t) said.push(`rank ${short(t.r)} of ${t.n}`);
    if ("v" in t) said.push(`score ${short(t.v)}`);
    if ("k" in t) said.push(`set of ${t.k}, true one ${t.i ? "inside" : "outside"}`);
    if ("p" in t) said.push(`p against the prior ${t.p < .001 ? "< .001" : short(t.p)}`);
    return said.join(" · ");
  };
  const card = t => {
    const pair = make("div", { class: "pair" });
    if (t.o >= 0) pair.append(labelled("original", picture(t.o, `original: ${t.t}`)));
    if (t.m >= 0) pair.append(labelled("read", picture(t.m, `read from the brain, for: ${t.t}`)));
    const flags = t.a ? [make("span", { class: "tag flag" }, "no evidence")] : [];
    const about = make("p", { class: "about" }, make("b", {}, data.subjects[t.s]), ` ${t.t} `, ...flags);
    const made = make("article", { class: "card" }, pair, about, make("p", { class: "told" }, facts(t)));
    if (t.near && t.near.every(([o]) => o < 0)) {
      const names = t.near.map(([, name]) => make("li", {}, name === t.t ? make("b", {}, name) : name));
      made.append(make("ol", { class: "near-names" }, ...names));
    } else if (t.near) {
      const row = make("div", { class: "near" });
      t.near.forEach(([o, name], i) => row.append(picture(o, `ranked ${i + 1}: ${name}`, name === t.t && o === t.o)));
      made.append(row);
    }
    if (t.d) {
      const fold = make("details", {}, make("summary", {}, "samples and controls"));
      fold.addEventListener("toggle", () => {
        if (fold.childElementCount > 1) return;
        const rows = make("div", { class: "detail-rows" });
        t.d.forEach(([name, places]) => {
          const images = places.map(place => picture(place, `${name}, for: ${t.t}`));
          rows.append(make("figure", {}, make("div", {}, ...images), make("figcaption", {}, name)));
        });
        fold.append(rows);
      });
      made.append(fold);
    }
    return made;
  };
  const show = n => {
    list.append(...found.slice(shown, shown + n).map(card));
    shown = Math.min(shown + n, found.length);
    more.hidden = shown >= found.length;
    $("#trial-count").textContent = `${shown} of ${found.length} trials shown`;
  };
  const chosen = name => form.elements[name] ? form.elements[name].value : "";
  const select = () => {
    const [s, c, by] = [chosen("s"), chosen("c"), chosen("by")];
    const flagged = form.elements.a && form.elements.a.checked;
    found = data.trials.filter(t => (s === "" || t.s === +s) && (c === "" || t.c === +c) && (!flagged || t.a));
    if (by) {
      const sign = by[0] === "-" ? -1 : 1, key = by.replace("-", "");
      const known = found.filter(t => key in t), missing = found.filter(t => !(key in t));
      found = [...known.sort((a, b) => sign * (a[key] - b[key])), ...missing];
    }
    list.replaceChildren();
    shown = 0;
    show(step);
  };
  form.hidden = false;
  form.addEventListener("change", select);
  form.addEventListener("submit", event => event.preventDefault());
  more.addEventListener("click", () => {
    const next = shown;
    show(step);
    const first = list.children[next];
    if (first) { first.tabIndex = -1; first.focus({ preventScroll: true }); }
  });
  select();
};

all("table[data-sort]").forEach(sortable);
all("figure[data-file]").forEach(savable);
all("pre[data-copy]").forEach(copyable);
trials();
})();
