import { registerHooks } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type MutantName, mutantFile } from "./source-mutants.ts";

// Preloaded into a process of the service (`--import`): makes it the mutant that its environment names.
const { file, source } = mutantFile(process.env.MUTANT as MutantName);
const mutantUrl = pathToFileURL(resolve(file)).href;
registerHooks({
  load: (url, context, next) => (url === mutantUrl ? { ...next(url, context), source } : next(url, context)),
});
