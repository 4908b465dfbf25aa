import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";

/** A Mermaid block of a document. */
export interface Diagram {
  readonly document: string;
  /** The line of the document on which it begins. */
  readonly line: number;
  readonly text: string;
}

/** Every Mermaid block of the documents. */
export function diagrams(): Diagram[] {
  return globSync(["*.md", "docs/**/*.md", "client/*.md", "test/**/*.md"]).flatMap((document) => {
    const text = readFileSync(document, "utf8");
    return [...text.matchAll(/^```mermaid\n(.*?)^```$/gms)].map((match) => ({
      document,
      line: text.slice(0, match.index).split("\n").length,
      text: match[1] ?? "",
    }));
  });
}

/** The files of src that the sequence diagram under a heading of ARCHITECTURE.md shows. */
export function filesInSequence(heading: string): string[] {
  const [, section = ""] = readFileSync("ARCHITECTURE.md", "utf8").split(`\n## ${heading}\n`);
  const [, diagram = ""] = /^```mermaid\nsequenceDiagram\n(.*?)^```$/ms.exec(section) ?? [];
  const files = [...diagram.matchAll(/participant \w+ as (\w+\/[\w/-]+)$/gm)].map(([, file]) => `${file}.ts`);
  if (files.length === 0) throw new Error(`ARCHITECTURE.md has no sequence diagram under "${heading}"`);
  return files;
}

/** An entity of an entity diagram. */
interface Entity {
  readonly label: string;
  readonly attributes: readonly { readonly type: string; readonly name: string; readonly keys: string[] }[];
}

interface Mermaid {
  parse(text: string): Promise<unknown>;
  mermaidAPI: {
    getDiagramFromText(text: string): Promise<{
      db: {
        getEntities(): Map<string, Entity>;
        getRelationships(): { entityA: string; entityB: string; roleA: string }[];
      };
    }>;
  };
}

/** Loads Mermaid into a page: its parsers need a browser. */
export async function loadMermaid(page: Page): Promise<void> {
  await page.addScriptTag({ path: fileURLToPath(import.meta.resolve("@mermaid-js/tiny")) });
}

/** Parses a diagram. Returns the parser's complaint, undefined when there is none. */
export function complaintAbout(page: Page, text: string): Promise<string | undefined> {
  return page.evaluate(async (source) => {
    const { mermaid } = globalThis as unknown as { mermaid: Mermaid };
    try {
      await mermaid.parse(source);
      return undefined;
    } catch (failure) {
      return String(failure);
    }
  }, text);
}

/** Reads an entity diagram. A relationship is told by its two entities, the one that is referred to first, and its label. */
export function readEntityDiagram(page: Page, text: string) {
  return page.evaluate(async (source) => {
    const { mermaid } = globalThis as unknown as { mermaid: Mermaid };
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(source);
    const entities = [...db.getEntities().values()];
    const nameOf = (id: string) =>
      [...db.getEntities()].find(([, entity]) => "id" in entity && entity.id === id)?.[0];
    return {
      entities: entities.map(({ label, attributes }) => ({
        label,
        attributes: attributes.map(({ type, name, keys }) => ({ type, name, keys })),
      })),
      relationships: db.getRelationships().map(({ entityA, entityB, roleA }) => ({
        from: nameOf(entityB) ?? entityB,
        column: roleA,
        to: nameOf(entityA) ?? entityA,
      })),
    };
  }, text);
}
