import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";
import { readCommandLine } from "./command.ts";

const usage = `Usage:
  npm start

Starts the service. Environment variables configure it:
docs/configuration.md lists them.
Without any it serves on 127.0.0.1 with an embedded database in .data, and
shows what to try.
`;

readCommandLine(usage, {});

// Saves a quarter of the time of a later start; where nothing may be written there is no cache. What is imported by name
// is compiled before anything here runs, hence the import that follows.
enableCompileCache(fileURLToPath(new URL("../node_modules/.cache/privacy-control", import.meta.url)));
await import("./serve.ts");
