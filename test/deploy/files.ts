import { globSync, readFileSync } from "node:fs";
import { parse, parseAllDocuments } from "yaml";
import { defaultGraphMegabytes } from "../../src/config/config.ts";

// biome-ignore-start lint/suspicious/noExplicitAny: files whose shape their schemas hold
export const compose: any = parse(readFileSync("deploy/compose.yaml", "utf8"), { merge: true });

/** The objects of the Kubernetes file. */
export const objects: readonly any[] = parseAllDocuments(readFileSync("deploy/kubernetes.yaml", "utf8")).map(
  (document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  },
);

/** The one object of a kind, or of a kind and a name. */
export function object(kind: string, name?: string): any {
  const found = objects.filter(
    (item) => item.kind === kind && (name === undefined || item.metadata.name === name),
  );
  if (found.length !== 1) throw new Error(`${found.length} objects are ${kind} ${name ?? ""}`);
  return found[0];
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above

/** Whether a limit of memory leaves room for a replica beside its relationship graph. */
export function leavesRoom(limit: string): boolean {
  const [, size, unit = ""] = /^(\d+)([MG])i?$/.exec(limit) ?? [];
  const bytes = Number(size) * (unit === "G" ? 2 ** 30 : 2 ** 20);
  return bytes / 2 ** 20 - defaultGraphMegabytes(Number.POSITIVE_INFINITY, bytes) >= 768;
}

/** How long a replica takes to stop at most: the delay before it drains, and the grace of calls in flight. */
export const stopsWithinMs =
  Number(object("ConfigMap").data.DRAIN_DELAY_MS) +
  Number(
    globSync("src/**/*.ts")
      .map((file) => /\bgraceMs = ([\d_]+)/.exec(readFileSync(file, "utf8"))?.[1])
      .find((found) => found !== undefined)
      ?.replace("_", ""),
  );
