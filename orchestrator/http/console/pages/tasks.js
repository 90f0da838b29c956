import { html } from "../lib/hooks.js";
import { Page } from "../lib/parts.js";

export function Tasks() {
  return html`<${Page} title="Tasks" />`;
}
