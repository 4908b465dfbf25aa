import type { Consistency } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { type ConsistencyToken, type DatabaseState, includes, union } from "../domain/consistency.ts";
import type { ConsistencyReader } from "../store/consistency.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";

interface ConsistentReadsOptions {
  readonly tokens: ConsistencyTokens;
  readonly reader: Pick<ConsistencyReader, "isSatisfied">;
  /** Called for a token of a write that the database does not have. */
  readonly onUnmet: () => void;
}

/** What was read, and the token of its state. */
interface ConsistentRead<Found> {
  readonly found: Found;
  readonly consistencyToken: string;
}

/** Reads for calls that take `Consistency`. Every answer is fully consistent, whatever the call asks for. */
export class ConsistentReads {
  readonly #options: ConsistentReadsOptions;

  constructor(options: ConsistentReadsOptions) {
    this.#options = options;
  }

  /**
   * Loads what a call needs; `statesOf` returns the states that it is of. Throws `INVALID_CONSISTENCY_TOKEN`, before
   * anything is loaded.
   */
  async read<Found>(
    consistency: Consistency | undefined,
    load: () => Promise<Found>,
    statesOf: (found: Found) => readonly DatabaseState[],
    signal: AbortSignal,
  ): Promise<ConsistentRead<Found>> {
    const { tokens } = this.#options;
    const { case: kind, value } = consistency?.requirement ?? {};
    const token = kind === "atLeastAsFresh" ? tokens.read(value as string) : undefined;
    const found = await load();
    const states = statesOf(found);
    if (token !== undefined) await this.#countUnmet(token, states, signal);
    const all = union(states);
    return { found, consistencyToken: all === undefined ? "" : tokens.write(all) };
  }

  // The states themselves tell nothing of a write that was made before the server was started.
  async #countUnmet(token: ConsistencyToken, states: readonly DatabaseState[], signal: AbortSignal) {
    if (token.kind !== "write" || states.every((state) => includes(state, token))) return;
    if (!(await this.#options.reader.isSatisfied(token, signal))) this.#options.onUnmet();
  }
}
