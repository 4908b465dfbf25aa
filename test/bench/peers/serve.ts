/** Sends the benchmark the ports of a server that is ready. */
export function announce(ports: Record<string, number>): void {
  process.send?.(ports);
  // The parent process may end without a message.
  process.on("disconnect", () => process.exit());
}

/** An argument of the command line, by its index. */
export function argument(index: number): string {
  const value = process.argv[2 + index];
  if (value === undefined) throw new Error(`argument ${index} is missing`);
  return value;
}
