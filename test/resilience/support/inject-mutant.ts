import { registerHooks } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type MutantName, mutantOf } from "./mutants.ts";

// Preloaded into a process of the service (`--import`): makes it the mutant that its environment names. A module of which
// something is replaced is loaded as one that exports the rest of the original.
const name = process.env.MUTANT as MutantName;
const replacements = new Map(
  (mutantOf(name).replacements ?? []).map(({ module, exports }) => [urlOf(module), exports]),
);
registerHooks({
  load(url, context, next) {
    const exports = replacements.get(url);
    if (exports === undefined) return next(url, context);
    const original = JSON.stringify(`${url}?original`);
    const source = [
      `import * as original from ${original};`,
      `export * from ${original};`,
      `import { mutantOf } from ${JSON.stringify(import.meta.resolve("./mutants.ts"))};`,
      `const { exports } = mutantOf(${JSON.stringify(name)}).replacements`,
      `  .find(({ exports }) => ${JSON.stringify(Object.keys(exports)[0])} in exports);`,
      ...Object.keys(exports).map((name) => `export const ${name} = exports.${name}(original.${name});`),
    ];
    return { format: "module", shortCircuit: true, source: source.join("\n") };
  },
});

function urlOf(module: string): string {
  return module.endsWith(".ts") ? pathToFileURL(resolve(module)).href : import.meta.resolve(module);
}
