// Building what is shown. Strings become text and nothing else: the browser is told to refuse markup made of them.

/** An element. Properties whose name begins with `on` are listeners, others attributes; `null` and `false` are left out. */
export function element(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same, in SVG. */
export function drawn(name, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children);
}

function fill(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export const find = (id) => document.getElementById(id);

/** Sets a text, touching the document only where it differs, so that what is selected or read aloud stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function set(node, attribute, value) {
  if (value === null) node.removeAttribute(attribute);
  else if (node.getAttribute(attribute) !== value) node.setAttribute(attribute, value);
}

/**
 * Makes the children of `parent` those that `things` ask for, in their order. An element stays the same for as long as
 * the key of its thing does, and with it focus and what is unfolded. `make(thing)` gives `{ node, update(thing) }`.
 */
export class Rows {
  #parent;
  #key;
  #make;
  #rows = new Map();

  constructor(parent, key, make) {
    this.#parent = parent;
    this.#key = key;
    this.#make = make;
  }

  show(things) {
    const before = this.#rows;
    this.#rows = new Map();
    for (const thing of things) {
      const key = this.#key(thing);
      const row = before.get(key) ?? this.#make(thing);
      before.delete(key);
      row.update(thing);
      this.#rows.set(key, row);
    }
    for (const row of before.values()) row.node.remove();
    let place = this.#parent.firstElementChild;
    for (const { node } of this.#rows.values()) {
      if (node === place) place = place.nextElementSibling;
      else this.#parent.insertBefore(node, place);
    }
  }

  get(key) {
    return this.#rows.get(key);
  }
}

/** A row of a table whose cells have these labels, which a narrow screen shows beside them. */
export function row(cells) {
  const made = Object.entries(cells).map(([label, { node = null, number = false } = {}]) =>
    element("td", { role: "cell", "data-label": label, class: number && "number" }, node));
  return { node: element("tr", { role: "row" }, ...made), cells: made };
}
