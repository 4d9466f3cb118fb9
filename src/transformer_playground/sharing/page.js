"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const light = ["#0072b2", "#b36b00", "#00795a", "#a34a7f", "#c24a12", "#857c00"];
  const dark = ["#56b4e9", "#e69f00", "#2fbf8f", "#cc79a7", "#e8704a", "#f0e442"];
  const dashes = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const state = { axis: "step", log: false, hidden: new Set(), view: null };
  const charts = [];

  const colour = (run) => (scheme.matches ? dark : light)[run % light.length];
  const dash = (run) => dashes[Math.floor(run / light.length) % dashes.length];
  const make = (tag, parent, text) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };
  const inherited = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Steps, tokens or seconds: the latter two between known points.
  const place = (line, index) => {
    const step = line.x[index];
    const known = data.runs[line.run].axes[state.axis];
    if (state.axis === "step" || !known) return step;
    const [steps, values] = known;
    let low = 0, high = steps.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (steps[middle] <= step) low = middle; else high = middle;
    }
    const span = steps[high] - steps[low] || 1;
    return values[low] + (values[high] - values[low]) * (step - steps[low]) / span;
  };
  const shown = (value) => {
    if (value === null || !isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(2);
    return Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(size < 10 ? 4 : 1);
  };
  const ticks = (low, high, count) => {
    const rough = (high - low) / count;
    if (!(rough > 0)) return [low];
    const power = 10 ** Math.floor(Math.log10(rough));
    const size = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
    const found = [];
    for (let value = Math.ceil(low / size) * size; value <= high; value += size) found.push(value);
    return found;
  };

  class Chart {
    constructor(chart, parent) {
      this.chart = chart;
      this.figure = make("figure", parent);
      const caption = make("figcaption", this.figure);
      const isOther = chart.event === "eval" && !chart.key.startsWith("val");
      make("span", caption, chart.key.replaceAll("_", " ") + (isOther ? " (evaluation)" : ""));
      this.output = make("output", caption);
      this.canvas = make("canvas", this.figure);
      this.canvas.setAttribute("role", "img");
      this.canvas.setAttribute("aria-label", chart.key);
      this.listen();
    }

    get lines() { return this.chart.lines.filter((line) => !state.hidden.has(line.run)); }

    bounds() {
      let left = Infinity, right = -Infinity;
      for (const line of this.lines) {
        left = Math.min(left, place(line, 0));
        right = Math.max(right, place(line, line.x.length - 1));
      }
      if (!isFinite(left)) return [0, 1];
      return right > left ? [left, right] : [left, left + 1];
    }

    heights([left, right], skips) {
      let low = Infinity, high = -Infinity;
      // The first steps would hide all that comes after them.
      const from = skips ? left + (right - left) * 0.05 : left;
      for (const line of this.lines) {
        for (let index = 0; index < line.x.length; index++) {
          const x = place(line, index), y = line.y[index];
          if (y === null || x < from || x > right || (state.log && y <= 0)) continue;
          low = Math.min(low, y); high = Math.max(high, y);
        }
      }
      if (!isFinite(low)) return skips ? this.heights([left, right], false) : [0, 1];
      if (state.log) return [Math.log10(low), Math.log10(high > low ? high : low * 1.1)];
      const margin = (high - low || Math.abs(high) || 1) * 0.05;
      return [low - margin, high + margin];
    }

    draw() {
      const canvas = this.canvas, ratio = devicePixelRatio || 1;
      const width = canvas.clientWidth, height = canvas.clientHeight;
      if (!width) return;
      canvas.width = width * ratio; canvas.height = height * ratio;
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      const x = state.view || this.bounds(), y = this.heights(x, state.view === null);
      const box = { left: 62, top: 8, width: width - 74, height: height - 32 };
      const across = (value) => box.left + (value - x[0]) / (x[1] - x[0]) * box.width;
      const up = (value) => box.top + (1 - (value - y[0]) / (y[1] - y[0])) * box.height;
      this.scale = { x, box };
      pen.font = "12px system-ui, sans-serif"; pen.lineWidth = 1;
      pen.strokeStyle = inherited("--line"); pen.fillStyle = inherited("--muted");
      pen.textAlign = "right"; pen.textBaseline = "middle";
      for (const tick of ticks(y[0], y[1], 6)) {
        pen.beginPath(); pen.moveTo(box.left, up(tick)); pen.lineTo(box.left + box.width, up(tick)); pen.stroke();
        pen.fillText(shown(Number((state.log ? 10 ** tick : tick).toPrecision(4))), box.left - 6, up(tick));
      }
      pen.textAlign = "center"; pen.textBaseline = "top";
      for (const tick of ticks(x[0], x[1], Math.max(2, Math.floor(width / 80)))) {
        pen.fillText(shown(Number(tick.toPrecision(6))), across(tick), box.top + box.height + 6);
      }
      pen.save(); pen.beginPath(); pen.rect(box.left, 0, box.width, height); pen.clip();
      for (const line of this.lines) {
        pen.strokeStyle = colour(line.run); pen.lineWidth = 1.6; pen.setLineDash(dash(line.run));
        pen.beginPath();
        let isOpen = false;
        for (let index = 0; index < line.x.length; index++) {
          const value = line.y[index];
          if (value === null || (state.log && value <= 0)) { isOpen = false; continue; }
          const point = [across(place(line, index)), up(state.log ? Math.log10(value) : value)];
          if (isOpen) pen.lineTo(...point); else pen.moveTo(...point);
          isOpen = true;
        }
        pen.stroke();
      }
      if (this.cursor !== undefined) {
        pen.setLineDash([]); pen.strokeStyle = inherited("--muted"); pen.lineWidth = 1;
        pen.beginPath(); pen.moveTo(across(this.cursor), box.top);
        pen.lineTo(across(this.cursor), box.top + box.height); pen.stroke();
      }
      pen.restore();
    }

    position(event) {
      const { x, box } = this.scale;
      const share = (event.offsetX - box.left) / box.width;
      return x[0] + Math.min(1, Math.max(0, share)) * (x[1] - x[0]);
    }

    read(value) {
      const parts = [`${state.axis} ${shown(Math.round(value))}`];
      for (const line of this.lines.slice(0, 4)) {
        let best = 0;
        for (let index = 1; index < line.x.length; index++) {
          if (Math.abs(place(line, index) - value) < Math.abs(place(line, best) - value)) best = index;
        }
        parts.push(`${data.runs[line.run].name} ${shown(line.y[best])}`);
      }
      this.output.textContent = parts.join(" · ");
    }

    listen() {
      let start = null;
      this.canvas.addEventListener("pointermove", (event) => {
        if (!this.scale) return;
        const value = this.position(event);
        if (start !== null && event.buttons) {
          const moved = this.position(start) - value, [left, right] = start.view;
          state.view = [left + moved, right + moved];
          redraw();
          return;
        }
        for (const chart of charts) chart.cursor = value;
        this.read(value);
        redraw();
      });
      this.canvas.addEventListener("pointerleave", () => {
        for (const chart of charts) chart.cursor = undefined;
        this.output.textContent = "";
        redraw();
      });
      this.canvas.addEventListener("pointerdown", (event) => {
        if (!this.scale) return;
        start = { offsetX: event.offsetX, view: this.scale.x };
        this.canvas.setPointerCapture(event.pointerId);
      });
      this.canvas.addEventListener("pointerup", () => { start = null; });
      this.canvas.addEventListener("wheel", (event) => {
        event.preventDefault();
        const at = this.position(event), factor = event.deltaY > 0 ? 1.25 : 0.8;
        const [left, right] = this.scale.x;
        state.view = [at + (left - at) * factor, at + (right - at) * factor];
        redraw();
      }, { passive: false });
      this.canvas.addEventListener("dblclick", () => { state.view = null; redraw(); });
    }
  }

  let isAsked = false;
  const redraw = () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; for (const chart of charts) chart.draw(); });
  };

  const controls = document.getElementById("controls");
  const axis = make("select", make("label", controls, "axis "));
  for (const name of ["step", "tokens", "time"]) make("option", axis, name);
  axis.addEventListener("change", () => { state.axis = axis.value; state.view = null; redraw(); });
  const box = (label, change, isOn) => {
    const element = make("label", controls);
    const input = make("input", element);
    input.type = "checkbox"; input.checked = isOn;
    input.addEventListener("change", () => { change(input.checked); redraw(); });
    element.append(label);
    return element;
  };
  box("logarithmic", (isOn) => { state.log = isOn; }, false);
  const whole = make("button", controls, "show all");
  whole.title = "Wheel zooms, dragging moves, a double click shows all.";
  whole.addEventListener("click", () => { state.view = null; redraw(); });
  data.runs.forEach((run, number) => {
    const element = box(run.name, (isOn) => {
      if (isOn) state.hidden.delete(number); else state.hidden.add(number);
    }, true);
    const key = make("span", element);
    key.className = "key";
    key.style.background = colour(number);
  });

  const parent = document.getElementById("charts");
  if (!data.charts.length) make("p", parent, "These runs have no logged values yet.");
  for (const chart of data.charts) charts.push(new Chart(chart, parent));
  if (charts.length) charts[0].figure.className = "large";
  addEventListener("resize", redraw);
  scheme.addEventListener("change", () => {
    document.querySelectorAll(".key").forEach((key, number) => { key.style.background = colour(number); });
    redraw();
  });
  for (const chart of charts) chart.draw();
  document.documentElement.dataset.ready = String(charts.length);
})();
