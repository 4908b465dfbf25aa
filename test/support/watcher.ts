import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  type Change,
  ChangeService,
  type WatchChangesRequestSchema,
  type WatchChangesResponse,
} from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import type { TestService } from "./service.ts";
import { until } from "./until.ts";

/** A call of `WatchChanges` that is read as fast as it sends. */
export class Watcher {
  readonly messages: WatchChangesResponse[] = [];
  /** What ended it: a failure, or undefined when the service ended it without one. */
  readonly ended: Promise<unknown>;
  readonly #abort = new AbortController();

  constructor(
    client: Client<typeof ChangeService>,
    request: MessageInitShape<typeof WatchChangesRequestSchema>,
    options: CallOptions,
  ) {
    const stream = client.watchChanges(request, { ...options, signal: this.#abort.signal });
    this.ended = (async () => {
      try {
        for await (const message of stream) this.messages.push(message);
        return undefined;
      } catch (failure) {
        return failure;
      }
    })();
  }

  /** All changes so far. */
  get changes(): Change[] {
    return this.messages.flatMap(({ changes }) => changes);
  }

  get last(): WatchChangesResponse | undefined {
    return this.messages.at(-1);
  }

  /** Waits until it has begun: what is committed from now on is sent. */
  async begun(): Promise<this> {
    await until(() => this.messages.length > 0);
    return this;
  }

  /** Waits for a number of changes. */
  async sees(count: number): Promise<Change[]> {
    await until(() => this.changes.length >= count);
    return this.changes;
  }

  /** Waits until what it got equals the state. */
  async isComplete(): Promise<Change[]> {
    await until(() => this.last?.complete === true);
    return this.changes;
  }

  /** Gives the call up. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.ended;
  }
}

/** Begins to watch a service. */
export async function watch(
  service: TestService,
  request: MessageInitShape<typeof WatchChangesRequestSchema> = {},
  transport: Transport = createGrpcTransport({ baseUrl: service.internalUrl }),
): Promise<Watcher> {
  const client = createClient(ChangeService, transport);
  const watcher = new Watcher(client, request, await service.acting());
  return watcher;
}

/** What a change says, for comparisons. */
export function say({ change }: Change): string {
  const { case: kind, value } = change;
  switch (kind) {
    case "block":
    case "mute":
    case "follow":
      return `${value.ownerId} ${value.present ? "" : "un"}${kind} ${value.targetId}`;
    case "setting":
      return `${value.userId} setting ${value.setting} ${value.audience}`;
    case "exception":
      return `${value.userId} ${value.present ? "" : "un"}exception ${value.setting} ${value.exceptedId}`;
    default:
      return `${value?.userId} ${kind}`;
  }
}
