// Preloaded into a process of the service (`--import`): lets its parent move the clock on, by messages of milliseconds.
const now = Date.now;
let ahead = 0;
Date.now = () => now() + ahead;
process.on("message", (ms: number) => {
  ahead += ms;
  process.send?.("moved");
});
