// Preloaded into a process of the service (`--import`): makes it the mutant that ends at once when it is told to stop.
process.prependListener("SIGTERM", () => process.exit());
