/** Tells the benchmark the ports of a server that is ready. */
export function announce(ports: Record<string, number>): void {
  process.send?.(ports);
  // Whoever started this process may end without a word.
  process.on("disconnect", () => process.exit());
}

/** The argument at a place of the command line. */
export function argument(place: number): string {
  const value = process.argv[2 + place];
  if (value === undefined) throw new Error(`argument ${place} is missing`);
  return value;
}
