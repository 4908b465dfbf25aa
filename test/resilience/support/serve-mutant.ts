import { pino } from "pino";
import { startApp } from "../../../src/app.ts";
import { readConfig } from "../../../src/config/config.ts";
import { type Mutant, mutants } from "./mutants.ts";

// Serves as `npm start` does, but on a store that lacks a protection.
await startApp(readConfig(process.env), {
  log: pino({ level: "silent" }),
  open: mutants[process.argv[2] as Mutant],
});
