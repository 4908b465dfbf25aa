/** Makes what tells people how far a long run has come: a line for each step, with the time since the start. */
export function progress(): (what: string) => void {
  const startedAt = performance.now();
  return (what) => {
    const seconds = Math.round((performance.now() - startedAt) / 1_000);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    process.stderr.write(`${clock.padStart(6)}  ${what}\n`);
  };
}
