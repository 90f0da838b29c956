import { html } from "../lib/hooks.js";
import { Page } from "../lib/parts.js";

export function Task() {
  return html`<${Page} title="Task" />`;
}
