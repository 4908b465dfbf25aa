import { readFileSync, writeFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { childrenOf } from "../../bench/harness/machine.ts";

const lowest = constants.priority.PRIORITY_LOW;
/** A server starts processes as it is asked for more. */
const everyMs = 200;

/** Lets all other processes of this machine go before a server and the processes that it starts, until it is disposed. */
export function letStepBack(server: number): Disposable {
  const stepBack = () => {
    for (const pid of [server, ...childrenOf(server)]) putLast(pid);
  };
  stepBack();
  const timer = setInterval(stepBack, everyMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function putLast(pid: number): void {
  try {
    setPriority(pid, lowest);
    // Linux shares out its time among sessions first, and each process of PostgreSQL has one of its own.
    if (groupOf(pid) !== groupOf("self")) writeFileSync(`/proc/${pid}/autogroup`, String(lowest));
  } catch {
    // It has ended, or this system has no such groups.
  }
}

function groupOf(pid: number | "self"): string | undefined {
  return readFileSync(`/proc/${pid}/autogroup`, "utf8").split(" ")[0];
}
