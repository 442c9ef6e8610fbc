// Lines over the last minutes, drawn as SVG. With the pointer, or the arrow keys, each second can be read.
import { drawn, element, say, set } from "./dom.js";

const [WIDTH, HEIGHT] = [600, 120];
/** Seconds from the left edge to the right. */
export const SPAN = 300;
const LOOKS = ["one", "two"];

/** From nought to a round number that nothing exceeds, and that is `least` at least. */
export const linear = (least) => (values) => {
  const most = Math.max(least, ...values);
  const ten = 10 ** Math.floor(Math.log10(most));
  const top = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * ten).find((step) => step >= most * 0.9999) ?? most;
  return { share: (value) => value / top, marks: [0, top / 2, top], told: [0, top / 2, top], solid: true };
};

/** Powers of ten, from `least` to at least `most`: what takes long does not hide what is quick. */
export const decades = (least, most) => (values) => {
  const [low, high] = [Math.log10(least), Math.max(Math.log10(most), Math.ceil(Math.log10(Math.max(least, ...values)) - 1e-9))];
  const share = (value) => Math.max(0, (Math.log10(value) - low) / (high - low));
  const marks = Array.from({ length: Math.round(high - low) + 1 }, (_, index) => 10 ** (low + index));
  return { share, marks, told: marks, solid: false };
};

export class Chart {
  #labels;
  #format;
  #scale;
  #data = { until: 0, values: [] };
  /** The second that is looked at, from the newest; `null`: none. */
  #at = null;

  /** At most two lines, with these labels; `format` makes text of a value, which is `null` where there is a gap. */
  constructor(title, labels, format, scale) {
    [this.title, this.#labels, this.#format, this.#scale] = [title, labels, format, scale];
    const looks = LOOKS.slice(0, labels.length);
    this.ground = drawn("path", { class: "grid" });
    // Of what begins at nought the first has its area shaded, so that it is seen where the second lies on it.
    this.area = drawn("path", { class: "area" });
    this.paths = looks.map((look) => drawn("path", { class: `line ${look}` }));
    this.mark = drawn("line", { class: "mark", y1: 0, y2: HEIGHT, visibility: "hidden" });
    this.svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.ground, this.area, ...this.paths, this.mark);
    this.told = element("div", { class: "told-marks", "aria-hidden": "true" });
    this.values = labels.map(() => element("b"));
    this.when = element("span", { class: "when" });
    const legend = labels.map((label, index) =>
      element("span", { class: `key ${looks[index]}` }, label, " ", this.values[index]));
    this.plot = element("div", {
      class: "plot", tabindex: "0", role: "img", onpointermove: (event) => this.#pointed(event), onpointerleave: () => this.#look(null),
      onkeydown: (event) => this.#key(event), onblur: () => this.#look(null),
    }, this.svg, this.told);
    const axis = element("div", { class: "axis", "aria-hidden": "true" },
      element("span", {}, "5 min ago"), this.when, element("span", {}, "now"));
    this.node = element("figure", {}, element("figcaption", {}, element("span", {}, title),
      element("span", { class: "legend" }, ...legend)), this.plot, axis);
  }

  /** `values` has an array for each line, all of the same length, the newest last; `null` is a gap. */
  show(until, values) {
    this.#data = { until, values };
    const { share, marks, told, solid } = this.#scale(values.flat().filter((value) => value !== null));
    const height = (value) => HEIGHT * (1 - share(value));
    set(this.ground, "d", marks.map((value) => `M0 ${height(value).toFixed(1)}H${WIDTH}`).join(""));
    values.forEach((line, index) => set(this.paths[index], "d", trace(line, height)));
    set(this.area, "d", solid ? trace(values[0], height, true) : "");
    while (this.told.children.length > told.length) this.told.lastElementChild.remove();
    told.forEach((value, index) => {
      const mark = this.told.children[index] ?? this.told.appendChild(element("span"));
      say(mark, this.#format(value));
      mark.style.top = `${(1 - share(value)) * 100}%`;
    });
    this.#tell();
  }

  #pointed(event) {
    const { left, width } = this.svg.getBoundingClientRect();
    this.#look(Math.round((1 - (event.clientX - left) / width) * (SPAN - 1)));
  }

  #key(event) {
    const step = { ArrowLeft: 1, ArrowRight: -1, PageUp: 30, PageDown: -30 }[event.key];
    if (event.key === "Escape") this.#look(null);
    else if (step === undefined) return;
    else this.#look((this.#at ?? -Math.sign(step)) + step);
    event.preventDefault();
  }

  #look(at) {
    const last = (this.#data.values[0]?.length ?? 0) - 1;
    this.#at = at === null || last < 0 ? null : Math.min(Math.max(at, 0), last);
    this.#tell();
  }

  #tell() {
    const [at, { until, values }] = [this.#at, this.#data];
    const told = this.#labels.map((_, index) => this.#format(values[index]?.at(-1 - (at ?? 0)) ?? null));
    this.values.forEach((node, index) => say(node, told[index]));
    set(this.mark, "visibility", at === null ? "hidden" : "visible");
    const x = String(WIDTH * (1 - (at ?? 0) / (SPAN - 1)));
    set(this.mark, "x1", x);
    set(this.mark, "x2", x);
    const when = at === null ? "" : new Date(until - at * 1000).toLocaleTimeString();
    say(this.when, when);
    const all = this.#labels.map((label, index) => `${label} ${told[index]}`).join(", ");
    set(this.plot, "aria-label", `${this.title}, ${when || "now"}: ${all}. Arrow keys read each second.`);
  }
}

/** The path of a line, or of the area below it. A value that stands alone is a dot: a line of no length with round ends. */
function trace(values, height, closed = false) {
  const begin = SPAN - values.length;
  const across = (index) => (((begin + index) / (SPAN - 1)) * WIDTH).toFixed(1);
  let [path, pen] = ["", false];
  values.forEach((value, index) => {
    if (value === null) {
      pen = false;
      return;
    }
    const point = `${across(index)} ${height(value).toFixed(1)}`;
    if (pen) path += `L${point}`;
    else path += closed ? `M${across(index)} ${HEIGHT}L${point}` : `M${point}h0`;
    pen = true;
    if (closed && (values[index + 1] ?? null) === null) path += `V${HEIGHT}Z`;
  });
  return path;
}
