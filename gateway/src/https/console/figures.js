// The figures of a frame: the text format of Prometheus, read into numbers, and what lies between
// two readings.

const LINE = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/i;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

function labelsOf(text) {
  const labels = {};
  for (const [, name, value] of (text ?? "").matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
  }
  return labels;
}

// One reading.
export class Figures {
  constructor(text, at) {
    this.at = at;
    this.rows = new Map();
    this.help = new Map();
    for (const line of text.split("\n")) {
      if (line.startsWith("# HELP ")) {
        const [, , name, ...words] = line.split(" ");
        this.help.set(name, words.join(" "));
        continue;
      }
      const found = LINE.exec(line);
      if (!found) continue;
      const [, name, labels, value] = found;
      if (!this.rows.has(name)) this.rows.set(name, []);
      this.rows.get(name).push({ labels: labelsOf(labels), text: value, value: Number(value) });
    }
  }

  // Every row of a name whose labels are at least these.
  all(name, labels = {}) {
    const fits = (row) => Object.entries(labels).every(([key, value]) => row.labels[key] === value);
    return (this.rows.get(name) ?? []).filter(fits);
  }

  // Their sum; nothing without any.
  sum(name, labels = {}) {
    const rows = this.all(name, labels);
    return rows.length === 0 ? undefined : rows.reduce((sum, row) => sum + row.value, 0);
  }

  // Everything whose name begins so, one row each.
  named(...heads) {
    const names = [...this.rows.keys()].filter((name) => heads.some((head) => name.startsWith(head)));
    return names.sort().flatMap((name) => this.all(name).map((row) => ({ name, ...row })));
  }
}

// What lies between an earlier reading and a later one.
export class Span {
  constructor(earlier, later) {
    this.earlier = earlier;
    this.later = later;
    this.seconds = (later.at - earlier.at) / 1000;
  }

  // How much a counter has grown; a process that was started anew begins at 0.
  growth(name, labels = {}) {
    const now = this.later.sum(name, labels) ?? 0;
    const before = this.earlier.sum(name, labels) ?? 0;
    return now < before ? now : now - before;
  }

  rate(name, labels = {}) {
    return this.seconds > 0 ? this.growth(name, labels) / this.seconds : 0;
  }

  // The bound, in seconds, that this share of a histogram's times keep below; nothing without any.
  below(share, name, labels = {}) {
    const bounds = this.later.all(`${name}_bucket`, labels).map((row) => row.labels.le);
    const counts = bounds.map((le) => [
      le === "+Inf" ? Infinity : Number(le),
      this.growth(`${name}_bucket`, { ...labels, le }),
    ]);
    counts.sort((one, other) => one[0] - other[0]);
    const total = counts.at(-1)?.[1] ?? 0;
    return total === 0 ? undefined : counts.find(([, count]) => count >= share * total)[0];
  }
}

// The readings of the last minutes.
export class Past {
  constructor(length) {
    this.length = length;
    this.readings = [];
  }

  add(figures) {
    this.readings.push(figures);
    if (this.readings.length > this.length) this.readings.shift();
  }

  // From the reading so many back, or the oldest one, to the last.
  span(back) {
    const last = this.readings.length - 1;
    return new Span(this.readings[Math.max(0, last - back)], this.readings[last]);
  }
}
