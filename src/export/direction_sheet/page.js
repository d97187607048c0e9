"use strict";
const tables = [...document.querySelectorAll("table")];
const tabs = [...document.querySelectorAll("nav button")];

// The pictures are in the first table only; the other one gets its own when it is first shown.
function show(id) {
  for (const cell of document.querySelectorAll(`#${id} td[data-of]`)) {
    const picture = document.getElementById(cell.dataset.of);
    if (picture) {
      const copy = picture.cloneNode();
      copy.removeAttribute("id");
      cell.append(copy);
    } else {
      cell.className = "nothing";
      cell.textContent = "not finite";
    }
    cell.removeAttribute("data-of");
  }
  for (const table of tables) table.hidden = table.id !== id;
  reach(document.querySelector(`#${id} td img`));
  for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.value === id));
}
for (const tab of tabs) tab.addEventListener("click", () => show(tab.value));
document.querySelector("nav").hidden = false;

// Directions without a name come after those that have one.
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
function compare(a, b, key, way) {
  const [x, y] = [a.dataset[key], b.dataset[key]];
  if (x === "" || y === "") return (x === "") - (y === "");
  return way * (key === "name" ? collator.compare(x, y) : x - y);
}

// Groups of rows by what is the same in each, rows within each group by what is not.
function sort(table, key, way) {
  const groups = [...table.tBodies];
  if (groups[0].dataset[key] !== undefined) {
    table.append(...groups.sort((a, b) => compare(a, b, key, way)));
    return;
  }
  for (const group of groups) {
    const heads = [...group.rows[0].querySelectorAll(".group")];
    const rows = [...group.rows].sort((a, b) => compare(a, b, key, way));
    group.append(...rows);
    rows[0].prepend(...heads);
  }
}
for (const table of tables) {
  const heads = [...table.querySelectorAll("th[data-key]")];
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.dataset.key === "score" ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      sort(table, head.dataset.key, order === "ascending" ? 1 : -1);
    });
  }
}

// Tab reaches one picture of a table, arrow keys go on from there.
function reach(picture) {
  if (!picture) return;
  for (const other of picture.closest("table").querySelectorAll("img[tabindex]")) other.tabIndex = -1;
  picture.tabIndex = 0;
}
const ways = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
function neighbour(picture, [down, right]) {
  const rows = [...picture.closest("table").querySelectorAll("tr")].filter((row) => row.querySelector("td"));
  const row = picture.closest("tr");
  const column = [...row.querySelectorAll("td")].indexOf(picture.closest("td"));
  return rows[rows.indexOf(row) + down]?.querySelectorAll("td")[column + right]?.querySelector("img");
}

// A picture by itself; arrow keys go along its row.
const dialog = document.querySelector("dialog");
let cell = null;
function enlarge(next) {
  const picture = next && next.querySelector("img");
  if (!picture) return;
  cell = next;
  dialog.querySelector("img").src = picture.src;
  dialog.querySelector("img").alt = picture.alt;
  dialog.querySelector("p").textContent = picture.alt;
  if (!dialog.open) dialog.showModal();
}
const main = document.querySelector("main");
main.addEventListener("click", (event) => enlarge(event.target.closest("td")));
main.addEventListener("keydown", (event) => {
  if (event.target.tagName !== "IMG" || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key in ways) {
    const next = neighbour(event.target, ways[event.key]);
    reach(next);
    next?.focus();
  } else if (event.key === "Enter" || event.key === " ") {
    enlarge(event.target.closest("td"));
  } else {
    return;
  }
  event.preventDefault();
});
dialog.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  const picture = cell.querySelector("img");
  reach(picture);
  picture.focus();
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") enlarge(cell.previousElementSibling);
  if (event.key === "ArrowRight") enlarge(cell.nextElementSibling);
});
reach(document.querySelector("table:not([hidden]) td img"));
