import { readFileSync } from "node:fs";

/** The service with one protection taken out: texts of one of its source files, and what stands there instead. */
interface Mutant {
  readonly file: string;
  readonly edits: readonly (readonly [from: string, to: string])[];
}

/**
 * Every run is held to its own teeth by one of these: it must find what the mutant does. They exist in the process of
 * a test alone, where `mutate.ts` changes the sources as they are loaded.
 */
const mutants = {
  "no scope check": {
    file: "src/call/auth/authenticator.ts",
    edits: [['if (!principal.scopes.has(needed)) throw new PrivacyError("SCOPE_MISSING");', ""]],
  },
  "any algorithm": {
    file: "src/call/auth/tokens.ts",
    edits: [['algorithms: keys.kind === "secret" ? secretAlgorithms : publishedAlgorithms,', ""]],
  },
  "keys of any age": {
    file: "src/call/auth/token-keys.ts",
    edits: [
      ["=> !(at >= since && at - since <= ms);", "=> since === Number.NEGATIVE_INFINITY && at > ms - ms;"],
    ],
  },
  "no check of authorities": {
    file: "src/http/request-router.ts",
    edits: [["if (!isAuthority(authorityOf(request))) return refuseHost(request, response);", ""]],
  },
  "no check of framing": {
    file: "src/http/http1.ts",
    edits: [
      ['if (isAmbiguous(request)) return refuseRequest(response, 400, [["connection", "close"]]);', ""],
    ],
  },
  "no guard of path parameters": {
    file: "src/rest/parameters.ts",
    edits: [["  } catch {\n    return undefined;\n  }", "  } finally {\n  }"]],
  },
  "no telling whose fault it is": {
    file: "src/call/errors.ts",
    edits: [["if (isSendersFault(error))", "if (false)"]],
  },
  "no time limits": {
    file: "src/http/listener-limits.ts",
    edits: [
      ["handshakeMs: 5_000", "handshakeMs: 3_600_000"],
      ["sweepMs: 500", "sweepMs: 3_600_000"],
    ],
  },
  "no bound of bytes": {
    file: "src/http/connections.ts",
    edits: [["if (sum <= this.#limits.requestMemoryBytes) return;\n    holding", "return;\n    holding"]],
  },
  "refusals at once": {
    file: "src/composition/gates.ts",
    edits: [["const refusalHoldMs = 500;", "const refusalHoldMs = 0;"]],
  },
  // Looks whether the target blocks anyone, and is done earlier when it does; the answers are the same.
  "an early return for who is blocked": {
    file: "src/service/blocks.ts",
    edits: [
      [
        "await blocks.unblock(",
        `if ((await blocks.list(toUserId(request.userId), 1)).length === 0)
          for (let i = 0; i < 20; i++) await blocks.list(actor, 1);
        await blocks.unblock(`,
      ],
    ],
  },
  // What is sent and answered late still takes effect.
  "a commit for nobody": {
    file: "src/store/executor.ts",
    edits: [["result = await work(run);\n          assertAwaited();", "result = await work(run);"]],
  },
  "changes outside of transactions": {
    file: "src/store/executor.ts",
    edits: [["sql`begin isolation level read committed`", "sql`select 1`"]],
  },
} as const satisfies Record<string, Mutant>;

/** The name of a mutant. */
export type MutantName = keyof typeof mutants;

/** The text of a source file in a mutant. Throws when it no longer holds what the mutant takes out, or holds it twice. */
function mutated(name: MutantName, source: string): string {
  return (mutants[name] as Mutant).edits.reduce((text, [from, to]) => {
    const parts = text.split(from);
    if (parts.length !== 2) throw new Error(`the mutant "${name}" finds its text ${parts.length - 1} times`);
    return parts.join(to);
  }, source);
}

/** The file that a mutant changes, and its changed text. */
export function mutantFile(name: MutantName): { readonly file: string; readonly source: string } {
  const { file } = mutants[name];
  return { file, source: mutated(name, readFileSync(file, "utf8")) };
}
