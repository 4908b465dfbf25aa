let waiting: (() => void)[] = [];

/**
 * Runs a task when the event loop has dealt with all that it has read. A stream that is opened and reset by the same
 * bytes is gone by then, so that a flood of them costs next to nothing. All tasks of a turn share one immediate.
 */
export function afterReads(task: () => void): void {
  if (waiting.push(task) > 1) return;
  setImmediate(() => {
    const turn = waiting;
    waiting = [];
    for (const one of turn) one();
  });
}
