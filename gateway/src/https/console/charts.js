// The charts: lines of the last five minutes, drawn by uPlot, each with its words for those who do
// not see it.

const LENGTH = 300;
const HEIGHT = 180;
const COLORS = ["--link", "--breach"];

const colorOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const axis = (values) => ({
  stroke: () => colorOf("--ink"),
  grid: { stroke: () => colorOf("--line"), width: 1 },
  ticks: { stroke: () => colorOf("--line"), width: 1 },
  ...(values ? { values: (_, ticks) => ticks.map(values), size: 64 } : {}),
});

// One chart with a title and a line for each name.
export class Chart {
  constructor(into, title, names, write) {
    this.title = title;
    this.names = names;
    this.write = write;
    this.data = [[], ...names.map(() => [])];
    const box = document.createElement("div");
    box.className = "chart";
    const heading = document.createElement("h3");
    heading.textContent = title;
    this.picture = document.createElement("div");
    this.picture.setAttribute("role", "img");
    this.picture.setAttribute("aria-label", title);
    box.append(heading, this.picture);
    into.append(box);
    const lines = names.map((label, at) => ({
      label, width: 2, stroke: () => colorOf(COLORS[at]), points: { show: false },
    }));
    const width = () => Math.max(200, box.clientWidth);
    this.plot = new uPlot({
      width: width(), height: HEIGHT, cursor: { show: false }, legend: { show: names.length > 1, live: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1e-9) * 1.1] } },
      axes: [axis(), axis(write)], series: [{}, ...lines],
    }, this.data, this.picture);
    new ResizeObserver(() => this.plot.setSize({ width: width(), height: HEIGHT })).observe(box);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.plot.redraw());
  }

  add(ms, values) {
    this.data[0].push(ms / 1000);
    values.forEach((value, at) => this.data[at + 1].push(Number.isFinite(value) ? value : null));
    if (this.data[0].length > LENGTH) this.data.forEach((line) => line.shift());
    this.plot.setData(this.data);
    const said = this.names.map((name, at) => {
      const known = this.data[at + 1].filter((value) => value !== null);
      if (known.length === 0) return `${name}: nothing yet`;
      return `${name}: now ${this.write(known.at(-1))}, at most ${this.write(Math.max(...known))}`;
    });
    this.picture.setAttribute("aria-label", `${this.title}, the last five minutes. ${said.join("; ")}.`);
  }
}
