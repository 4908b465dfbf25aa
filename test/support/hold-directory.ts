import { openDatabase } from "../../src/store/database.ts";

// Run as a process of its own: opens the embedded database of a directory, says so, and keeps it.
await openDatabase({ dataDir: process.argv[2] });
process.stdout.write("open\n");
process.stdin.resume();
