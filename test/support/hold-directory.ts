import { openDatabase } from "../../src/store/database.ts";

// Run as a process of its own: opens the embedded database of a directory, says so, and keeps it.
const [dataDir = ""] = process.argv.slice(2);
await openDatabase({ dataDir });
process.stdout.write("open\n");
process.stdin.resume();
