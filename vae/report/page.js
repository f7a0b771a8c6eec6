// The divergences. vae/report/page.py translates `formula`, TERMS and FLOOR from Python; this file only calls them.

const where = (condition, yes, no) => (condition ? yes : no);
const kernel = (f) => (x, k, otherK, logR) => f(x, k, otherK, logR, Math.log, where, 1, TERMS, FLOOR);
const [g, gs] = [kernel(formula.g), kernel(formula.gs)];

// As jsgmath/reduction/diagonal.py does for variances: log_r1, r1, r2, e1, e2, d1, d2.
function canonical({ mean1, var1, mean2, var2 }) {
  const [r1, r2, delta] = [var1 / var2, var2 / var1, mean1 - mean2];
  return [
    Math.log(r1), r1, r2, (var1 - var2) / var2, (var2 - var1) / var1, delta / Math.sqrt(var1), delta / Math.sqrt(var2),
  ];
}

function weights(alpha, convention) {
  const [w1, w2] = [1 - alpha, alpha];
  const [g1, g2] = formula.mean_weights(w1, w2, convention === "deasy");
  return { w1, w2, g1, g2 };
}

function skewed(terms, kernel) {
  return (pair, alpha, convention = "deasy") => {
    const { w1, w2, g1, g2 } = weights(alpha, convention);
    return formula.skew(w1, w2, ...terms(g1, g2, ...canonical(pair), kernel));
  };
}

const jsg = skewed(formula.to_mean, g);
const jsgDual = skewed(formula.from_mean, gs);
const klForward = (pair) => jsg(pair, 0); // KL(N1||N2)
const klBackward = (pair) => jsg(pair, 1); // KL(N2||N1)

// Mean and variance of G.
function geometricMean(pair, alpha, convention) {
  const { g1, g2 } = weights(alpha, convention);
  const [, r1, r2] = canonical(pair);
  const [k1, , p1, p2] = formula.shares(g1, g2, r1, r2);
  return { mean: p1 * pair.mean1 + p2 * pair.mean2, variance: pair.var1 / k1 };
}

const logDensity = (mean, variance) => (x) => -((x - mean) ** 2 / variance + Math.log(2 * Math.PI * variance)) / 2;

// The curves over x: densities, and the integrands of JSG and JSG*.
function integrands(pair, alpha, convention) {
  const { mean, variance } = geometricMean(pair, alpha, convention);
  const [log1, log2] = [logDensity(pair.mean1, pair.var1), logDensity(pair.mean2, pair.var2)];
  const logG = logDensity(mean, variance);
  const skew = (to1, to2) => formula.skew(1 - alpha, alpha, to1, to2);
  return {
    n1: (x) => Math.exp(log1(x)),
    n2: (x) => Math.exp(log2(x)),
    geometricMean: (x) => Math.exp(logG(x)),
    mixture: (x) => skew(Math.exp(log1(x)), Math.exp(log2(x))),
    jsg: (x) => skew(Math.exp(log1(x)) * (log1(x) - logG(x)), Math.exp(log2(x)) * (log2(x) - logG(x))),
    jsgDual: (x) => skew(Math.exp(logG(x)) * (logG(x) - log1(x)), Math.exp(logG(x)) * (logG(x) - log2(x))),
  };
}

// For the browser's console, and the tests.
window.jsgmath = { jsg, jsgDual, klForward, klBackward, geometricMean, integrands };

// Charts

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const clamp = (value, [low, high]) => Math.min(Math.max(value, low), high);
const range = (count) => Array.from({ length: count }, (_, index) => index);
const spaced = ([low, high], count) => range(count + 1).map((index) => low + ((high - low) * index) / count);

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

// About so many round numbers in a domain.
function ticks([low, high], about) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return range(Math.floor(high / step + 1e-9) - first + 1).map((index) => {
    const value = (first + index) * step;
    return { value, text: value.toFixed(digits).replace("-", "−") };
  });
}

function extent(values, { zero = false, room = 0.06 } = {}) {
  const finite = values.filter(Number.isFinite);
  const low = Math.min(...finite, ...(zero ? [0] : []));
  const high = Math.max(...finite, ...(zero ? [0] : []));
  const more = (high - low || Math.abs(high) || 1) * room;
  return [zero && low === 0 ? 0 : low - more, high + more];
}

