// What a page gains where scripts run: one layer at a time, sorted tables, values under the pointer, dark and light.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  const all = (what, inside = document) => [...inside.querySelectorAll(what)];
  const make = (name, words, parent) => {
    const one = document.createElement(name);
    one.textContent = words;
    if (parent) parent.append(one);
    return one;
  };
  const told = (value) => {
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(3);
    return String(Number(value.toPrecision(5)));
  };

  // Dark and light. Pages on disk may have no storage: then the choice holds as long as the page is open.
  const remembered = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("stillbit-theme");
      if (value) localStorage.setItem("stillbit-theme", value);
      else localStorage.removeItem("stillbit-theme");
    } catch { /* no storage */ }
    return null;
  };
  const themes = ["", "dark", "light"];
  const names = { "": "system", dark: "dark", light: "light" };
  const theme = make("button", "", document.querySelector("header"));
  theme.type = "button";
  theme.id = "theme";
  const wear = (name) => {
    if (name) root.dataset.theme = name;
    else delete root.dataset.theme;
    theme.textContent = `Theme: ${names[name]}`;
  };
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme || "") + 1) % themes.length];
    wear(next);
    remembered(next);
  });
  const kept = remembered();
  wear(themes.includes(kept) ? kept : "");

  // One of many: a layer, a run. What is chosen in one place is chosen wherever the same is offered.
  const choices = all(".choice");
  const options = (choice) => all(":scope > .option", choice);
  const choose = (choice, name) => {
    const of = options(choice);
    if (!of.some((one) => one.dataset.name === name)) return;
    for (const one of of) one.classList.toggle("chosen", one.dataset.name === name);
    choice.previousElementSibling.querySelector("select").value = name;
  };
  choices.forEach((choice, index) => {
    const picker = document.createElement("div");
    picker.className = "picker";
    const label = make("label", `${choice.dataset.choose}: `, picker);
    label.htmlFor = `choice-${index}`;
    const select = document.createElement("select");
    select.id = label.htmlFor;
    const step = (by) => {
      const next = Math.min(Math.max(select.selectedIndex + by, 0), select.options.length - 1);
      if (next !== select.selectedIndex) { select.selectedIndex = next; select.dispatchEvent(new Event("change")); }
    };
    const button = (words, about, by) => {
      const one = make("button", words, picker);
      one.type = "button";
      one.setAttribute("aria-label", about);
      one.addEventListener("click", () => step(by));
    };
    for (const one of options(choice)) make("option", one.dataset.name, select).value = one.dataset.name;
    button("‹", `previous ${choice.dataset.choose}`, -1);
    picker.append(select);
    button("›", `next ${choice.dataset.choose}`, 1);
    select.addEventListener("change", () => {
      for (const other of choices) if (other.dataset.choose === choice.dataset.choose) choose(other, select.value);
    });
    choice.before(picker);
    choose(choice, options(choice)[0].dataset.name);
  });

  // Tables: a heading is a button that sorts; what is not known stays last.
  const value = (row, index) => {
    const cell = row.cells[index];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  };
  const order = (index, sign) => (a, b) => {
    const [x, y] = [value(a, index), value(b, index)];
    if (x === "" || y === "") return (x === "") - (y === "");
    if (typeof x === "number" && typeof y === "number") return sign * (x - y);
    return sign * String(x).localeCompare(String(y), undefined, { numeric: true });
  };
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, index) => {
      const words = head.textContent;
      head.textContent = "";
      const button = make("button", words, head);
      button.type = "button";
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const number = head.classList.contains("number");
        const was = head.getAttribute("aria-sort");
        const now = was === "none" ? (number ? "descending" : "ascending") : was === "ascending" ? "descending" : "ascending";
        for (const other of all("thead th", table)) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", now);
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort(order(index, now === "ascending" ? 1 : -1)));
      });
    });
    if (table.classList.contains("short")) {
      const count = table.tBodies[0].rows.length;
      const line = document.createElement("p");
      line.className = "more";
      const more = make("button", `Show all ${count} rows`, line);
      more.type = "button";
      more.setAttribute("aria-expanded", "false");
      more.addEventListener("click", () => {
        const short = table.classList.toggle("short");
        more.textContent = short ? `Show all ${count} rows` : "Show 10 rows";
        more.setAttribute("aria-expanded", String(!short));
      });
      table.parentElement.after(line);
    }
  }

  // Pictures: values under the pointer, and with the arrow keys.
  const tip = document.getElementById("tip");
  let marked = null;
  let cursor = null;
  const hide = () => {
    tip.hidden = true;
    if (marked) marked.classList.remove("here");
    if (cursor) cursor.remove();
    marked = cursor = null;
  };
  const show = (words, x, y) => {
    tip.textContent = words;
    tip.hidden = false;
    const wide = root.clientWidth;
    const left = Math.min(x + 14, wide - tip.offsetWidth - 8);
    const high = y - tip.offsetHeight - 10;
    tip.style.transform = `translate(${Math.max(left, 8) + scrollX}px, ${(high < 4 ? y + 18 : high) + scrollY}px)`;
  };
  const prepared = new WeakMap();
  const axis = (words) => {
    const [form, low, high, ...label] = words.split(" ");
    const ends = [Number(low), Number(high)];
    const by = form === "log" ? ends.map(Math.log10) : ends;
    // A place is known to a part of a pixel: more digits than that would be made up.
    const said = (share, fine) => {
      const here = by[0] + share * (by[1] - by[0]);
      if (form === "log") return told(Number((10 ** here).toPrecision(3)));
      const digits = Math.floor(-Math.log10(Math.abs(by[1] - by[0]) * fine));
      return told(digits > 0 ? Number(here.toFixed(Math.min(digits, 20))) : Math.round(here));
    };
    return { label: label.join(" "), said };
  };
  // The corners of a line, or the middles of the columns of a histogram.
  const places = (line) => {
    if (line.hasAttribute("points"))
      return line.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number));
    const path = line.getAttribute("d");
    let left = Number(path.slice(1).split(" ")[0]);
    return [...path.matchAll(/V([-\d.]+)H([-\d.]+)/g)].map(([, high, right]) => {
      const middle = (left + Number(right)) / 2;
      left = Number(right);
      return [middle, Number(high)];
    });
  };
  const prepare = (svg) => {
    if (prepared.has(svg)) return prepared.get(svg);
    // The browser's own tooltips would lie over ours.
    for (const title of all("title", svg)) {
      const row = title.closest("[data-row]");
      if (title.parentElement !== svg)
        title.parentElement.dataset.says = (row ? `${row.dataset.row}, ` : "") + title.textContent;
      title.remove();
    }
    const planes = all("g.read", svg).map((group) => {
      const [left, top, width, height] = group.dataset.box.split(" ").map(Number);
      const lines = all("[data-name]", group).map((line) => ({ name: line.dataset.name, points: places(line) }));
      return { group, left, top, width, height, lines, x: axis(group.dataset.x), y: axis(group.dataset.y) };
    });
    const found = { planes, marks: all("[data-says]", svg), at: -1 };
    prepared.set(svg, found);
    return found;
  };
  const screen = (svg, x, y) => new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
  const readLines = (svg, plane, x) => {
    let near = null;
    for (const line of plane.lines) for (const point of line.points)
      if (near === null || Math.abs(point[0] - x) < Math.abs(near[0] - x)) near = point;
    if (near === null) return;
    const said = [`${plane.x.label || "x"} ${plane.x.said((near[0] - plane.left) / plane.width, 0.01 / plane.width)}`];
    for (const line of plane.lines) {
      let best = line.points[0];
      for (const point of line.points) if (Math.abs(point[0] - near[0]) < Math.abs(best[0] - near[0])) best = point;
      if (Math.abs(best[0] - near[0]) > plane.width / 20) continue;
      const fine = (line.points.length > 150 ? 0.1 : 0.01) / plane.height;
      said.push(`${line.name}: ${plane.y.said(1 - (best[1] - plane.top) / plane.height, fine)}`);
    }
    hide();
    cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    const places = { x1: near[0], x2: near[0], y1: plane.top, y2: plane.top + plane.height, class: "cursor" };
    for (const [key, place] of Object.entries(places)) cursor.setAttribute(key, place);
    plane.group.append(cursor);
    const at = screen(svg, near[0], plane.top + 10);
    show(said.slice(0, 13).join("\n"), at.x, at.y + 10);
  };
  const readMark = (mark) => {
    hide();
    marked = mark;
    mark.classList.add("here");
    const box = mark.getBoundingClientRect();
    show(mark.dataset.says, box.left + box.width / 2, box.top);
  };
  const point = (svg, event) => {
    const { planes } = prepare(svg);
    const mark = event.target.closest("[data-says]");
    if (mark && svg.contains(mark)) return readMark(mark);
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const plane = planes.find((one) => at.x >= one.left - 4 && at.x <= one.left + one.width + 4
      && at.y >= one.top && at.y <= one.top + one.height);
    return plane ? readLines(svg, plane, at.x) : hide();
  };
  const walk = (svg, by) => {
    const held = prepare(svg);
    const stops = held.marks.map((mark) => () => readMark(mark));
    for (const plane of held.planes) {
      const places = new Set(plane.lines.flatMap((line) => line.points.map((one) => one[0])));
      for (const x of [...places].sort((a, b) => a - b)) stops.push(() => readLines(svg, plane, x));
    }
    if (!stops.length) return;
    held.at = Math.min(Math.max(held.at + by, 0), stops.length - 1);
    stops[held.at]();
  };
  for (const svg of all("figure svg")) {
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("pointermove", (event) => point(svg, event));
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
      if (event.key === "Escape") hide();
      if (by === undefined) return;
      event.preventDefault();
      walk(svg, by);
    });
  }

  // Where the reader is.
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target.id);
    const here = [...links.keys()].find((id) => seen.has(id));
    for (const [id, link] of links) {
      if (id === here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-10% 0px -60% 0px" });
  for (const section of all("main > section")) watch.observe(section);
})();
