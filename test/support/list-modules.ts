import { writeSync } from "node:fs";
import { registerHooks } from "node:module";

// Given to `node --import`: lists at the end what was loaded, by `import` or `require`: packages and files of src.
const loaded = new Set<string>();
registerHooks({
  load(url, context, nextLoad) {
    const [, name] = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/|\/(?=src\/)/.exec(url) ?? [];
    loaded.add(name ?? url.slice(url.lastIndexOf("/src/") + 1));
    return nextLoad(url, context);
  },
});
process.on("exit", () => writeSync(1, `\nLOADED ${JSON.stringify([...loaded])}\n`));
