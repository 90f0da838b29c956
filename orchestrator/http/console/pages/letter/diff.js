/* What was changed between two texts, line by line.

       for (const { kind, text, line } of difference(before, after)) ...
       kind: "same", "gone", "new", or "skip" where `text` says how many equal lines are left out

   What both begin and end with is cut off first; the rest is compared by the longest common
   subsequence where that is affordable, else shown as one block that gave way to another. */

const CELLS_MAX = 400_000;
const AROUND = 3;

export function difference(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let [head, tail] = [0, 0];
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const [from, to] = [a.slice(head, a.length - tail), b.slice(head, b.length - tail)];
  const changed = from.length * to.length > CELLS_MAX ? block(from, to) : compared(from, to);
  const same = (text) => ({ kind: "same", text });
  const all = [...a.slice(0, head).map(same), ...changed, ...a.slice(a.length - tail).map(same)];
  return shortened(numbered(all));
}

const block = (from, to) => [
  ...from.map((text) => ({ kind: "gone", text })),
  ...to.map((text) => ({ kind: "new", text })),
];

function compared(a, b) {
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  const lines = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const equal = i < a.length && j < b.length && a[i] === b[j];
    const gone = j >= b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1]);
    if (equal) lines.push({ kind: "same", text: a[(j += 1, i++)] });
    else if (gone) lines.push({ kind: "gone", text: a[i++] });
    else lines.push({ kind: "new", text: b[j++] });
  }
  return lines;
}

function numbered(lines) {
  let [old, now] = [0, 0];
  return lines.map((each) => {
    if (each.kind !== "new") old += 1;
    if (each.kind !== "gone") now += 1;
    return { ...each, line: each.kind === "gone" ? old : now };
  });
}

/* Only what stands near a change is shown. */
function shortened(lines) {
  const near = new Set();
  for (const [place, { kind }] of lines.entries())
    if (kind !== "same") for (let n = place - AROUND; n <= place + AROUND; n += 1) near.add(n);
  const shown = [];
  let left = 0;
  for (const [place, each] of lines.entries()) {
    if (near.has(place)) {
      if (left) shown.push(skipped(left));
      left = 0;
      shown.push(each);
    } else left += 1;
  }
  if (left) shown.push(skipped(left));
  return shown;
}

const skipped = (n) => ({ kind: "skip", text: `${n} equal ${n === 1 ? "line" : "lines"}`, line: "" });
