/* Read JSON as somebody types it, and say by line and column what is wrong.

       const { value, places, wrong } = readJson(text);
       wrong         null, or {line, column, says}
       places        by JSON pointer ("/items/0/price") where in the text that value begins

   The browser's own parser says this differently in every browser, or not at all; and it cannot say
   where a value stands, which is where an error of the schema has to be shown. */

const SPACE = /[ \t\n\r]*/y;
const TEXT = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
const DEPTH_MAX = 30; // The server takes 32 levels, the decision around the result among them.

class Wrong extends Error {
  constructor(at, says) {
    super(says);
    this.at = at;
  }
}

export function readJson(text) {
  const reader = new Reader(text);
  try {
    reader.value("", 0);
    reader.space();
    if (reader.at < text.length) throw new Wrong(reader.at, "the value has ended; nothing may follow");
    return { value: JSON.parse(text), places: reader.places, wrong: null };
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    const wrong = { ...lineOf(text, error.at), says: error.message };
    return { value: undefined, places: reader.places, wrong };
  }
}

export function lineOf(text, at) {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before.at(-1).length + 1 };
}

class Reader {
  constructor(text) {
    [this.text, this.at, this.places] = [text, 0, new Map()];
  }

  take(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  space() {
    this.take(SPACE);
  }

  fail(says) {
    throw new Wrong(this.at, this.at >= this.text.length ? `the text ends, but ${says}` : says);
  }

  value(path, depth) {
    this.space();
    this.places.set(path, this.at);
    if (depth > DEPTH_MAX) this.fail(`nested deeper than ${DEPTH_MAX} levels`);
    const first = this.text[this.at];
    if (first === "{") return this.members(path, depth);
    if (first === "[") return this.items(path, depth);
    if (first === '"') return this.string();
    if (this.take(WORD) || this.number()) return undefined;
    return this.fail('a value is expected: "text", a number, true, false, null, [ or {');
  }

  /* A browser rounds what is larger; a figure must not be changed on its way unseen. */
  number() {
    const from = this.at;
    const found = this.take(NUMBER);
    const value = Number(found);
    const exact = /[.eE]/.test(found) ? Number.isFinite(value) : Number.isSafeInteger(value);
    if (found && !exact) throw new Wrong(from, 'this number is too large to be kept exactly; write it as "text"');
    return found;
  }

  string() {
    const from = this.at;
    const found = this.take(TEXT);
    if (found !== undefined) return JSON.parse(found);
    throw new Wrong(from, 'this "text" does not end on its line, or holds a \\ that means nothing');
  }

  members(path, depth) {
    const seen = new Set();
    this.list("}", () => {
      if (this.text[this.at] !== '"') this.fail('a name in "quotes" is expected');
      const from = this.at;
      const name = this.string();
      if (seen.has(name)) throw new Wrong(from, `${JSON.stringify(name)} stands here twice`);
      seen.add(name);
      this.space();
      if (this.text[this.at] !== ":") this.fail("a : is expected after the name");
      this.at += 1;
      this.value(`${path}/${escaped(name)}`, depth + 1);
    });
  }

  items(path, depth) {
    let place = 0;
    this.list("]", () => {
      this.value(`${path}/${place}`, depth + 1);
      place += 1;
    });
  }

  list(end, one) {
    this.at += 1;
    this.space();
    if (this.text[this.at] === end) return void (this.at += 1);
    for (;;) {
      this.space();
      one();
      this.space();
      const next = this.text[this.at];
      if (next !== "," && next !== end) this.fail(`a comma or ${end} is expected`);
      this.at += 1;
      if (next === end) return undefined;
    }
  }
}

const escaped = (name) => name.replaceAll("~", "~0").replaceAll("/", "~1");

/* The API says where as names joined by dots, or as a JSON pointer; places knows pointers. */
export function pointerOf(at, places) {
  const said = String(at ?? "").replace(/^\$|^result(?=[./[]|$)/, "");
  if (said.startsWith("/") || said === "") return said;
  const names = said.replaceAll(/\[(\d+)\]/g, ".$1").split(".").filter(Boolean);
  const pointer = names.map((name) => `/${escaped(name)}`).join("");
  return places.has(pointer) ? pointer : "";
}
