/* How figures and times are written.

       money(1_250_000) "$1.25"      money(420) "$0.00042"     amount("tokens", 12_345) "12,345"
       short(12_345) "12.3k"         duration(83_000) "1 min 23 s"
       percent(0.953) "95 %"         moment(ms) "2026-11-21 06:11:03" in the reader's own time
       shortId("4257d7298...") "4257d729"

   Times that pass are components on one shared ticker:
       <${Ago} at=${accepted_ms} />          "3 min ago" (`bare`: "3 min"); the exact moment on hover
       <${Countdown} to=${deadline_ms} />    "4 min 10 s left"; turns urgent below a minute

   Amounts of the API are {tokens, usd_micros, calls}; DIMENSIONS lists them with their words. */

import { html, useEffect, useState } from "../vendor/preact.js";
import { serverNow } from "./api.js";

export const DIMENSIONS = [
  { name: "tokens", word: "tokens", one: "token" },
  { name: "usd_micros", word: "US dollars", one: "US dollar" },
  { name: "calls", word: "calls", one: "call" },
];
const MICROS_PER_USD = 1e6;
const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function money(micros) {
  const usd = micros / MICROS_PER_USD;
  const digits = usd === 0 || Math.abs(usd) >= 1 ? 2 : Math.abs(usd) >= 0.01 ? 4 : 6;
  const text = Math.abs(usd).toLocaleString("en", {
    minimumFractionDigits: 2,
    maximumFractionDigits: digits,
  });
  return `${usd < 0 ? "−" : ""}$${text}`;
}

export const count = (n) => whole.format(n ?? 0);

export const short = (n) => ((n ?? 0) < 10000 ? whole.format(n ?? 0) : compact.format(n).replace("K", "k"));

export function amount(name, n) {
  return name === "usd_micros" ? money(n ?? 0) : count(n);
}

export function shortAmount(name, n) {
  return name === "usd_micros" ? money(n ?? 0) : short(n);
}

/* Only the dimensions that are not zero, in words: "1,200 tokens, 3 calls". */
export function amounts(sum) {
  const parts = DIMENSIONS.filter(({ name }) => sum?.[name]).map(({ name, word, one }) =>
    name === "usd_micros" ? money(sum[name]) : `${count(sum[name])} ${sum[name] === 1 ? one : word}`,
  );
  return parts.join(", ") || "nothing";
}

export const percent = (share) => `${Math.round((share ?? 0) * 100)} %`;

export const confidence = (value) => (value === null || value === undefined ? "" : value.toFixed(2));

export const shortId = (id) => {
  const [task, letter] = String(id ?? "").split(".");
  return task.slice(0, 8) + (letter ? `.${letter}` : "");
};

/* At most two units: what is read at a glance. */
export function duration(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return Number.isInteger(s) ? `${s} s` : `${s.toFixed(1)} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => s >= size);
  const [unit, size] = units[first];
  const big = Math.floor(s / size);
  const next = units[first + 1];
  const rest = next ? Math.floor((s - big * size) / next[1]) : 0;
  return rest ? `${big} ${unit} ${rest} ${next[0]}` : `${big} ${unit}`;
}

export function moment(ms) {
  const at = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  return `${day} ${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":")}`;
}

export function ago(ms, now = serverNow()) {
  const past = now - ms;
  if (past < 5000) return "just now";
  return `${duration(Math.floor(past / 1000) * 1000).split(/ (?=\d)/)[0]} ago`;
}

/* --- what passes ------------------------------------------------------------------------------ */

const TICK_MS = 1000;
const watchers = new Set();
let ticker;

/* One timer for every time on the page; it stops when nothing watches or nobody looks. */
export function useNow() {
  const [, draw] = useState(0);
  useEffect(() => {
    watchers.add(draw);
    ticker ??= setInterval(tick, TICK_MS);
    return () => {
      watchers.delete(draw);
      if (watchers.size) return;
      clearInterval(ticker);
      ticker = undefined;
    };
  }, []);
  return serverNow();
}

function tick() {
  if (document.hidden) return;
  for (const draw of [...watchers]) draw((n) => n + 1);
}

export function Ago({ at, bare = false }) {
  const now = useNow();
  if (!at) return null;
  const said = bare ? ago(at, now).replace(/ ago$/, "") : ago(at, now);
  const when = new Date(at).toISOString();
  return html`<time class="figure" datetime=${when} title=${moment(at)}>${said}</time>`;
}

const URGENT_MS = 60000;

export function Countdown({ to, past = "over" }) {
  const now = useNow();
  if (!to) return null;
  const left = to - now;
  const urgency = left <= 0 ? "is-over" : left < URGENT_MS ? "is-urgent" : "";
  const text = left <= 0 ? past : `${duration(Math.floor(left / 1000) * 1000)} left`;
  const when = new Date(to).toISOString();
  return html`<time class=${`figure countdown ${urgency}`} datetime=${when} title=${moment(to)}>${text}</time>`;
}
