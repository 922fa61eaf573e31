"use strict";

/** The last minute of a number, drawn as it goes. */
class Chart {
  /** @param {HTMLCanvasElement} canvas @param {"bars"|"dots"} shape */
  constructor(canvas, shape) {
    this.canvas = canvas;
    this.shape = shape;
    this.points = [];
  }

  /** Seconds that are shown. */
  static SPAN = 60;

  /** @param {number} value @param {number} at seconds, as of `performance.now() / 1000` */
  add(value, at = performance.now() / 1000) {
    this.points.push({ at, value });
    // A bound for bursts: far more dots than the canvas has pixels show nothing more.
    if (this.points.length > 2000) this.points.splice(0, this.points.length - 2000);
  }

  draw() {
    const now = performance.now() / 1000;
    while (this.points.length && this.points[0].at < now - Chart.SPAN) this.points.shift();
    const scale = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (this.canvas.width !== Math.round(width * scale)) this.canvas.width = Math.round(width * scale);
    if (this.canvas.height !== Math.round(height * scale)) this.canvas.height = Math.round(height * scale);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.canvas);
    const accent = style.getPropertyValue("--accent"), dim = style.getPropertyValue("--dim");
    const top = this.points.reduce((most, point) => Math.max(most, point.value), 0);
    const ceiling = Chart.round(top);
    const x = (at) => width * (1 - (now - at) / Chart.SPAN);
    const y = (value) => height - 2 - (height - 16) * value / ceiling;
    pen.fillStyle = accent;
    const step = width / Chart.SPAN;
    for (const { at, value } of this.points) {
      if (this.shape === "bars") pen.fillRect(x(at) - step, y(value), Math.max(step - 1, 1), height - 2 - y(value));
      else pen.fillRect(x(at) - 1.5, y(value) - 1.5, 3, 3);
    }
    pen.fillStyle = dim;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "top";
    pen.fillText(String(ceiling), 4, 3);
  }

  /** The next of 1, 2, 5, 10, 20, 50 … */
  static round(value) {
    let power = 1;
    for (;;) {
      for (const digit of [1, 2, 5]) if (digit * power >= value) return digit * power;
      power *= 10;
    }
  }
}