// Empties a group, draws axes into it and returns the scales; `box` is the rectangle between the axes.
function axes(group, box, x, y, { xTicks = 6, yTicks = 4, title = "" } = {}) {
  group.replaceChildren();
  const scale = (domain, from, to) => (value) => from + ((value - domain[0]) / (domain[1] - domain[0])) * (to - from);
  const sx = scale(x, box.left, box.right);
  const sy = scale(y, box.bottom, box.top);
  for (const { value, text } of ticks(y, yTicks)) {
    element("line", { class: "grid", x1: box.left, x2: box.right, y1: sy(value), y2: sy(value) }, group);
    element("text", { x: box.left - 6, y: sy(value) + 4, "text-anchor": "end" }, group).textContent = text;
  }
  for (const { value, text } of ticks(x, xTicks)) {
    element("line", { class: "axis", x1: sx(value), x2: sx(value), y1: box.bottom, y2: box.bottom + 4 }, group);
    element("text", { x: sx(value), y: box.bottom + 17, "text-anchor": "middle" }, group).textContent = text;
  }
  const base = y[0] < 0 && y[1] > 0 ? sy(0) : box.bottom;
  element("line", { class: "axis", x1: box.left, x2: box.right, y1: base, y2: base }, group);
  if (title) element("text", { class: "title", x: box.left, y: box.top - 8 }, group).textContent = title;
  return { sx, sy, base };
}

function path(points, { sx, sy }) {
  let pen = "M";
  let drawn = "";
  for (const [x, y] of points) {
    if (Number.isFinite(y)) drawn += `${pen}${sx(x).toFixed(2)},${sy(y).toFixed(2)}`;
    pen = Number.isFinite(y) ? "L" : "M";
  }
  return drawn;
}

const line = (group, name, points, scales) =>
  element("path", { class: `line ${name}`, d: path(points, scales) }, group);

function area(group, name, points, scales) {
  const [first, last] = [scales.sx(points[0][0]), scales.sx(points.at(-1)[0])];
  const d = `${path(points, scales)}L${last},${scales.base}L${first},${scales.base}Z`;
  return element("path", { class: `area ${name}`, d }, group);
}

const mark = (group, name, x, y, { sx, sy }, r = 5) =>
  element("circle", { class: `dot ${name}`, cx: sx(x), cy: sy(y), r }, group);

const upright = (group, x, box, { sx }) =>
  element("line", { class: "now", x1: sx(x), x2: sx(x), y1: box.top, y2: box.bottom }, group);

// A chart has the size that the page gives it; in print it is scaled.
function size(svg) {
  const { width, height } = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  return { width, height };
}

// `axes` draws in the first group of a chart.
function canvas(svg, { left = 44, right = 8, top = 8 } = {}) {
  const group = svg.querySelector(".plot") ?? element("g", { class: "plot" });
  svg.prepend(group);
  const { width, height } = size(svg);
  return { group, box: { left, right: width - right, top, bottom: height - 24 } };
}

const signed = (value, digits) => value.toFixed(digits).replace("-", "−");
const digits = (value) => (value === 0 ? "0" : Number(value.toPrecision(6)).toString().replace("-", "−"));

// The state, which is kept in the page's address

const MEANS = [-4, 4];
const SPREADS = [0.2, 3];
const LIMITS = { mean1: MEANS, mean2: MEANS, var1: [0.04, 9], var2: [0.04, 9], alpha: [0, 1] };
const state = { mean1: -1, var1: 0.4, mean2: 1, var2: 1.5, alpha: 0.3, convention: "deasy" };

function restore() {
  for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
    if (key in LIMITS && text.trim() && Number.isFinite(Number(text))) state[key] = clamp(Number(text), LIMITS[key]);
    if (key === "convention" && ["deasy", "nielsen"].includes(text)) state.convention = text;
  }
}

// Delayed, as browsers limit how often the address changes, and a screen reader should not read every step.
let pause;
function afterwards() {
  clearTimeout(pause);
  pause = setTimeout(() => {
    history.replaceState(null, "", `#${new URLSearchParams(state)}`);
    const at = values(state.alpha);
    byId("status").textContent =
      `alpha ${state.alpha}: JSG ${digits(at.jsg)}, JSG* ${digits(at["jsg-dual"])}, KL from N1 to N2 ` +
      `${digits(at["kl-qp"])}, KL from N2 to N1 ${digits(at["kl-pq"])} nats`;
  }, 300);
}

function set(changes) {
  Object.assign(state, changes);
  draw();
  afterwards();
}

// Live part

