import { readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { decisionTable } from "../../domain/access.ts";

/** The modules of the evaluator: the decision table with what it imports, as the service runs them. */
const evaluatorModules = ["access.ts", "changes.ts", "settings.ts"];

/** Where the page has its table when it cannot run anything. */
const tablePlace = "<!-- decision table -->";

/**
 * Makes JavaScript of the evaluator's own source files, by their names. Browsers take the type of a module from its
 * header, so the names stay, and with them the imports.
 *
 * Rejects when one of them imports what is not among them.
 */
export async function evaluatorSources(): Promise<Map<string, string>> {
  const sources = await Promise.all(
    evaluatorModules.map(async (name) => {
      const source = await readFile(new URL(`../../domain/${name}`, import.meta.url), "utf8");
      return [name, withoutTypes(source)] as const;
    }),
  );
  for (const [name, source] of sources)
    for (const [, imported = ""] of source.matchAll(/\bfrom "([^"]+)"/g))
      if (!evaluatorModules.includes(imported.replace("./", "")))
        throw new Error(`${name} imports ${imported}, which the page of decisions does not have`);
  return new Map(sources);
}

/** Adds the decision table to the page, for readers without JavaScript. */
export function withDecisionTable(page: string): string {
  const cell = (text: string) => `<td>${text}</td>`;
  const rows = Object.entries(decisionTable).map(
    ([interaction, { block, mute, audience, signedOut }]) =>
      `<tr><th scope="row">${interaction}</th>${[
        block,
        audience === null ? "–" : `DENY by ${audience}`,
        mute,
        signedOut,
      ]
        .map(cell)
        .join("")}</tr>`,
  );
  const heads = ["Interaction", "Either blocks the other", "Audience", "Viewer mutes owner", "Signed out"];
  const head = heads.map((text) => `<th scope="col">${text}</th>`).join("");
  return page.replace(
    tablePlace,
    `<table><thead><tr>${head}</tr></thead><tbody>${rows.join("")}</tbody></table>`,
  );
}

/** Strips the types. Node prints a warning at the first use, as the function is experimental: it would be in the log. */
function withoutTypes(source: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}
