import type { Consistency } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { invalidField } from "../call/validate.ts";
import { type ConsistencyToken, type DatabaseState, includes, union } from "../domain/consistency.ts";
import type { ConsistencyReader } from "../store/consistency.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";
import type { Freshness } from "./decisions.ts";

const longestStalenessMs = 60_000;

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

/** Reads for calls that take `Consistency`. */
export class ConsistentReads {
  readonly #options: ConsistentReadsOptions;

  constructor(options: ConsistentReadsOptions) {
    this.#options = options;
  }

  /**
   * Loads what a call needs, as fresh as it asks for; `statesOf` returns the states that it is of. Throws
   * `INVALID_CONSISTENCY_TOKEN` and `INVALID_REQUEST` before anything is loaded.
   */
  async read<Found>(
    consistency: Consistency | undefined,
    load: (freshness: Freshness) => Promise<Found>,
    statesOf: (found: Found) => readonly DatabaseState[],
    signal: AbortSignal,
  ): Promise<ConsistentRead<Found>> {
    const { tokens } = this.#options;
    const freshness = toFreshness(consistency, tokens);
    const found = await load(freshness);
    const states = statesOf(found);
    if (freshness.atLeast !== undefined) await this.#countUnmet(freshness.atLeast, states, signal);
    const all = union(states);
    return { found, consistencyToken: all === undefined ? "" : tokens.write(all) };
  }

  // The states themselves tell nothing of a write that was made before the present run of the server.
  async #countUnmet(token: ConsistencyToken, states: readonly DatabaseState[], signal: AbortSignal) {
    if (token.kind !== "write" || states.every((state) => includes(state, token))) return;
    if (!(await this.#options.reader.isSatisfied(token, signal))) this.#options.onUnmet();
  }
}

function toFreshness(consistency: Consistency | undefined, tokens: ConsistencyTokens): Freshness {
  const requirement = consistency?.requirement;
  if (requirement?.case === "atLeastAsFresh") return { atLeast: tokens.read(requirement.value) };
  if (requirement?.case === "maxStaleness") {
    const { seconds, nanos } = requirement.value;
    const maxStalenessMs = Number(seconds) * 1_000 + nanos / 1_000_000;
    // Not a rule of the definition: the library interprets those of durations, which takes longer than the decision.
    if (!(maxStalenessMs >= 0 && maxStalenessMs <= longestStalenessMs))
      throw invalidField("consistency.max_staleness", "must be from 0 to 60 seconds");
    return { maxStalenessMs };
  }
  return {};
}