const values = (alpha) => ({
  jsg: jsg(state, alpha, state.convention),
  "jsg-dual": jsgDual(state, alpha, state.convention),
  "kl-qp": klForward(state),
  "kl-pq": klBackward(state),
});
const DIVERGENCES = ["kl-qp", "kl-pq", "jsg", "jsg-dual"];
const X = [-6, 6];
let scaleX; // of the densities, for the handles

function drawDensities(at) {
  const { group, box } = canvas(byId("densities"), { top: 24 });
  const curves = { "kl-qp": at.n1, "kl-pq": at.n2, js: at.mixture, jsg: at.geometricMean };
  const mean = geometricMean(state, state.alpha, state.convention);
  const xs = [...spaced(X, 400), state.mean1, state.mean2, mean.mean].sort((a, b) => a - b); // with every peak
  const points = Object.entries(curves).map(([name, f]) => [name, xs.map((x) => [x, f(x)])]);
  const scales = axes(group, box, X, extent(points.flatMap(([, of]) => of.map(([, y]) => y)), { zero: true }));
  scaleX = { box, sx: scales.sx };
  for (const [name, of] of points) if (name !== "js") area(group, name, of, scales);
  for (const [name, of] of points) line(group, name, of, scales);
  for (const handle of handles) handle.place(scales);
}

function drawIntegrands(at) {
  const { group, box } = canvas(byId("integrands"));
  const points = { jsg: at.jsg, "jsg-dual": at.jsgDual };
  const xs = spaced(X, 600);
  const of = Object.entries(points).map(([name, f]) => [name, xs.map((x) => [x, f(x)])]);
  const scales = axes(group, box, X, extent(of.flatMap(([, each]) => each.map(([, y]) => y)), { zero: true }));
  for (const [name, each] of of) area(group, name, each, scales);
  for (const [name, each] of of) line(group, name, each, scales);
}

const ALPHAS = spaced([0, 1], 200);
let alphaAt; // the alpha under a pixel of the divergences

function drawDivergences() {
  const { group, box } = canvas(byId("divergences"), { right: 12 });
  const rows = ALPHAS.map((alpha) => ({ alpha, ...values(alpha) }));
  const all = rows.flatMap((row) => DIVERGENCES.map((name) => row[name]));
  const scales = axes(group, box, [0, 1], extent(all, { zero: true }), { xTicks: 5 });
  upright(group, state.alpha, box, scales);
  const now = values(state.alpha);
  for (const name of DIVERGENCES) line(group, name, rows.map((row) => [row.alpha, row[name]]), scales);
  for (const name of DIVERGENCES) mark(group, name, state.alpha, now[name], scales);
  alphaAt = (pixel) => clamp((pixel - box.left) / (box.right - box.left), [0, 1]);
  const csv = ["alpha,jsg,jsg_dual,kl_n1_n2,kl_n2_n1"];
  for (const row of rows) csv.push([row.alpha, row.jsg, row["jsg-dual"], row["kl-qp"], row["kl-pq"]].join());
  byId("curves-csv").href = `data:text/csv;charset=utf-8,${encodeURIComponent(`${csv.join("\n")}\n`)}`;
}

function drawTexts() {
  const now = values(state.alpha);
  for (const name of DIVERGENCES) byId(`value-${name}`).textContent = digits(now[name]);
  for (const key of Object.keys(LIMITS)) {
    if (document.activeElement !== byId(key) || byId(key).type === "range") byId(key).value = state[key];
  }
  byId("alpha-value").textContent = state.alpha.toFixed(2);
  document.querySelector(`[name=convention][value=${state.convention}]`).checked = true;
  const { mean, variance } = geometricMean(state, state.alpha, state.convention);
  byId("mean-distribution").textContent = `N(${signed(mean, 4)}, ${variance.toFixed(4)})`;
  for (const node of document.querySelectorAll("[data-convention]")) {
    node.hidden = node.dataset.convention !== state.convention;
  }
  const gaussian = (index) => `Gaussian(mean=[${state[`mean${index}`]}], var=[${state[`var${index}`]}])`;
  byId("python").textContent =
    `jsg(${gaussian(1)}, ${gaussian(2)}, ${state.alpha}` +
    `${state.convention === "deasy" ? "" : ', convention="nielsen"'}) = ${now.jsg}`;
}

// A handle that the mouse, a finger or the arrow keys move.
class Handle {
  constructor(index, kind) {
    Object.assign(this, { index, kind, side: index === 1 ? -1 : 1 });
    const label = `${kind === "mean" ? "Mean" : "Standard deviation"} of N${index}`;
    const [low, high] = kind === "mean" ? MEANS : SPREADS;
    this.node = element("g", {
      class: "handle", id: `handle-${kind}${index}`, tabindex: 0, role: "slider", "aria-label": label,
      "aria-orientation": "horizontal", "aria-valuemin": low, "aria-valuemax": high,
    }, byId("densities"));
    element("circle", { class: "touch", r: 18 }, this.node);
    if (kind === "mean") {
      element("circle", { class: "grip", r: 6.5 }, this.node);
      element("text", { y: -12 }, this.node).textContent = index === 1 ? "N₁" : "N₂";
    } else {
      element("path", { class: "grip", d: "M-7,0L0,-7L7,0L0,7Z" }, this.node);
    }
    this.node.addEventListener("pointerdown", (event) => {
      this.node.setPointerCapture(event.pointerId);
      this.node.focus({ preventScroll: true });
      event.preventDefault();
    });
    // Chromium ignores touch-action on elements inside SVG.
    this.node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    this.node.addEventListener("pointermove", (event) => {
      if (!this.node.hasPointerCapture(event.pointerId)) return;
      const { box, sx } = scaleX;
      const pixel = event.clientX - byId("densities").getBoundingClientRect().left;
      const x = X[0] + ((pixel - box.left) / (sx(X[1]) - sx(X[0]))) * (X[1] - X[0]);
      this.value = kind === "mean" ? x : this.side * (x - state[`mean${index}`]);
    });
    this.node.addEventListener("keydown", (event) => {
      const steps = {
        ArrowRight: this.kind === "mean" ? 1 : this.side, ArrowUp: 1, PageUp: 10,
        ArrowLeft: this.kind === "mean" ? -1 : -this.side, ArrowDown: -1, PageDown: -10,
        Home: -Infinity, End: Infinity,
      };
      if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
      this.value += 0.05 * steps[event.key];
      event.preventDefault();
    });
  }

  get value() {
    return this.kind === "mean" ? state[`mean${this.index}`] : Math.sqrt(state[`var${this.index}`]);
  }

  // Rounded to hundredths, so that the page's address stays short.
  set value(wanted) {
    const value = Number(clamp(wanted, this.kind === "mean" ? MEANS : SPREADS).toFixed(2));
    set(this.kind === "mean" ? { [`mean${this.index}`]: value } : { [`var${this.index}`]: Number((value * value).toFixed(4)) });
  }

  place({ sx, sy }) {
    const [mean, variance] = [state[`mean${this.index}`], state[`var${this.index}`]];
    const x = this.kind === "mean" ? mean : mean + this.side * Math.sqrt(variance);
    const y = Math.exp(logDensity(mean, variance)(x));
    this.node.setAttribute("transform", `translate(${sx(x)},${sy(y)})`);
    this.node.setAttribute("aria-valuenow", this.value.toFixed(2));
    this.node.setAttribute("aria-valuetext",
      this.kind === "mean" ? signed(mean, 2) : `${this.value.toFixed(2)}, variance ${digits(variance)}`);
  }
}

function draw() {
  const at = integrands(state, state.alpha, state.convention);
  drawDensities(at);
  drawIntegrands(at);
  drawDivergences();
  drawTexts();
}

// Events

const handles = [1, 2].flatMap((index) => [new Handle(index, "mean"), new Handle(index, "spread")]);

byId("alpha").addEventListener("input", (event) => set({ alpha: Number(event.target.value) }));
byId("parameters").addEventListener("input", ({ target }) => {
  if (target.name === "convention") set({ convention: target.value });
  else if (target.value !== "" && target.validity.valid) set({ [target.id]: Number(target.value) });
});
byId("parameters").addEventListener("focusout", drawTexts); // a refused number disappears
for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());

const divergences = byId("divergences");
function pick(event) {
  const pixel = event.clientX - divergences.getBoundingClientRect().left;
  set({ alpha: Number(alphaAt(pixel).toFixed(2)) });
}
divergences.addEventListener("pointerdown", (event) => {
  divergences.setPointerCapture(event.pointerId);
  pick(event);
});
divergences.addEventListener("pointermove", (event) => {
  if (divergences.hasPointerCapture(event.pointerId)) pick(event);
});

window.addEventListener("hashchange", () => {
  restore();
  draw();
});
let drawnWidth = innerWidth;
window.addEventListener("resize", () => {
  if (innerWidth === drawnWidth) return; // only the height changed, as when a phone shows its toolbar
  drawnWidth = innerWidth;
  draw();
});

restore();
draw();
